"""How the search went: values by trial."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.plotly_style import add_dots, add_line
from analysis.figures.registry import StudyFigure
from analysis.figures.style import BITS_LABEL, OKABE_ITO, STATES, Look, styled

_MARKERS = {"COMPLETE": "o", "PRUNED": "D", "RUNNING": ">"}  # of the states whose trials have a value


@dataclass(frozen=True)
class History:
    """Each (N,)."""

    number: np.ndarray
    value: np.ndarray  # lowest ``val_bits_per_dim`` of the trial; NaN where it reported none
    state: np.ndarray
    best: np.ndarray  # the lowest value of the complete trials so far; NaN before the first

    def of(self, state: str) -> np.ndarray:
        """(N,) bool: trials of a state that have a value."""
        return np.asarray((self.state == state) & np.isfinite(self.value))


def compute_history(trials: pd.DataFrame) -> History:
    """From `analysis.load_trials`."""
    value = trials["val_bits_per_dim"].to_numpy(float)
    best = np.fmin.accumulate(np.where(trials["state"] == "COMPLETE", value, np.nan))
    return History(trials["number"].to_numpy(int), value, trials["state"].astype(str).to_numpy(), best)


@styled
def draw_history(history: History) -> Figure:
    """Dots a trial, and the best complete one so far as a step."""
    figure = Figure(figsize=(11, 6))
    axes = figure.subplots()
    for state, marker in _MARKERS.items():
        look, chosen = STATES[state], history.of(state)
        if chosen.any():
            dots: Look = {"color": look.color, "label": look.word, "ms": 9, "mec": "white", "zorder": 3}
            axes.plot(history.number[chosen], history.value[chosen], marker, **dots)
    failed = history.number[history.state == "FAIL"]
    if len(failed):
        look = STATES["FAIL"]
        below: Look = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(failed, np.full(len(failed), 0.03), "X", color=look.color, ms=11, label=look.word, **below)
    if np.isfinite(history.best).any():
        axes.step(history.number, history.best, where="post", color=OKABE_ITO["orange"], label="best so far")
    axes.set(xlabel="trial", ylabel=BITS_LABEL, xlim=(-0.5, history.number.max() + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)
    axes.grid(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    return figure


def history_chart(history: History) -> go.Figure:
    """The value of every trial, and the best so far."""
    figure = go.Figure()
    for state in _MARKERS:
        look, chosen = STATES[state], history.of(state)
        if chosen.any():
            dots: Look = {"name": look.word, "marker": {"color": look.color, "size": 9}}
            add_dots(figure, history.number[chosen], history.value[chosen], "trial %{x}: %{y:.4f}", **dots)
    line: Look = {"shape": "hv", "color": OKABE_ITO["orange"]}
    add_line(figure, history.number, history.best, "best so far", line=line)
    return figure.update_layout(xaxis_title="trial", yaxis_title=BITS_LABEL)


FIGURE = StudyFigure(
    name="history",
    order=70,
    caption="The value of each trial in the order they were asked for; the line is the best so far.",
    compute=lambda study: compute_history(study.trials),
    note=lambda history: "" if len(history.number) else "The study has no trials yet",
    draw=draw_history,
    chart=history_chart,
)
