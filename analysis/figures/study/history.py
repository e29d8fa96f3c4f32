"""How the search went: values by trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import BITS_LABEL, FADED, OKABE_ITO, draw_note, styled


@dataclass(frozen=True)
class History:
    """Each (N,)."""

    number: np.ndarray
    value: np.ndarray
    """Lowest ``val_bits_per_dim`` of the trial; NaN where it reported none."""
    state: np.ndarray
    best: np.ndarray
    """The lowest value of the complete trials so far; NaN before the first."""


def compute_history(trials: pd.DataFrame) -> History:
    """From `analysis.load_trials`."""
    value = trials["val_bits_per_dim"].to_numpy(float)
    complete = (trials["state"] == "COMPLETE").to_numpy(bool)
    best = np.fmin.accumulate(np.where(complete, value, np.nan)) if len(value) else value
    return History(trials["number"].to_numpy(int), value, trials["state"].astype(str).to_numpy(), best)


@styled
def draw_history(history: History) -> Figure:
    """Dots a trial, and the best complete one so far as a step."""
    if not len(history.number):
        return draw_note("The study has no trials yet")
    figure = Figure(figsize=(11, 6))
    axes = figure.subplots()
    kinds = {"COMPLETE": ("o", OKABE_ITO["blue"]), "PRUNED": ("D", FADED), "RUNNING": (">", OKABE_ITO["green"])}
    for state, (marker, color) in kinds.items():
        chosen = (history.state == state) & np.isfinite(history.value)
        if chosen.any():
            axes.plot(
                history.number[chosen],
                history.value[chosen],
                marker,
                color=color,
                ms=9,
                mec="white",
                label=state.lower(),
                zorder=3,
            )
    failed = history.number[history.state == "FAIL"]
    if len(failed):
        axes.plot(
            failed,
            np.full(len(failed), 0.03),
            "X",
            color=OKABE_ITO["vermillion"],
            ms=11,
            label="failed",
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
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
