"""Where in the space the good trials are: bits per dimension over pairs of searched parameters. N complete trials, G
points along each side of a grid; positions are in [0, 1] over the searched range."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution

from analysis.figures.plotly_style import add_dots, coloured, panel_chart
from analysis.figures.registry import StudyFigure
from analysis.figures.study import importance
from analysis.figures.study.parallel import Axis, searched_axes
from analysis.figures.style import BITS_LABEL, RING, Look, panel_axes, panel_grid, plain, styled
from analysis.reading.frames import complete_trials
from analysis.statistics.gaussian_process import gaussian_process

_LEAST_TRIALS = 6
_PARAMETERS = 4  # whose pairs are shown at most: 6 panels
_GRID = 40


@dataclass(frozen=True)
class Panel:
    """One pair."""

    x: Axis
    y: Axis
    grid_x: np.ndarray  # (G,), over the trials' own range
    grid_y: np.ndarray
    bits: np.ndarray  # (G, G), a row a y: the fit's bits per dimension


@dataclass(frozen=True)
class Contours:
    """The pairs, or a note that says why there are none."""

    number: np.ndarray  # (N,)
    values: np.ndarray  # (N,) ``val_bits_per_dim``
    panels: list[Panel]
    left_out: list[str]  # titles of searched parameters beyond `_PARAMETERS`
    note: str = ""

    @property
    def levels(self) -> np.ndarray:
        """Bits per dimension at which the lines of all panels are; without the worst tenth of the trials,
        whose range would take all the colours."""
        low = min(float(panel.bits.min()) for panel in self.panels)
        high = max(float(panel.bits.max()) for panel in self.panels)
        high = min(high, float(np.quantile(self.values, 0.9)))
        return np.asarray(MaxNLocator(10).tick_values(low, high if high > low else low + 1e-6))


def compute_contours(
    trials: pd.DataFrame, searched: dict[str, BaseDistribution], order: Sequence[str] = ()
) -> Contours:
    """From `analysis.load_trials` and the searched columns; ``order`` names those to prefer, such as an
    importance's, where there are more than `_PARAMETERS`."""
    known = complete_trials(trials)
    number, values = known["number"].to_numpy(int), known["val_bits_per_dim"].to_numpy(float)
    varied = [axis for axis in searched_axes(known, searched, order) if len(known) and np.ptp(axis.position) > 0]
    note = ""
    if len(known) < _LEAST_TRIALS:
        note = f"A contour needs {_LEAST_TRIALS} complete trials; there are {len(known)} so far"
    elif len(varied) < 2:
        note = f"A contour needs 2 parameters that differ between complete trials; there are {len(varied)}"
    shown = [] if note else varied[:_PARAMETERS]
    panels = [_panel_of(x, y, values) for x, y in combinations(shown, 2)]
    return Contours(number, values, panels, [axis.title for axis in varied[_PARAMETERS:]], note)


def _panel_of(x: Axis, y: Axis, values: np.ndarray) -> Panel:
    grid_x, grid_y = (np.linspace(axis.position.min(), axis.position.max(), _GRID) for axis in (x, y))
    at = np.stack(np.meshgrid(grid_x, grid_y), -1).reshape(-1, 2)
    bits, _ = gaussian_process(np.stack([x.position, y.position], 1), values, at)
    return Panel(x, y, grid_x, grid_y, bits.reshape(_GRID, _GRID))


@styled
def draw_contours(contours: Contours) -> Figure:
    """Dark is low, and low is good; dots are the trials, the ringed one the best."""
    rows, columns = panel_grid(len(contours.panels))
    side = {1: 6.5, 2: 5.0}.get(columns, 4.1)
    figure = Figure(figsize=(side * columns + 1.6, 0.95 * side * rows + 0.6))
    levels, best = contours.levels, contours.values.argmin()
    colors: Look = {"cmap": "cividis", "norm": Normalize(levels[0], levels[-1])}
    dots: Look = {"s": 40, "edgecolors": "white", "linewidths": 1.1, "zorder": 3, "clip_on": False}
    for axes, panel in zip(panel_axes(figure, len(contours.panels)), contours.panels, strict=True):
        x, y, grid = panel.x, panel.y, (panel.grid_x, panel.grid_y, panel.bits)
        filled = axes.contourf(*grid, levels, extend="both", **colors)
        axes.contour(*grid, levels, colors="white", linewidths=0.7, alpha=0.6)
        axes.scatter(x.position, y.position, c=contours.values, **colors, **dots)
        axes.plot(x.position[best], y.position[best], ms=15, zorder=4, clip_on=False, **RING)
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel=plain(x.title), ylabel=plain(y.title))
        axes.set_xticks([place for place, _ in x.ticks], [plain(label) for _, label in x.ticks])
        axes.set_yticks([place for place, _ in y.ticks], [plain(label) for _, label in y.ticks])
    figure.colorbar(filled, ax=figure.axes, label=BITS_LABEL, pad=0.01)
    if contours.left_out:
        figure.suptitle(plain(f"not shown: {', '.join(contours.left_out)}"), fontsize=12, color="0.35")
    return figure


def contour_chart(contours: Contours) -> go.Figure:
    """A panel a pair of parameters; hover a trial for what it drew."""
    levels = contours.levels
    # a colour scale each: plotly.js 4 never comes to an end where a contour and markers share a colour axis
    colors = {"colorscale": "Cividis", "colorbar": {"title": {"text": "bits/dim"}}}
    lines = {"start": levels[0], "end": levels[-1], "size": levels[1] - levels[0], "coloring": "fill"}
    look: Look = {"contours": lines, "line": {"width": 0.5, "color": "white"}, "zmin": levels[0], "zmax": levels[-1]}
    dots = coloured(levels, "Cividis", None) | {"size": 8, "color": contours.values}
    figure, places = panel_chart(len(contours.panels), horizontal_spacing=0.09, vertical_spacing=0.16)
    for k, (panel, place) in enumerate(zip(contours.panels, places, strict=True)):
        grid = {"x": panel.grid_x, "y": panel.grid_y, "z": panel.bits}
        figure.add_contour(**grid, **look, **colors, showscale=k == 0, hoverinfo="skip", **place)
        rows = zip(contours.number, contours.values, _told(panel.x), _told(panel.y), strict=True)
        texts = [f"trial {number}: {bits:.4f} bits/dim<br>{x}<br>{y}" for number, bits, x, y in rows]
        where = (panel.x.position, panel.y.position)
        add_dots(figure, *where, "%{text}", text=texts, marker=dots, showlegend=False, **place)
        figure.update_xaxes(**_ticked(panel.x), **place)
        figure.update_yaxes(**_ticked(panel.y), **place)
    return figure.update_layout(height=120 + 340 * places[-1]["row"])


def _told(axis: Axis) -> list[str]:
    return [escape(f"{axis.title} {value}") for value in axis.drawn]


def _ticked(axis: Axis) -> dict[str, Any]:
    """An axis over positions in [0, 1], labelled by what was drawn."""
    places, labels = zip(*axis.ticks, strict=True)
    ticks = {"tickvals": places, "ticktext": [escape(label) for label in labels]}
    return {"title": escape(axis.title), "range": [-0.05, 1.05], "automargin": True} | ticks


FIGURE = StudyFigure(
    name="contour",
    order=50,
    caption="Bits per dimension over each pair of parameters, by a Gaussian process through the complete trials "
    "(dots); dark is better, the ring is the best trial.",
    compute=lambda study: compute_contours(study.trials, study.record.searched, study.of(importance.FIGURE).names),
    note=lambda contours: contours.note,
    draw=draw_contours,
    chart=contour_chart,
)
