"""About how long `write_report` takes, before it is called.

Least squares of nine reports that took 2 to 118 s, of 3 to 64 trials of digits, MNIST and CIFAR-10, on two cores of an
AMD EPYC without a GPU, in November 2026: each within a quarter, or 3 s; the slider was timed alone. Another machine is
faster or slower as a whole.
"""

DRAWN = 2  # complete trials whose models are drawn, unless more or fewer are asked for

# seconds
_ANY_MODEL = 16.0  # imports and compilers, the page's charts, the front on the test set
_MODEL = 14.5  # its figures
_MODEL_IMAGE = 0.0014  # a test image that a model encodes and renders, whatever its shape
_STOP, _STOPS = 0.3, 9  # of the slider: a model of the front, on which a third of the trials is as a rule
_TRIAL = 0.12  # in the study's figures and tables


def report_seconds(trials: int, models: int, test_images: int) -> float:
    """Of a study of so many trials, of whose models so many are drawn, with a test set of so many images: none where
    the data set cannot be had."""
    front = _STOP * min(_STOPS, trials / 3)
    drawn = _ANY_MODEL + front + models * (_MODEL + _MODEL_IMAGE * test_images) if models else 0.0
    return 1.0 + _TRIAL * trials + drawn
