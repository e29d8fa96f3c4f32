"""How the search went: values by trial, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from analysis.figures.style import (
    BETA_LABEL,
    BITS_LABEL,
    FADED,
    INK,
    OKABE_ITO,
    draw_note,
    plain,
    styled,
)
from analysis.statistics import Interval, importance_intervals

LEAST_TRIALS = 5
"""Complete trials below which an importance would be noise."""
TITLES = {"beta": BETA_LABEL, "latent_dim": "latent size", "depth": "depth", "lr": "learning rate"}


@dataclass(frozen=True)
class History:
    """Each (N,)."""

    number: np.ndarray
    value: np.ndarray
    """Lowest ``val_bits_per_dim`` of the trial; NaN where it reported none."""
    state: np.ndarray
    best: np.ndarray
    """The lowest value of the complete trials so far; NaN before the first."""


@dataclass(frozen=True)
class Importance:
    """Shares of the objective's variance, by parameter, largest first; or why there are none."""

    names: list[str]
    shares: np.ndarray
    trials: int
    note: str = ""
    intervals: list[Interval] | None = None
    """Of each share, over resampled trials; None where they were not asked for or cannot be told."""


def compute_history(trials: pd.DataFrame) -> History:
    """From `analysis.load_trials`."""
    value = trials["val_bits_per_dim"].to_numpy(float)
    complete = (trials["state"] == "COMPLETE").to_numpy(bool)
    best = np.fmin.accumulate(np.where(complete, value, np.nan)) if len(value) else value
    return History(trials["number"].to_numpy(int), value, trials["state"].astype(str).to_numpy(), best)


def compute_importance(
    trials: Sequence[FrozenTrial], columns: dict[str, str], seed: int = 0, resamples: int = 0
) -> Importance:
    """fANOVA (Hutter et al. 2014) over the complete trials. ``columns`` maps a path to its column;
    ``resamples`` of the trials give intervals (`analysis.statistics.IMPORTANCE_RESAMPLES` is enough, and
    adds a second with 12 trials and 5 with 150).

    Pruned trials are left out: their values are those of fewer epochs.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(complete) < LEAST_TRIALS:
        note = f"Parameter importance needs {LEAST_TRIALS} complete trials; there are {len(complete)} so far"
        return Importance([], np.zeros(0), len(complete), note)
    try:
        shares = fanova(complete, seed)
    except (ValueError, RuntimeError) as error:
        note = f"Parameter importance cannot be told from these trials: {str(error).splitlines()[0]}"
        return Importance([], np.zeros(0), len(complete), note)
    if not any(shares.values()):
        note = "Parameter importance cannot be told from these trials: their values do not differ"
        return Importance([], np.zeros(0), len(complete), note)
    found = importance_intervals(complete, shares, fanova_if_told, resamples, seed) if resamples else {}
    return Importance(
        [columns[p] for p in shares], np.array(list(shares.values())), len(complete),
        intervals=[found[p] for p in shares] if found else None,
    )  # fmt: skip


def fanova(complete: Sequence[FrozenTrial], seed: int, trees: int = 64) -> dict[str, float]:
    """Path -> share of the variance, largest first.

    Raises:
        ValueError, RuntimeError: where it cannot be told.
    """
    with quiet_optuna():
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
        study.add_trials(complete)
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=trees, seed=seed)
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


def fanova_if_told(complete: Sequence[FrozenTrial], seed: int, trees: int) -> dict[str, float]:
    """`fanova`; empty where it cannot be told."""
    try:
        shares = fanova(complete, seed, trees)
    except (ValueError, RuntimeError):
        return {}
    return shares if any(shares.values()) else {}


@contextmanager
def quiet_optuna() -> Iterator[None]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@styled
def draw_history(history: History) -> Figure:
    """Dots a trial, and the best complete one so far as a step."""
    if not len(history.number):
        return draw_note("The study has no trials yet")
    figure = Figure(figsize=(11, 6))
    axes = figure.subplots()
    kinds = {
        "COMPLETE": ("o", OKABE_ITO["blue"]),
        "PRUNED": ("D", FADED),
        "RUNNING": (">", OKABE_ITO["green"]),
    }
    for state, (marker, color) in kinds.items():
        chosen = (history.state == state) & np.isfinite(history.value)
        if chosen.any():
            axes.plot(
                history.number[chosen], history.value[chosen], marker, color=color, ms=9, mec="white",
                label=state.lower(), zorder=3,
            )  # fmt: skip
    failed = history.number[history.state == "FAIL"]
    if len(failed):
        axes.plot(
            failed, np.full(len(failed), 0.03), "X", color=OKABE_ITO["vermillion"], ms=11, label="failed",
            transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip
    if np.isfinite(history.best).any():
        axes.step(history.number, history.best, where="post", color=OKABE_ITO["orange"], label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(BITS_LABEL)
    axes.set_xlim(-0.5, history.number.max() + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)
    axes.grid(True)
    axes.legend()
    return figure


@styled
def draw_importance(importance: Importance) -> Figure:
    """A bar a parameter, and a line over its interval."""
    if importance.note:
        return draw_note(importance.note)
    figure = Figure(figsize=(10, 1.8 + 0.8 * len(importance.names)))
    axes = figure.subplots()
    names = [plain(TITLES.get(name, name)) for name in importance.names]
    rows = np.arange(len(names))[::-1]
    shares = importance.shares * 100
    axes.barh(rows, shares, color=OKABE_ITO["blue"], height=0.6)
    ends = shares
    if importance.intervals is not None:
        low, ends = (
            np.array([getattr(found, end) for found in importance.intervals]) * 100 for end in ("low", "high")
        )
        axes.errorbar(shares, rows, xerr=[shares - low, ends - shares], fmt="none", ecolor=INK, capsize=6,
                      elinewidth=2, capthick=2)  # fmt: skip
    for row, share, end in zip(rows, shares, ends, strict=True):
        axes.annotate(f"{share:.0f} %", (end, row), xytext=(9, 0), textcoords="offset points", va="center")
    axes.set_yticks(rows, names)
    axes.set_xlim(0, max(108, float(ends.max()) + 9))
    told = "" if importance.intervals is None else "; lines: 95 % of resampled trials"
    axes.set_xlabel(
        f"share of the variance of bits per dimension (%)\n{importance.trials} complete trials{told}"
    )
    return figure
