"""What a study learnt: its trials as DataFrames, its best models, its figures and the page. No Ray.

``load_trials(folder)``, ``load_epochs(folder)``, ``load_repeats(folder)``, ``load_best(folder, rank=0)`` and
``StudyView(folder)`` are imported at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.best import load_best
    from analysis.notebook import StudyView
    from analysis.repeats import load_repeats
    from analysis.trials import load_epochs, load_trials

__all__ = ["StudyView", "load_best", "load_epochs", "load_repeats", "load_trials"]

HOMES = {
    "load_trials": "trials", "load_epochs": "trials", "load_repeats": "repeats", "load_best": "best",
    "StudyView": "notebook",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # seconds of imports, which the command lines' --help can do without
    if name in HOMES:
        return getattr(import_module(f"analysis.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
