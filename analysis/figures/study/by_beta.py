"""What the KL weight does: bits per dimension and active units of the complete trials.

N complete trials, G points of a curve.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from scipy.stats import t

from analysis.figures.style import (
    BETA_LABEL,
    BITS_LABEL,
    INK,
    MARKERS,
    OKABE_ITO,
    SEQUENTIAL,
    draw_note,
    log_ticks,
    size_bar,
    size_norm,
    styled,
)
from analysis.statistics.gaussian_process import gaussian_process
from analysis.statistics.resampling import LEVEL

BAND_TRIALS, BAND_BETAS = 15, 6
"""Complete trials, and different KL weights among them, below which there is no curve."""
SIZES, PANELS = 3, 6
"""Latent sizes that have a curve, at most, and groups of depths that have a panel."""
GRID = 60
NO_TRIALS = "No trial is complete yet: what the KL weight does is unknown"


@dataclass(frozen=True)
class Curve:
    """What a Gaussian process through all trials expects at one latent size and the depth of one panel, and
    the 95 % band of that mean; each (G,)."""

    latent_dim: int
    beta: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Panel:
    """The trials of one depth, or of a few neighbouring ones where there are many."""

    depths: list[int]
    chosen: np.ndarray
    """(N,) bool"""
    curves: list[Curve]

    @property
    def title(self) -> str:
        first, last = self.depths[0], self.depths[-1]
        return f"depth {first}" if first == last else f"depth {first} to {last}"


@dataclass(frozen=True)
class ByBeta:
    """Each (N,), of the trials' best epochs on the validation images."""

    number: np.ndarray
    beta: np.ndarray
    latent_dim: np.ndarray
    depth: np.ndarray
    bits: np.ndarray
    """Per dimension."""
    active_units: np.ndarray
    panels: list[Panel]
    """By depth; without curves of too few trials."""

    @property
    def share(self) -> np.ndarray:
        """Of the latents that are active, (N,) in [0, 1]."""
        return self.active_units / self.latent_dim

    @property
    def collapsed(self) -> np.ndarray:
        """(N,) bool: no unit is active, so the code says nothing about the image."""
        return self.active_units == 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that the panels are laid out in."""
        columns = min(len(self.panels), 3)
        return math.ceil(len(self.panels) / columns), columns

    @property
    def span(self) -> tuple[float, float]:
        """Of the axis of bits: that of the dots, which were measured; a band may leave it."""
        room = 0.06 * float(np.ptp(self.bits)) or 0.01
        return float(self.bits.min()) - room, float(self.bits.max()) + room

    @property
    def logarithmic(self) -> bool:
        """Whether a logarithmic axis can show the KL weights: all are above 0, and they differ."""
        return len(self.beta) > 0 and 0 < self.beta.min() < self.beta.max()


def compute_by_beta(trials: pd.DataFrame) -> ByBeta:
    """From `analysis.load_trials`."""
    known = trials[(trials["state"] == "COMPLETE") & trials["val_bits_per_dim"].notna()]
    beta, bits = known["beta"].to_numpy(float), known["val_bits_per_dim"].to_numpy(float)
    number, latent_dim, depth, active = (
        known[name].to_numpy(int) for name in ("number", "latent_dim", "depth", "val_active_units")
    )
    return ByBeta(number, beta, latent_dim, depth, bits, active, panels_of(beta, latent_dim, depth, bits))


def panels_of(beta: np.ndarray, latent_dim: np.ndarray, depth: np.ndarray, bits: np.ndarray) -> list[Panel]:
    """Each (N,). A curve spans the KL weights of its panel's trials."""
    levels = np.unique(depth)
    groups = np.array_split(levels, min(PANELS, len(levels))) if len(levels) else []
    masks = [np.isin(depth, group) for group in groups]
    curves: list[list[Curve]] = [[] for _ in groups]
    if len(bits) >= BAND_TRIALS and len(np.unique(beta)) >= BAND_BETAS:
        x, back = (np.log(beta), np.exp) if beta.min() > 0 else (beta, np.asarray)
        asked = [(k, size) for k in range(len(masks)) for size in typical(latent_dim)]
        at = [
            [
                (value, math.log(size), np.median(depth[masks[k]]))
                for value in np.linspace(x[masks[k]].min(), x[masks[k]].max(), GRID)
            ]
            for k, size in asked
        ]
        points = np.stack([x, np.log(latent_dim), depth], 1)
        middle, deviation = gaussian_process(points, bits, np.reshape(at, (-1, 3)))
        # scale, noise and lengths were estimated too: a t quantile widens the band of few trials
        half = t.ppf((1 + LEVEL) / 2, len(bits) - points.shape[1] - 2) * deviation
        for n, (k, size) in enumerate(asked):
            part = slice(n * GRID, (n + 1) * GRID)
            along = back(np.asarray(at[n])[:, 0])
            curves[k].append(Curve(size, along, middle[part], (middle - half)[part], (middle + half)[part]))
    return [Panel(group.tolist(), mask, found) for group, mask, found in zip(groups, masks, curves, strict=True)]


def typical(sizes: np.ndarray) -> list[int]:
    """At most `SIZES` of the latent sizes (N,) there are: the smallest, the largest, and between them those
    nearest to even steps of their logarithm."""
    steps = np.linspace(math.log(sizes.min()), math.log(sizes.max()), SIZES)
    nearest = np.abs(np.log(sizes) - steps[:, None]).argmin(1)
    return np.unique(sizes[nearest]).tolist()


@styled
def draw_bits_by_beta(trials: ByBeta) -> Figure:
    """A panel a depth; colour is the latent size, of a dot and of the mean expected with its 95 % band."""
    if not len(trials.number):
        return draw_note(NO_TRIALS)
    rows, columns = trials.shape
    figure = Figure(figsize=({1: 11, 2: 14}.get(columns, 15.5), 6.5 if rows == 1 else 9.5))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    best = int(trials.bits.argmin())
    colors = ScalarMappable(size_norm(trials.latent_dim), SEQUENTIAL)

    def shade(size: int) -> tuple[float, float, float, float]:
        return tuple(colors.to_rgba(np.array([size]))[0].tolist())

    handles: list[Line2D] = []
    for axes in grid[len(trials.panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid, trials.panels, strict=False):
        draw_trials(axes, trials, trials.bits, panel.chosen)
        if panel.chosen[best]:
            handles = axes.plot(
                trials.beta[best],
                trials.bits[best],
                "o",
                ms=20,
                mfc="none",
                mec=OKABE_ITO["vermillion"],
                mew=2.5,
                label=f"best: trial {trials.number[best]}",
                zorder=5,
            )
        axes.set_title(panel.title)
    grid[0].set_ylim(trials.span)
    for axes, panel in zip(grid, trials.panels, strict=False):
        for curve in panel.curves:
            color = shade(curve.latent_dim)
            axes.fill_between(curve.beta, curve.low, curve.high, color=color, alpha=0.22, lw=0, zorder=1)
            axes.plot(curve.beta, curve.middle, color=color, lw=2.5, zorder=2)
    for axes in grid[::columns]:
        axes.set_ylabel(BITS_LABEL)
    lines = [
        Line2D([], [], color=shade(curve.latent_dim), label=f"latent size {curve.latent_dim}")
        for curve in trials.panels[0].curves
    ]
    size_bar(figure, grid.tolist(), colors, trials.latent_dim)
    figure.legend(handles=[*lines, *handles], loc="outside upper center", ncols=SIZES + 1)
    return figure


@styled
def draw_active_units(trials: ByBeta) -> Figure:
    """Counts on the left, shares of the latent size on the right; crosses where the code collapsed."""
    if not len(trials.number):
        return draw_note(NO_TRIALS)
    figure = Figure(figsize=(14, 6))
    panels = figure.subplots(1, 2)
    shown = (("active units", trials.active_units), ("active units as a share of the latent size", trials.share))
    for axes, (label, values) in zip(panels, shown, strict=True):
        handles = draw_trials(axes, trials, values)
        if trials.collapsed.any():
            many = f"collapsed: {trials.collapsed.sum()} of {len(trials.number)} trials"
            handles += axes.plot(
                trials.beta[trials.collapsed],
                values[trials.collapsed],
                "X",
                ms=13,
                mec="white",
                color=OKABE_ITO["vermillion"],
                label=many,
                zorder=5,
                clip_on=False,
            )
        axes.set_ylabel(label)
    panels[0].set_ylim(-0.04 * max(1, trials.active_units.max()), 1.06 * max(1, trials.active_units.max()))
    panels[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].set_ylim(-0.04, 1.06)
    panels[1].yaxis.set_major_formatter(PercentFormatter(1))
    size_bar(figure, panels, ScalarMappable(size_norm(trials.latent_dim), SEQUENTIAL), trials.latent_dim)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def draw_trials(axes: Axes, trials: ByBeta, values: np.ndarray, shown: np.ndarray | None = None) -> list[Line2D]:
    """Dots of (N,) values over the KL weight, all or those ``shown``; the legend's handles of the depths."""
    handles = []
    for marker, depth in zip(MARKERS * 3, sorted(set(trials.depth.tolist())), strict=False):
        chosen = trials.depth == depth
        if shown is not None:
            chosen &= shown
        axes.scatter(
            trials.beta[chosen],
            values[chosen],
            c=trials.latent_dim[chosen],
            norm=size_norm(trials.latent_dim),
            cmap=SEQUENTIAL,
            marker=marker,
            s=110,
            edgecolors="white",
            linewidths=1,
            zorder=4,
            clip_on=False,
        )
        handles.append(Line2D([], [], marker=marker, ls="", color="0.35", ms=10, label=f"depth {depth}"))
    if trials.logarithmic:
        ticks = log_ticks(float(trials.beta.min()), float(trials.beta.max()))
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(BETA_LABEL, color=INK)
    axes.grid(True)
    return handles
