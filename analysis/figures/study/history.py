"""How the search went: values by trial."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.figures.plotly_style import add_dots, add_line, add_rings, whole_ticks
from analysis.figures.registry import StudyFigure
from analysis.figures.study._judged import Judged
from analysis.figures.style import OKABE_ITO, RING, STATES, Look, styled, whole_numbers

_MARKERS = {
    "COMPLETE": "o",
    "PRUNED": "D",
    "RUNNING": ">",
    "INTERRUPTED": "s",
}  # of the states whose trials have a value


_BEST = "best so far"


@dataclass(frozen=True)
class History:
    """Each (N,)."""

    number: np.ndarray
    value: np.ndarray  # what judges the trial, at its best epoch; NaN where it reported none
    state: np.ndarray
    marked: np.ndarray  # bool: on the front, or the best
    best: np.ndarray
    """The lowest value of the complete trials so far, NaN before the first; of two objectives NaN, as an excess is
    measured from what the whole study reached."""
    judged: Judged

    @property
    def note(self) -> str:
        """Why there is nothing to draw, if so."""
        if not len(self.number):
            return "The study has no trials yet"
        return "" if any(self.of(state).any() for state in _MARKERS) else "No trial has a value yet"

    def of(self, state: str) -> np.ndarray:
        """(N,) bool: trials of a state that have a value."""
        return np.asarray((self.state == state) & np.isfinite(self.value))


def compute_history(trials: pd.DataFrame, judged: Judged) -> History:
    """From `analysis.load_trials`."""
    value, state = trials[judged.column].to_numpy(float), trials["state"].astype(str).to_numpy()
    counts = (state == "COMPLETE") & (not judged.is_excess)
    best = np.fmin.accumulate(np.where(counts, value, np.nan))
    return History(trials["number"].to_numpy(int), value, state, judged.marked(trials), best, judged)


@styled
def draw_history(history: History) -> Figure:
    """Dots a trial; rings around the front, or the best complete one so far as a step."""
    figure = Figure(figsize=(11, 6))
    axes = figure.subplots()
    places = history.judged.place(history.value)
    for state, marker in _MARKERS.items():
        look, chosen = STATES[state], history.of(state)
        if chosen.any():
            dots: Look = {"color": look.color, "label": look.word, "ms": 9, "mec": "white", "zorder": 3}
            axes.plot(history.number[chosen], places[chosen], marker, **dots)
    failed = history.number[history.state == "FAIL"]
    if len(failed):
        look = STATES["FAIL"]
        below: Look = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(failed, np.full(len(failed), 0.03), "X", color=look.color, ms=11, label=look.word, **below)
    if np.isfinite(history.best).any():
        axes.step(history.number, history.best, where="post", color=OKABE_ITO["orange"], label=_BEST)
    if history.judged.is_excess and history.marked.any():
        ring: Look = RING | {"ms": 14, "label": history.judged.mark(history.number), "zorder": 4, "clip_on": False}
        axes.plot(history.number[history.marked], places[history.marked], **ring)
    axes.set(xlabel="trial", ylabel=history.judged.label, xlim=(-0.5, history.number.max() + 0.5))
    whole_numbers(axes.xaxis)
    axes.margins(y=0.12)
    history.judged.scale(axes.yaxis, places)
    axes.grid(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    return figure


def history_chart(history: History) -> go.Figure:
    """The value of every trial, and the best so far or the front."""
    figure, judged = go.Figure(), history.judged
    places, told = judged.place(history.value), np.array([judged.told(value) for value in history.value])
    for state in _MARKERS:
        look, chosen = STATES[state], history.of(state)
        if chosen.any():
            dots: Look = {"name": look.word, "marker": {"color": look.color, "size": 9}, "text": told[chosen]}
            add_dots(figure, history.number[chosen], places[chosen], "trial %{x}: %{text}", **dots)
    failed = history.number[history.state == "FAIL"]
    if len(failed):
        look = STATES["FAIL"]
        dots = {"name": look.word, "marker": {"color": look.color, "size": 10, "symbol": "x"}, "yaxis": "y2"}
        add_dots(figure, failed, np.full(len(failed), 0.03), "trial %{x} failed", **dots)
        figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
    if judged.is_excess and history.marked.any():
        add_rings(figure, history.number[history.marked], places[history.marked], judged.mark(history.number))
    elif not judged.is_excess:
        add_line(figure, history.number, history.best, _BEST, line={"shape": "hv", "color": OKABE_ITO["orange"]})
    figure.update_layout(xaxis={"title": "trial", **whole_ticks(0, history.number.max())})
    return figure.update_layout(yaxis={"title": judged.label, **judged.chart_scale(places)})


FIGURE = StudyFigure(
    name="history",
    title="The search, trial by trial",
    order=70,
    caption="The value of each trial in the order they were asked for: of one objective what it minimises, and "
    "the line is the best so far; of two its excess, nats that it lies above the lowest D + βR of the study at its own "
    "KL weight, and the rings are the front. Crosses at the bottom failed.",
    compute=lambda study: compute_history(study.trials, Judged.of(study.record)),
    note=lambda history: history.note,
    draw=draw_history,
    chart=history_chart,
)
