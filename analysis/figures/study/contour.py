"""Where in the space the good trials are: what judges them, over pairs of searched parameters. N complete trials, G
and H points along the sides of a grid; positions are in [0, 1] over the searched range."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution

from analysis.figures.plotly_style import add_dots, add_rings, coloured, panel_chart
from analysis.figures.registry import StudyFigure
from analysis.figures.study import importance
from analysis.figures.study._judged import Judged
from analysis.figures.study.parallel import Axis, searched_axes
from analysis.figures.style import RING, Look, panel_axes, panel_grid, plain, shorten, styled, wrapped
from analysis.reading.frames import complete_trials
from analysis.statistics.gaussian_process import gaussian_process

_LEAST_TRIALS = 6
_PARAMETERS = 4  # whose pairs are shown at most: 6 panels
_GRID = 40
_ALONG = 160  # points along a strip
_STRIP = 0.35  # of the way to the next value: half the width of a discrete axis's strips
_LIMITS = (-0.12, 1.12)  # of both axes
_APART = 0.14  # between labels
_LONGEST = 16  # characters of a choice
_BESIDE = 4  # labels that have room beside each other where they are turned a little
_UPRIGHT = 7  # characters above which the labels of an x axis are turned


@dataclass(frozen=True)
class Panel:
    """One pair."""

    x: Axis
    y: Axis
    grid_x: np.ndarray  # (G,), over the trials' own range; of a discrete axis the values that they have
    grid_y: np.ndarray  # (H,)
    fit: np.ndarray  # (H, G), a row a y: what is expected there, where it is drawn

    @property
    def is_smooth(self) -> bool:
        """Whether there is something between any two values of both."""
        return not (self.x.is_discrete or self.y.is_discrete)

    @property
    def strips(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The edges of cells along x and y, and the fit in each; NaN between the values of a discrete axis."""
        columns, edges_x = _cells(self.grid_x, self.x.is_discrete)
        rows, edges_y = _cells(self.grid_y, self.y.is_discrete)
        padded = np.pad(self.fit, (0, 1), constant_values=np.nan)  # a gap is the cell -1
        return edges_x, edges_y, padded[np.ix_(rows, columns)]


def _cells(grid: np.ndarray, is_discrete: bool) -> tuple[np.ndarray, np.ndarray]:
    """(G,) rising -> (E,) int and (E + 1,): which point each cell shows, -1 where none, and the cells' edges."""
    if not is_discrete:
        middles = (grid[1:] + grid[:-1]) / 2
        return np.arange(len(grid)), np.array([grid[0], *middles, grid[-1]])
    half = min(_STRIP * float(np.diff(grid).min(initial=1.0)), 0.1)
    cells = np.full(2 * len(grid) - 1, -1)
    cells[::2] = np.arange(len(grid))
    return cells, np.stack([grid - half, grid + half], 1).ravel()


@dataclass(frozen=True)
class Contours:
    """The pairs, or a note that says why there are none."""

    number: np.ndarray  # (N,)
    values: np.ndarray  # (N,) what judges them
    marked: np.ndarray  # (N,) bool: on the front, or the best
    judged: Judged
    panels: list[Panel]
    left_out: list[str]  # titles of searched parameters beyond `_PARAMETERS`
    note: str = ""

    @property
    def places(self) -> np.ndarray:
        """(N,) the values where they are drawn."""
        return self.judged.place(self.values)

    @property
    def levels(self) -> np.ndarray:
        """Places at which the lines of all panels are; without the worst tenth of the trials, whose range would take
        all the colours."""
        low = min(float(panel.fit.min()) for panel in self.panels)
        high = max(float(panel.fit.max()) for panel in self.panels)
        high = min(high, float(np.quantile(self.places, 0.9)))
        return np.asarray(MaxNLocator(10).tick_values(low, high if high > low else low + 1e-6))


def compute_contours(
    trials: pd.DataFrame, searched: dict[str, BaseDistribution], judged: Judged, order: Sequence[str] = ()
) -> Contours:
    """From `analysis.load_trials` and the searched columns; ``order`` names those to prefer, such as an
    importance's, where there are more than `_PARAMETERS`."""
    known = complete_trials(trials)
    known = known[np.isfinite(known[judged.column])]
    number, values = known["number"].to_numpy(int), known[judged.column].to_numpy(float)
    varied = [axis for axis in searched_axes(known, searched, order) if _vary_together(axis)]
    note = ""
    if len(known) < _LEAST_TRIALS:
        note = f"A contour needs {_LEAST_TRIALS} complete trials; there are {len(known)} so far"
    elif len(varied) < 2:
        note = f"A contour needs 2 parameters that differ between complete trials; there are {len(varied)}"
    shown = [] if note else varied[:_PARAMETERS]
    panels = [_panel_of(x, y, judged.place(values)) for x, y in combinations(shown, 2) if _vary_together(x, y)]
    if not (note or panels):
        note = "A contour needs 2 parameters that differ between the trials that use both"
    left_out = [axis.title for axis in varied[_PARAMETERS:]]
    return Contours(number, values, judged.marked(known), judged, panels, left_out, note)


def _vary_together(*axes: Axis) -> bool:
    """Whether each varies among the trials that use them all."""
    both = np.all([axis.is_used for axis in axes], axis=0)
    return all(len(np.unique(axis.position[both])) > 1 for axis in axes)


def _panel_of(x: Axis, y: Axis, values: np.ndarray) -> Panel:
    smooth = not (x.is_discrete or y.is_discrete)
    both = x.is_used & y.is_used
    grid_x, grid_y = (_grid_of(axis, both, _GRID if smooth else _ALONG) for axis in (x, y))
    at = np.stack(np.meshgrid(grid_x, grid_y), -1).reshape(-1, 2)
    fit, _ = gaussian_process(np.stack([x.position, y.position], 1)[both], values[both], at)
    return Panel(x, y, grid_x, grid_y, fit.reshape(len(grid_y), len(grid_x)))


def _grid_of(axis: Axis, kept: np.ndarray, count: int) -> np.ndarray:
    at = axis.position[kept]
    return np.unique(at) if axis.is_discrete else np.linspace(at.min(), at.max(), count)


@styled
def draw_contours(contours: Contours) -> Figure:
    """Dark is low, and low is good; dots are the trials, the ringed ones the best. A discrete axis has strips."""
    rows, columns = panel_grid(len(contours.panels))
    side = {1: 6.5, 2: 5.0}.get(columns, 4.1)
    figure = Figure(figsize=(side * columns + 1.6, 0.95 * side * rows + 0.6))
    levels, marked = contours.levels, contours.marked
    colors: Look = {"cmap": "cividis", "norm": Normalize(levels[0], levels[-1])}
    dots: Look = {"s": 40, "edgecolors": "white", "linewidths": 1.1, "zorder": 3, "clip_on": False}
    for axes, panel in zip(panel_axes(figure, len(contours.panels)), contours.panels, strict=True):
        x, y = panel.x, panel.y
        if panel.is_smooth:
            grid = (panel.grid_x, panel.grid_y, panel.fit)
            axes.contourf(*grid, levels, extend="both", **colors)
            axes.contour(*grid, levels, colors="white", linewidths=0.7, alpha=0.6)
        else:
            axes.pcolormesh(*panel.strips, rasterized=True, **colors)
        axes.scatter(x.position, y.position, c=contours.places, **colors, **dots)
        axes.plot(x.position[marked], y.position[marked], ms=12, zorder=4, clip_on=False, **RING)
        axes.set(xlim=_LIMITS, ylim=_LIMITS, xlabel=_title(x), ylabel=_title(y))
        for axis, of in ((axes.xaxis, x), (axes.yaxis, y)):
            places, labels = zip(*_ticks(of), strict=True)
            axis.set_ticks(places, list(map(plain, labels)))
        names = [label for _, label in _ticks(x)]
        if max(map(len, names)) > _UPRIGHT:
            axes.tick_params(axis="x", labelrotation=20 if len(names) <= _BESIDE else 90)
    look: Look = {"label": contours.judged.short, "pad": 0.01, "extend": "both"}
    bar = figure.colorbar(ScalarMappable(**colors), ax=figure.axes, **look)
    contours.judged.scale(bar.ax.yaxis, levels)
    handle = Line2D([], [], **RING | {"ms": 12, "label": contours.judged.mark(contours.number[marked])})
    figure.legend(handles=[handle], loc="outside upper right")
    if contours.left_out:
        figure.suptitle(plain(f"not shown: {', '.join(contours.left_out)}"), fontsize=12, color="0.35")
    return figure


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Of a small panel: the ends, and the others that have room beside them; all choices."""
    ends = [axis.ticks[0], *axis.ticks[:0:-1]]
    kept: list[tuple[float, str]] = []
    for place, label in ends:
        if axis.is_discrete or all(abs(place - other) > _APART for other, _ in kept):
            kept.append((place, shorten(label, _LONGEST)))
    return sorted(kept)


def _title(axis: Axis) -> str:
    return plain(wrapped(axis.title, 2 * _LONGEST))


def contour_chart(contours: Contours) -> go.Figure:
    """A panel a pair of parameters; hover a trial for what it drew."""
    levels, judged = contours.levels, contours.judged
    # a colour scale each: plotly.js 4 never comes to an end where a contour and markers share a colour axis
    bar = {"title": {"text": judged.short}, **judged.chart_scale(levels)}
    colors: Look = {"colorscale": "Cividis", "colorbar": bar, "zmin": levels[0], "zmax": levels[-1]}
    lines = {"start": levels[0], "end": levels[-1], "size": levels[1] - levels[0], "coloring": "fill"}
    look: Look = {"contours": lines, "line": {"width": 0.5, "color": "white"}, **colors}
    dots = coloured(levels, "Cividis", None) | {"size": 8, "color": contours.places}
    figure, places = panel_chart(len(contours.panels), horizontal_spacing=0.09, vertical_spacing=0.16)
    for k, (panel, place) in enumerate(zip(contours.panels, places, strict=True)):
        once: Look = {"showscale": k == 0, "hoverinfo": "skip", **place}
        if panel.is_smooth:
            figure.add_contour(x=panel.grid_x, y=panel.grid_y, z=panel.fit, **look, **once)
        else:
            edges_x, edges_y, fit = panel.strips
            figure.add_heatmap(x=edges_x, y=edges_y, z=fit, hoverongaps=False, **colors, **once)
        rows = zip(contours.number, contours.values, _told(panel.x), _told(panel.y), strict=True)
        texts = [f"trial {number}: {judged.told(value)}<br>{x}<br>{y}" for number, value, x, y in rows]
        where = (panel.x.position, panel.y.position)
        add_dots(figure, *where, "%{text}", text=texts, marker=dots, showlegend=False, **place)
        best_x, best_y = (at[contours.marked] for at in where)
        label = judged.mark(contours.number[contours.marked])
        add_rings(figure, best_x, best_y, label, showlegend=k == 0, **place)
        figure.update_xaxes(**_ticked(panel.x), **place)
        figure.update_yaxes(**_ticked(panel.y), **place)
    return figure.update_layout(height=120 + 340 * places[-1]["row"])


def _told(axis: Axis) -> list[str]:
    return [escape(f"{axis.title} {value}") for value in axis.drawn]


def _ticked(axis: Axis) -> dict[str, Any]:
    """An axis over positions in [0, 1], labelled by what was drawn."""
    places, labels = zip(*_ticks(axis), strict=True)
    ticks = {"tickvals": places, "ticktext": list(map(escape, labels))}
    return {"title": escape(axis.title), "range": _LIMITS, "automargin": True} | ticks


FIGURE = StudyFigure(
    name="contour",
    title="Where the good trials are",
    order=50,
    caption="Each pair of parameters: what one objective minimises, or of two the excess (nats above the lowest "
    "D + βR of the study at the same KL weight), by a Gaussian process through the complete trials (dots). Dark is "
    "better; ringed: the best, or the front. A parameter of few values has a strip for each: nothing is between them.",
    compute=lambda study: compute_contours(
        study.trials, study.record.searched, Judged.of(study.record), study.of(importance.FIGURE).names
    ),
    note=lambda contours: contours.note,
    draw=draw_contours,
    chart=contour_chart,
)
