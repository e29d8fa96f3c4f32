"""What a study learnt: its trials as DataFrames, its best models, its figures and the page. No Ray.

``load_trials(folder)``, ``load_epochs(folder)``, ``load_repeats(folder)``, ``load_rates(folder)``,
``load_best(folder, rate=20)`` and ``StudyView(folder)`` are imported at first use.
"""

from importlib import import_module

TYPE_CHECKING = False  # that of `typing`, which takes its time before a command listens to Ctrl-C
if TYPE_CHECKING:
    from analysis.reading.choice import load_best
    from analysis.reading.frames import load_epochs, load_rates, load_repeats, load_trials
    from analysis.report.notebook import StudyView

__all__ = ["StudyView", "load_best", "load_epochs", "load_rates", "load_repeats", "load_trials"]

_HOMES = {"StudyView": "report.notebook", "load_best": "reading.choice"}


def __getattr__(name: str) -> object:
    # seconds of imports, which the command lines' --help can do without
    if name in __all__:
        return getattr(import_module(f"analysis.{_HOMES.get(name, 'reading.frames')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
