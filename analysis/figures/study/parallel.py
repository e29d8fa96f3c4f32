"""Parallel coordinates: which parameters went with which value.

N trials, A axes.
"""

import math
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution

from analysis.figures.registry import StudyFigure
from analysis.figures.style import HALO, OKABE_ITO, TITLES, Look, draw_note, log_ticks, plain, styled

Ticks = list[tuple[float, str]]
"""(position in [0, 1], label)."""


@dataclass(frozen=True)
class Parallel:
    """Trials as lines over one axis a parameter, the value last."""

    numbers: np.ndarray  # (N,)
    axes: list[str]  # (A,) titles
    positions: np.ndarray  # (N, A) in [0, 1]: where each line meets each axis
    ticks: list[Ticks]  # of each axis
    values: np.ndarray  # (N,) ``val_bits_per_dim``
    complete: np.ndarray  # (N,) bool; the others were pruned


def compute_parallel(trials: pd.DataFrame, searched: dict[str, BaseDistribution]) -> Parallel:
    """From `analysis.load_trials` and the searched columns; trials without a value are left out."""
    known = trials[trials["val_bits_per_dim"].notna() & trials["state"].isin(["COMPLETE", "PRUNED"])]
    names = [name for name in TITLES if name in searched] + [name for name in searched if name not in TITLES]
    values = known["val_bits_per_dim"].to_numpy(float)
    complete = (known["state"] == "COMPLETE").to_numpy(bool)
    scales = [scale_of(known[name], searched[name]) for name in names]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    span = high - low or 1.0
    steps = MaxNLocator(5).tick_values(low, high)
    positions = [position for position, _ in scales] + [(values - low) / span]
    ticks = [tick for _, tick in scales]
    ticks.append([((v - low) / span, f"{v:.4g}") for v in steps if low <= v <= high])
    titles = [TITLES.get(name, name) for name in names] + ["bits per\ndimension"]
    return Parallel(known["number"].to_numpy(int), titles, np.stack(positions, 1), ticks, values, complete)


def scale_of(column: pd.Series, distribution: BaseDistribution) -> tuple[np.ndarray, Ticks]:
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
    if not len(parallel.values):
        return draw_note("No trial has a value yet")
    count = len(parallel.axes)
    figure = Figure(figsize=(max(8, 2.6 * count + 2), 6.2))
    axes = figure.subplots()
    shown = parallel.values[parallel.complete] if parallel.complete.any() else parallel.values
    norm = Normalize(shown.min(), shown.max() if shown.max() > shown.min() else shown.min() + 1e-9)
    scale = ScalarMappable(norm, "cividis")
    best = int(np.where(parallel.complete, parallel.values, np.inf).argmin()) if parallel.complete.any() else -1
    x = np.linspace(0, count - 1, 60 * (count - 1) + 1)
    part = np.minimum(x.astype(int), count - 2)
    smooth = (x - part) ** 2 * (3 - 2 * (x - part))  # flat at the axes: lines that share a value stay apart
    for k in np.argsort(-parallel.values):
        y = parallel.positions[k, part] * (1 - smooth) + parallel.positions[k, part + 1] * smooth
        if k == best:
            axes.plot(x, y, color=OKABE_ITO["vermillion"], lw=8, zorder=4)
        color = scale.to_rgba(parallel.values[k]) if parallel.complete[k] else "0.8"
        axes.plot(x, y, color=color, lw=3.5 if k == best else 2.2, zorder=5 if k == best else 2 + parallel.complete[k])
    for position, ticks in enumerate(parallel.ticks):
        axes.axvline(position, color="0.25", lw=1.3, zorder=6)
        # the value's labels are where no line is
        side, align = (1, "left") if position == count - 1 else (-1, "right")
        text: Look = {"ha": align, "va": "center", "fontsize": 12, "path_effects": HALO, "zorder": 7}
        for height, label in ticks:
            axes.plot([position, position + 0.012 * side], [height, height], color="0.25", lw=1.3, zorder=6)
            axes.text(position + 0.025 * side, height, plain(label), **text)
    axes.set_xticks(range(count), [plain(title) for title in parallel.axes])
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0, pad=12, labelsize=14)
    axes.set_yticks([])
    axes.set(xlim=(-0.3, count - 0.8), ylim=(-0.04, 1.04))
    axes.spines[:].set_visible(False)
    handles = []
    if best >= 0:
        label = f"best: trial {parallel.numbers[best]}"
        handles.append(Line2D([], [], color=OKABE_ITO["vermillion"], lw=6, label=label))
    if not parallel.complete.all():
        handles.append(Line2D([], [], color="0.8", label="pruned"))
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
    return figure


def parallel_chart(parallel: Parallel) -> go.Figure | None:
    """Drag along an axis to keep the trials that cross it there."""
    lines = parallel.complete
    if lines.sum() < 2:
        return None
    dimensions = [
        {
            "label": escape(title.replace("\n", " ")),
            "values": parallel.positions[lines, k],
            "range": [0, 1],
            "tickvals": [position for position, _ in ticks],
            "ticktext": [escape(label) for _, label in ticks],
        }
        for k, (title, ticks) in enumerate(zip(parallel.axes, parallel.ticks, strict=True))
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
    draw=draw_parallel,
    chart=parallel_chart,
)
