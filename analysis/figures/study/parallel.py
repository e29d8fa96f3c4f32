"""Parallel coordinates: which parameters went with which value. N trials, A axes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from analysis.figures.registry import StudyFigure
from analysis.figures.study._judged import GOOD_TO_BAD, GOOD_TO_BAD_MAP, Judged
from analysis.figures.style import (
    HALO,
    OKABE_ITO,
    STATES,
    TITLES,
    Look,
    log_ticks,
    plain,
    short_name,
    shorten,
    styled,
    wrapped,
)

_LONGEST = 22  # characters of a name, or of a choice, in a line
_PRUNED, _MARKED = "#cccccc", OKABE_ITO["vermillion"]
_BAND = 0.2  # of a colour bar, beyond the complete trials' colours
_UNUSED = -0.12  # where a line crosses an axis that its trial has no use for
_FEW = 8  # whole numbers that are shown as separate values


@dataclass(frozen=True)
class Axis:
    """One searched parameter, or the value."""

    name: str  # of its column
    # (N,) in [0, 1]: logarithmic where it was drawn so; a choice's place in the list of choices; NaN where a trial has
    # no use for it
    position: np.ndarray
    ticks: list[tuple[float, str]]  # position and label
    drawn: list[str]  # (N,) values, for people
    is_discrete: bool = False  # a choice, or a whole number of few: there is nothing between its values

    @property
    def title(self) -> str:
        """What it is called."""
        return TITLES.get(self.name, self.name)

    @property
    def is_used(self) -> np.ndarray:
        """(N,) bool: by which trials."""
        return np.asarray(np.isfinite(self.position))

    @property
    def line_positions(self) -> np.ndarray:
        """(N,) where lines cross it: of a trial that has no use for it, below."""
        return np.where(self.is_used, self.position, _UNUSED)

    @property
    def line_ticks(self) -> list[tuple[float, str]]:
        """The ticks, and one below them where a line crosses there."""
        return [*self.ticks, *([] if self.is_used.all() else [(_UNUSED, "not used")])]


@dataclass(frozen=True)
class Parallel:
    """Trials as lines over one axis a parameter, the value last."""

    numbers: np.ndarray  # (N,)
    axes: list[Axis]
    values: np.ndarray  # (N,) what judges them, where it is drawn
    complete: np.ndarray  # (N,) bool; the others were pruned
    marked: np.ndarray  # (N,) bool: on the front, or the best
    judged: Judged

    @property
    def positions(self) -> np.ndarray:
        """Where each line meets each axis, (N, A) in [0, 1]."""
        return np.stack([axis.line_positions for axis in self.axes], 1)

    @property
    def bottom(self) -> float:
        """Of the axes: 0, or where lines cross one that they have no use for."""
        return float(self.positions.min(initial=0.0))


def compute_parallel(trials: pd.DataFrame, searched: dict[str, BaseDistribution], judged: Judged) -> Parallel:
    """From `analysis.load_trials` and the searched columns; trials without a value are left out."""
    known = trials[trials[judged.column].notna() & trials["state"].isin(["COMPLETE", "PRUNED"])]
    values = judged.place(known[judged.column].to_numpy(float))
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    span = high - low or 1.0
    ticks = [((place - low) / span, label) for place, label in judged.ticks(low, high)]
    value = Axis(wrapped(judged.short, 12), (values - low) / span, ticks, [])
    complete, numbers = (known["state"] == "COMPLETE").to_numpy(bool), known["number"].to_numpy(int)
    return Parallel(numbers, [*searched_axes(known, searched), value], values, complete, judged.marked(known), judged)


def searched_axes(trials: pd.DataFrame, searched: dict[str, BaseDistribution], first: Iterable[str] = ()) -> list[Axis]:
    """The searched parameters: those named ``first``, then those that every study may have, then its own."""
    names = dict.fromkeys(name for name in (*first, *TITLES, *searched) if name in searched)
    axes = []
    for name in names:
        drawn = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in trials[name]]
        axes.append(Axis(name, *_scale_of(trials[name], searched[name]), drawn, _is_discrete(searched[name])))
    return axes


def _is_discrete(distribution: BaseDistribution) -> bool:
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step < _FEW
    return isinstance(distribution, CategoricalDistribution)


def _scale_of(column: pd.Series, distribution: BaseDistribution) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Positions in [0, 1] of a parameter's values over its searched range, and the axis's ticks."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        last = max(1, len(choices) - 1)
        # by equality, as choices may be unhashable; a frame holds None as NaN
        drawn = [None if isinstance(value, float) and math.isnan(value) else value for value in column]
        index = np.array([choices.index(value) if value in choices else math.nan for value in drawn], dtype=float)
        return index / last, [(k / last, str(choice)) for k, choice in enumerate(choices)]
    low, high = float(distribution.low), float(distribution.high)  # type: ignore[attr-defined]
    values = column.to_numpy(float)
    if low == high:
        return np.full(len(values), 0.5), [(0.5, f"{low:g}")]
    if distribution.log:  # type: ignore[attr-defined]
        span = math.log(high / low)
        ticks = sorted({low, high, *log_ticks(low, high)})
        apart = [v for v in ticks if v in (low, high) or min(v / low, high / v) > (high / low) ** 0.06]
        return np.log(values / low) / span, [(math.log(v / low) / span, f"{v:g}") for v in apart]
    step = getattr(distribution, "step", None)
    whole = isinstance(step, int) and (high - low) / step <= 10
    locator = MaxNLocator(5, integer=isinstance(step, int))
    marks = np.arange(low, high + 1, step) if whole else locator.tick_values(low, high)
    inside = [float(v) for v in marks if low <= v <= high]
    return (values - low) / (high - low), [((v - low) / (high - low), f"{v:g}") for v in inside]


@styled
def draw_parallel(parallel: Parallel) -> Figure:
    """A line a trial from its parameters to its value; pruned ones grey, the front or the best one outlined."""
    count, values, complete, marked = len(parallel.axes), parallel.values, parallel.complete, parallel.marked
    figure = Figure(figsize=(max(8, 2.6 * count + 2), 6.2))
    axes = figure.subplots()
    shown = values[complete] if complete.any() else values
    norm = Normalize(shown.min(), shown.max() if shown.max() > shown.min() else shown.min() + 1e-9)
    colors = ScalarMappable(norm, GOOD_TO_BAD_MAP).to_rgba(values)
    x = np.linspace(0, count - 1, 60 * (count - 1) + 1)
    part = np.minimum(x.astype(int), count - 2)
    smooth = (x - part) ** 2 * (3 - 2 * (x - part))  # flat at the axes: lines that share a value stay apart
    widths = (6, 2.6) if marked.sum() > 1 else (8, 3.5)
    for k in np.argsort(-values):
        y = parallel.positions[k, part] * (1 - smooth) + parallel.positions[k, part + 1] * smooth
        look: Look = {"lw": widths[1], "zorder": 5} if marked[k] else {"lw": 2.2, "zorder": 2 + complete[k]}
        axes.plot(x, y, color=colors[k] if complete[k] else _PRUNED, **look)
        if marked[k]:
            axes.plot(x, y, color=_MARKED, lw=widths[0], zorder=4)
    _draw_axes(axes, parallel)
    handles = []
    if marked.any():
        label = parallel.judged.mark(parallel.numbers[marked])
        handles.append(Line2D([], [], color=_MARKED, lw=6, label=label))
    if not complete.all():
        handles.append(Line2D([], [], color=_PRUNED, label=STATES["PRUNED"].word))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
    return figure


def _draw_axes(axes: Axes, parallel: Parallel) -> None:
    """A line an axis, its labels on the left; those of the last on the right, where no line of a trial is."""
    upright = parallel.axes
    last = len(upright) - 1
    for place, axis in enumerate(upright):
        axes.axvline(place, color="0.25", lw=1.3, zorder=6)
        side, align = (1, "left") if place == last else (-1, "right")
        text: Look = {"ha": align, "va": "center", "fontsize": 12, "path_effects": HALO, "zorder": 7}
        for height, label in axis.line_ticks:
            axes.plot([place, place + 0.012 * side], [height, height], color="0.25", lw=1.3, zorder=6)
            axes.text(place + 0.025 * side, height, short_name(label, _LONGEST), **text)
    axes.set_xticks(range(len(upright)), [plain(wrapped(axis.title, _LONGEST)) for axis in upright])
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0, pad=12, labelsize=14)
    axes.set_yticks([])
    axes.set(xlim=(-0.3, len(upright) - 0.8), ylim=(parallel.bottom - 0.04, 1.04))
    axes.spines[:].set_visible(False)


def parallel_chart(parallel: Parallel) -> go.Figure | None:
    """Drag along an axis to keep the trials that cross it there."""
    if len(parallel.values) < 2:
        return None
    dimensions = [
        {
            "label": escape(axis.title.replace("\n", " ")),
            "values": axis.line_positions,
            "range": [parallel.bottom, 1],
            "tickvals": [position for position, _ in axis.line_ticks],
            "ticktext": [escape(shorten(label, _LONGEST)) for _, label in axis.line_ticks],
        }
        for axis in parallel.axes
    ]
    room = {"x": [0, 0.92]}  # for the last axis's title
    return go.Figure(go.Parcoords(dimensions=dimensions, line=_line_colors(parallel), domain=room))


def _line_colors(parallel: Parallel) -> Look:
    """Colours as in the figure, of lines that can have no outline: those that have one there are of its colour. In the
    bar complete trials are in [0, 1], the best at 1, as plotly draws what is higher above what is lower; the front or
    the best is beyond, and pruned ones are below."""
    values, complete, marked = parallel.values, parallel.complete, parallel.marked
    shown = values[complete] if complete.any() else values
    low, high = float(shown.min()), float(shown.max())
    span = high - low or 1.0
    color = np.where(complete, (high - values) / span, -_BAND)
    color[marked] = 1 + _BAND
    (good, bad), half = GOOD_TO_BAD, _BAND / 2
    bottom, top = 0.0 if complete.all() else -3 * half, 1 + 3 * half if marked.any() else 1.0
    steps = [(-3 * half, _PRUNED), (-half, _PRUNED), (-half, bad), (0.0, bad)]
    steps += [(1.0, good), (1 + half, good), (1 + half, _MARKED), (1 + 3 * half, _MARKED)]
    scale = [[(place - bottom) / (top - bottom), look] for place, look in steps if bottom <= place <= top]
    ticks = [((high - place) / span, label) for place, label in parallel.judged.ticks(low, high)]
    ticks += [] if complete.all() else [(-_BAND, STATES["PRUNED"].word)]
    ticks += [(1 + _BAND, parallel.judged.mark(parallel.numbers[marked]))] if marked.any() else []
    places, labels = [place for place, _ in ticks], [escape(label) for _, label in ticks]
    bar: Look = {"title": {"text": parallel.judged.short, "side": "top"}, "tickvals": places, "ticktext": labels}
    bar |= {"orientation": "h", "y": -0.08, "yanchor": "top", "thickness": 16, "tickfont": {"size": 11}}
    return {"color": color, "cmin": bottom, "cmax": top, "colorscale": scale, "showscale": True, "colorbar": bar}


FIGURE = StudyFigure(
    name="parallel",
    title="Parameters of every trial",
    order=60,
    caption="Each line is a trial, from its parameters to its value; blue lines ended lower (better): what one "
    "objective minimises, or of two the excess, nats above the lowest D + βR of the study at the same KL weight. "
    "Outlined: the best, or the front, whose lines are in the outline's colour in the interactive chart. Pruned "
    "trials are grey.",
    compute=lambda study: compute_parallel(study.trials, study.record.searched, Judged.of(study.record)),
    note=lambda parallel: "" if len(parallel.values) else "No trial has a value yet",
    draw=draw_parallel,
    chart=parallel_chart,
)
