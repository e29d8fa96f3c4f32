"""How the search went: values by trial, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Sequence
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
    OKABE_ITO,
    draw_note,
    plain,
    styled,
)

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


def compute_history(trials: pd.DataFrame) -> History:
    """From `analysis.load_trials`."""
    value = trials["val_bits_per_dim"].to_numpy(float)
    complete = (trials["state"] == "COMPLETE").to_numpy(bool)
    best = np.fmin.accumulate(np.where(complete, value, np.nan)) if len(value) else value
    return History(trials["number"].to_numpy(int), value, trials["state"].astype(str).to_numpy(), best)


def compute_importance(trials: Sequence[FrozenTrial], columns: dict[str, str], seed: int = 0) -> Importance:
    """fANOVA (Hutter et al. 2014) over the complete trials. ``columns`` maps a path to its column.

    Pruned trials are left out: their values are those of fewer epochs.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(complete) < LEAST_TRIALS:
        note = f"Parameter importance needs {LEAST_TRIALS} complete trials; there are {len(complete)} so far"
        return Importance([], np.zeros(0), len(complete), note)
    storage = optuna.storages.InMemoryStorage()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(storage=storage)
        study.add_trials(complete)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError) as error:
        note = f"Parameter importance cannot be told from these trials: {str(error).splitlines()[0]}"
        return Importance([], np.zeros(0), len(complete), note)
    finally:
        optuna.logging.set_verbosity(verbosity)
    if not any(shares.values()):
        note = "Parameter importance cannot be told from these trials: their values do not differ"
        return Importance([], np.zeros(0), len(complete), note)
    return Importance([columns[p] for p in shares], np.array(list(shares.values())), len(complete))


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
    """A bar a parameter."""
    if importance.note:
        return draw_note(importance.note)
    figure = Figure(figsize=(10, 1.6 + 0.8 * len(importance.names)))
    axes = figure.subplots()
    names = [plain(TITLES.get(name, name)) for name in importance.names]
    bars = axes.barh(names[::-1], importance.shares[::-1] * 100, color=OKABE_ITO["blue"], height=0.6)
    axes.bar_label(bars, fmt="%.0f %%", padding=6)
    axes.set_xlim(0, 108)
    axes.set_xlabel(f"share of the variance of bits per dimension (%), {importance.trials} complete trials")
    return figure
