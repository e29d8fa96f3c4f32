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
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.registry import StudyFigure
from analysis.figures.style import HALO, OKABE_ITO, TITLES, Look, log_ticks, plain, styled


@dataclass(frozen=True)
class Axis:
    """One searched parameter, or the value."""

    name: str  # of its column
    position: np.ndarray  # (N,) in [0, 1]: logarithmic where it was drawn so; a choice's place in the list of choices
    ticks: list[tuple[float, str]]  # position and label
    drawn: list[str]  # (N,) values, for people

    @property
    def title(self) -> str:
        """What it is called."""
        return TITLES.get(self.name, self.name)


@dataclass(frozen=True)
class Parallel:
    """Trials as lines over one axis a parameter, the value last."""

    numbers: np.ndarray  # (N,)
    axes: list[Axis]
    values: np.ndarray  # (N,) ``val_bits_per_dim``
    complete: np.ndarray  # (N,) bool; the others were pruned

    @property
    def positions(self) -> np.ndarray:
        """Where each line meets each axis, (N, A) in [0, 1]."""
        return np.stack([axis.position for axis in self.axes], 1)

    @property
    def best(self) -> int | None:
        """Position of the best complete trial."""
        return int(np.where(self.complete, self.values, np.inf).argmin()) if self.complete.any() else None


def compute_parallel(trials: pd.DataFrame, searched: dict[str, BaseDistribution]) -> Parallel:
    """From `analysis.load_trials` and the searched columns; trials without a value are left out."""
    known = trials[trials["val_bits_per_dim"].notna() & trials["state"].isin(["COMPLETE", "PRUNED"])]
    values = known["val_bits_per_dim"].to_numpy(float)
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    span = high - low or 1.0
    steps = MaxNLocator(5).tick_values(low, high)
    ticks = [((v - low) / span, f"{v:.4g}") for v in steps if low <= v <= high]
    value = Axis("bits per\ndimension", (values - low) / span, ticks, [])
    complete = (known["state"] == "COMPLETE").to_numpy(bool)
    return Parallel(known["number"].to_numpy(int), [*searched_axes(known, searched), value], values, complete)


def searched_axes(trials: pd.DataFrame, searched: dict[str, BaseDistribution], first: Iterable[str] = ()) -> list[Axis]:
    """The searched parameters: those named ``first``, then those that every study may have, then its own."""
    names = dict.fromkeys(name for name in (*first, *TITLES, *searched) if name in searched)
    axes = []
    for name in names:
        drawn = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in trials[name]]
        axes.append(Axis(name, *_scale_of(trials[name], searched[name]), drawn))
    return axes


def _scale_of(column: pd.Series, distribution: BaseDistribution) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Positions in [0, 1] of a parameter's values over its searched range, and the axis's ticks."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        last = max(1, len(choices) - 1)
        # by equality, as choices may be unhashable; a frame holds None as NaN
        drawn = [None if isinstance(value, float) and math.isnan(value) else value for value in column]
        index = np.array([choices.index(value) for value in drawn], dtype=float)
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
    """A line a trial from its parameters to its value; pruned ones grey, the best one outlined."""
    count, values, complete, best = len(parallel.axes), parallel.values, parallel.complete, parallel.best
    figure = Figure(figsize=(max(8, 2.6 * count + 2), 6.2))
    axes = figure.subplots()
    shown = values if best is None else values[complete]
    norm = Normalize(shown.min(), shown.max() if shown.max() > shown.min() else shown.min() + 1e-9)
    colors = ScalarMappable(norm, "cividis").to_rgba(values)
    x = np.linspace(0, count - 1, 60 * (count - 1) + 1)
    part = np.minimum(x.astype(int), count - 2)
    smooth = (x - part) ** 2 * (3 - 2 * (x - part))  # flat at the axes: lines that share a value stay apart
    for k in np.argsort(-values):
        y = parallel.positions[k, part] * (1 - smooth) + parallel.positions[k, part + 1] * smooth
        look: Look = {"lw": 3.5, "zorder": 5} if k == best else {"lw": 2.2, "zorder": 2 + complete[k]}
        axes.plot(x, y, color=colors[k] if complete[k] else "0.8", **look)
        if k == best:
            axes.plot(x, y, color=OKABE_ITO["vermillion"], lw=8, zorder=4)
    _draw_axes(axes, parallel.axes)
    handles = []
    if best is not None:
        label = f"best: trial {parallel.numbers[best]}"
        handles.append(Line2D([], [], color=OKABE_ITO["vermillion"], lw=6, label=label))
    if not complete.all():
        handles.append(Line2D([], [], color="0.8", label="pruned"))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
    return figure


def _draw_axes(axes: Axes, upright: list[Axis]) -> None:
    """A line an axis, its labels on the left; those of the last on the right, where no line of a trial is."""
    last = len(upright) - 1
    for place, axis in enumerate(upright):
        axes.axvline(place, color="0.25", lw=1.3, zorder=6)
        side, align = (1, "left") if place == last else (-1, "right")
        text: Look = {"ha": align, "va": "center", "fontsize": 12, "path_effects": HALO, "zorder": 7}
        for height, label in axis.ticks:
            axes.plot([place, place + 0.012 * side], [height, height], color="0.25", lw=1.3, zorder=6)
            axes.text(place + 0.025 * side, height, plain(label), **text)
    axes.set_xticks(range(len(upright)), [plain(axis.title) for axis in upright])
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0, pad=12, labelsize=14)
    axes.set_yticks([])
    axes.set(xlim=(-0.3, len(upright) - 0.8), ylim=(-0.04, 1.04))
    axes.spines[:].set_visible(False)


def parallel_chart(parallel: Parallel) -> go.Figure | None:
    """Drag along an axis to keep the trials that cross it there."""
    lines = parallel.complete
    if lines.sum() < 2:
        return None
    dimensions = [
        {
            "label": escape(axis.title.replace("\n", " ")),
            "values": axis.position[lines],
            "range": [0, 1],
            "tickvals": [position for position, _ in axis.ticks],
            "ticktext": [escape(label) for _, label in axis.ticks],
        }
        for axis in parallel.axes
    ]
    # lower is better and blue; both ends show on white and on black
    scale = [[0, OKABE_ITO["blue"]], [1, OKABE_ITO["orange"]]]
    bar = {"title": {"text": "bits/dim"}}
    line: Look = {"color": parallel.values[lines], "colorscale": scale, "showscale": True, "colorbar": bar}
    return go.Figure(go.Parcoords(dimensions=dimensions, line=line))


FIGURE = StudyFigure(
    name="parallel",
    order=60,
    caption="Each line is a trial, from its parameters to its value; dark lines ended lower (better).",
    compute=lambda study: compute_parallel(study.trials, study.record.searched),
    note=lambda parallel: "" if len(parallel.values) else "No trial has a value yet",
    draw=draw_parallel,
    chart=parallel_chart,
)
