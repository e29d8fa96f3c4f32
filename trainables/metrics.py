"""What an epoch of a training measures: every metric, said once. A metric that is added here with the version that
first records it is a column of every frame, and NaN for the epochs of studies that are older. What computes it:
`trainables.training.evaluate` for the validation set's, whose names begin with ``val_``, and `trainables.training.loop`
for the others."""

from dataclasses import dataclass

Metrics = dict[str, float]  # what an epoch measured, by name


@dataclass(frozen=True)
class Metric:
    """One number of an epoch."""

    name: str
    unit: str
    meaning: str
    whole: bool = False  # whether it is a whole number
    least: float | None = None  # the lowest that it can be, where there is a lowest
    since: str = ""  # the version of this package that first recorded it: older records lack it; empty if none does


_NATS = "nats per image"
_LOSS = "distortion without its constant + beta rate"
_RATE_ERROR = "standard error of val_rate by its samples: 0 where the prior has a closed form"
_LINEAR = "the lowest that a linear model of the training images could reach, mean over its KL weights"
RATES = 9
"""KL weights at which a multi-rate network is measured, odd in number: see `trainables.config.TrialConfig.betas`."""

EPOCH = (  # in the order of the frames' columns
    Metric("epoch", "", "counted from 1", whole=True),
    Metric("train_loss", _NATS, "what is minimised: mostly distortion + beta rate, as training saw the images"),
    Metric("train_distortion", _NATS, "-log p(x given z) under the training likelihood, likewise"),
    Metric("train_rate", _NATS, "KL(q(z given x), p(z)), likewise"),
    Metric("grad_norm", "", "norm of the gradient of the loss per dimension before clipping, mean over steps"),
    Metric("images_per_second", "1/s", "training images, over all workers"),
    Metric("val_bits_per_dim", "bits", "val_nelbo per number in an image"),
    Metric("val_nelbo", _NATS, "rate + distortion at beta 1 under the calibrated discrete likelihood"),
    Metric("val_rate", _NATS, "KL(q(z given x), p(z)) of the validation images"),
    Metric("val_rate_error", _NATS, _RATE_ERROR, least=0.0, since="0.2.0"),
    Metric("val_distortion", _NATS, "-log p(x given z) under the training likelihood"),
    Metric("val_mse", "", "squared error of pixels in [0, 1], mean over pixels and images"),
    Metric("val_active_units", "latents", "latents whose posterior mean has a variance above 0.01", whole=True),
    Metric("val_relative_loss", "", f"{_LOSS} of a multi-rate network over {_LINEAR}", least=0.0, since="0.2.0"),
    Metric("sigma", "", "the calibrated likelihood's, of pixels in [0, 1]"),
    Metric("lr", "", "the learning rate after the epoch's last step"),
    Metric("epoch_seconds", "s", "of training and evaluation"),
    Metric("cpu_seconds", "s", "of cores held by all workers, a packed trial's share", least=0.0, since="0.1.0"),
    Metric("gpu_seconds", "s", "of GPUs held by all workers, a packed trial's share", least=0.0, since="0.1.0"),
)
AT_EACH_RATE = ("val_rate", "val_distortion", "val_mse", "val_bits_per_dim", "val_active_units", "sigma")
"""Metrics that an epoch of a multi-rate network has for each of its KL weights, too: ``val_rate/0`` at the lowest."""


def at_rate(name: str, place: int) -> str:
    """The name of one of these in an epoch's row, for a KL weight by its ``place`` among `TrialConfig.betas`."""
    return f"{name}/{place}"


VALIDATION = tuple(metric.name for metric in EPOCH if metric.name.startswith("val_"))
