"""Where in the space the good trials are: bits per dimension over pairs of searched parameters.

N complete trials, G points along each side of a grid; positions are in [0, 1] over the searched range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution

from analysis.figures.study.parallel import scale_of
from analysis.figures.style import BITS_LABEL, OKABE_ITO, TITLES, draw_note, plain, styled
from analysis.statistics.gaussian_process import gaussian_process

LEAST_TRIALS = 6
PARAMETERS = 4
"""Whose pairs are shown at most: 6 panels."""
GRID = 40
Ticks = list[tuple[float, str]]


@dataclass(frozen=True)
class Axis:
    """One searched parameter."""

    name: str
    """Its column."""
    position: np.ndarray
    """(N,): logarithmic where it was drawn so; a choice's place in the list of choices."""
    ticks: Ticks
    drawn: list[str]
    """(N,) values, for people."""

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.name)


@dataclass(frozen=True)
class Panel:
    """One pair."""

    x: Axis
    y: Axis
    grid_x: np.ndarray
    """(G,), over the trials' own range."""
    grid_y: np.ndarray
    bits: np.ndarray
    """(G, G), a row a y: the fit's bits per dimension."""


@dataclass(frozen=True)
class Contours:
    """The pairs, or a note that says why there are none."""

    number: np.ndarray
    """(N,)"""
    values: np.ndarray
    """(N,) ``val_bits_per_dim``."""
    panels: list[Panel]
    left_out: list[str]
    """Titles of searched parameters beyond `PARAMETERS`."""
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
    trials: pd.DataFrame, searched: dict[str, BaseDistribution], order: Sequence[str] = (), seed: int = 0
) -> Contours:
    """From `analysis.load_trials` and the searched columns; ``order`` names those to prefer, such as an
    importance's, where there are more than `PARAMETERS`."""
    known = trials[(trials["state"] == "COMPLETE") & trials["val_bits_per_dim"].notna()]
    number, values = known["number"].to_numpy(int), known["val_bits_per_dim"].to_numpy(float)
    names = [*(name for name in (*order, *TITLES) if name in searched), *searched]
    axes = [axis_of(name, known[name], searched[name]) for name in dict.fromkeys(names)]
    varied = [axis for axis in axes if len(axis.position) and np.ptp(axis.position) > 0]
    note = ""
    if len(known) < LEAST_TRIALS:
        note = f"A contour needs {LEAST_TRIALS} complete trials; there are {len(known)} so far"
    elif len(varied) < 2:
        note = f"A contour needs 2 parameters that differ between complete trials; there are {len(varied)}"
    if note:
        return Contours(number, values, [], [], note)
    panels = [panel_of(x, y, values, seed) for x, y in combinations(varied[:PARAMETERS], 2)]
    return Contours(number, values, panels, [axis.title for axis in varied[PARAMETERS:]])


def axis_of(name: str, column: pd.Series, distribution: BaseDistribution) -> Axis:
    position, ticks = scale_of(column, distribution)
    drawn = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in column]
    return Axis(name, position, ticks, drawn)


def panel_of(x: Axis, y: Axis, values: np.ndarray, seed: int) -> Panel:
    grid_x, grid_y = (np.linspace(axis.position.min(), axis.position.max(), GRID) for axis in (x, y))
    at = np.stack(np.meshgrid(grid_x, grid_y), -1).reshape(-1, 2)
    points = np.stack([x.position, y.position], 1)
    bits, _ = gaussian_process(points, values, at, seed)
    return Panel(x, y, grid_x, grid_y, bits.reshape(GRID, GRID))


@styled
def draw_contours(contours: Contours) -> Figure:
    """Dark is low, and low is good; dots are the trials, the ringed one the best."""
    if contours.note:
        return draw_note(contours.note)
    count = len(contours.panels)
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    side = {1: 6.5, 2: 5.0}.get(columns, 4.1)
    figure = Figure(figsize=(side * columns + 1.6, 0.95 * side * rows + 0.6))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(panels, contours.panels, strict=False):
        filled = draw_panel(axes, panel, contours)
    for axes in panels[count:]:
        axes.set_visible(False)
    figure.colorbar(filled, ax=panels.tolist(), label=BITS_LABEL, pad=0.01)
    if contours.left_out:
        figure.suptitle(plain(f"not shown: {', '.join(contours.left_out)}"), fontsize=12, color="0.35")
    return figure


def draw_panel(axes: Axes, panel: Panel, contours: Contours) -> QuadContourSet:
    levels = contours.levels
    norm = Normalize(levels[0], levels[-1])
    filled = axes.contourf(panel.grid_x, panel.grid_y, panel.bits, levels, cmap="cividis", norm=norm, extend="both")
    axes.contour(panel.grid_x, panel.grid_y, panel.bits, levels, colors="white", linewidths=0.7, alpha=0.6)
    axes.scatter(
        panel.x.position,
        panel.y.position,
        c=contours.values,
        cmap="cividis",
        norm=norm,
        s=40,
        edgecolors="white",
        linewidths=1.1,
        zorder=3,
        clip_on=False,
    )
    best = contours.values.argmin()
    axes.plot(
        panel.x.position[best],
        panel.y.position[best],
        "o",
        ms=15,
        mfc="none",
        mew=2.5,
        zorder=4,
        mec=OKABE_ITO["vermillion"],
        clip_on=False,
    )
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xticks([place for place, _ in panel.x.ticks], [plain(label) for _, label in panel.x.ticks])
    axes.set_yticks([place for place, _ in panel.y.ticks], [plain(label) for _, label in panel.y.ticks])
    axes.set_xlabel(plain(panel.x.title))
    axes.set_ylabel(plain(panel.y.title))
    return filled
