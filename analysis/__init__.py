"""What a study learnt: its trials as DataFrames, its best models, its figures and the page. No Ray.

``load_trials(folder)``, ``load_epochs(folder)`` and ``load_best(folder, rank=0)`` are imported at first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.best import load_best
    from analysis.trials import load_epochs, load_trials

__all__ = ["load_best", "load_epochs", "load_trials"]


def __getattr__(name: str) -> Any:
    # seconds of imports, which the command lines' --help can do without
    if name in ("load_trials", "load_epochs"):
        from analysis import trials

        return getattr(trials, name)
    if name == "load_best":
        from analysis import best

        return best.load_best
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
