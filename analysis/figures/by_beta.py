"""What the KL weight does: bits per dimension and active units of the complete trials.

N complete trials, G points of a smooth curve, B resamples of the trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

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
from analysis.statistics import LEVEL

BAND_TRIALS, BAND_BETAS = 15, 6
"""Complete trials, and different KL weights among them, below which there is no curve."""
NO_TRIALS = "No trial is complete yet: what the KL weight does is unknown"


@dataclass(frozen=True)
class Band:
    """A smooth of the trials and where it lies in 95 % of resamples; each (G,)."""

    beta: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


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
    band: Band | None
    """Of the bits over the KL weight; None of too few trials."""

    @property
    def share(self) -> np.ndarray:
        """Of the latents that are active, (N,) in [0, 1]."""
        return self.active_units / self.latent_dim

    @property
    def collapsed(self) -> np.ndarray:
        """(N,) bool: no unit is active, so the code says nothing about the image."""
        return self.active_units == 0

    @property
    def logarithmic(self) -> bool:
        """Whether a logarithmic axis can show the KL weights: all are above 0, and they differ."""
        return len(self.beta) > 0 and 0 < self.beta.min() < self.beta.max()


def compute_by_beta(trials: pd.DataFrame, resamples: int = 500, seed: int = 0) -> ByBeta:
    """From `analysis.load_trials`."""
    known = trials[(trials["state"] == "COMPLETE") & trials["val_bits_per_dim"].notna()]
    beta, bits = known["beta"].to_numpy(float), known["val_bits_per_dim"].to_numpy(float)
    enough = len(bits) >= BAND_TRIALS and len(np.unique(beta)) >= BAND_BETAS
    number, latent_dim, depth, active = (
        known[name].to_numpy(int) for name in ("number", "latent_dim", "depth", "val_active_units")
    )
    band = smooth_band(beta, bits, resamples, seed) if enough else None
    return ByBeta(number, beta, latent_dim, depth, bits, active, band)


def smooth_band(beta: np.ndarray, bits: np.ndarray, resamples: int, seed: int) -> Band:
    """Local linear regression (Cleveland 1979, J. Am. Stat. Assoc. 74(368)) of (N,) on (N,), in log beta
    where all are positive, with a Gaussian kernel of an eighth of the range; percentile bootstrap of trials.
    """
    logarithmic = beta.min() > 0
    x = np.log(beta) if logarithmic else beta
    at = np.linspace(x.min(), x.max(), 80)
    offset_GN = (x[None] - at[:, None]) / (np.ptp(x) / 8)
    weight_GN = np.exp(-0.5 * offset_GN**2)
    rng = np.random.default_rng(seed)
    counts_BN = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=resamples)
    counts_NB = np.concatenate([np.ones((1, len(x))), counts_BN]).T
    s0, s1, s2 = (weight_GN * offset_GN**k @ counts_NB for k in range(3))
    t0, t1 = (weight_GN * offset_GN**k @ (bits[:, None] * counts_NB) for k in range(2))
    # a ridge on the slope: where a resample has one KL weight alone, the curve is its mean
    s2 = s2 + 1e-3 * s0
    curves_GB = (s2 * t0 - s1 * t1) / (s0 * s2 - s1**2)
    low, high = np.quantile(curves_GB[:, 1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return Band(np.exp(at) if logarithmic else at, curves_GB[:, 0], low, high)


@styled
def draw_bits_by_beta(trials: ByBeta) -> Figure:
    """Colour is the latent size, the marker the depth, the band a smooth over all trials."""
    if not len(trials.number):
        return draw_note(NO_TRIALS)
    figure = Figure(figsize=(11, 6.5))
    axes = figure.subplots()
    handles = draw_trials(axes, trials, trials.bits)
    best = trials.bits.argmin()
    handles += axes.plot(
        trials.beta[best], trials.bits[best], "o", ms=20, mfc="none", mec=OKABE_ITO["vermillion"], mew=2.5,
        label=f"best: trial {trials.number[best]}", zorder=5,
    )  # fmt: skip
    axes.margins(y=0.08)
    axes.set_ylim(axes.get_ylim())  # the band may leave: the dots are what was measured
    if trials.band is not None:
        band = trials.band
        axes.fill_between(band.beta, band.low, band.high, color="0.6", alpha=0.3, lw=0, zorder=1)
        handles += axes.plot(band.beta, band.middle, color="0.35", zorder=2, label="mean of all, 95 % band")
    axes.set_ylabel(BITS_LABEL)
    size_bar(figure, axes, ScalarMappable(size_norm(trials.latent_dim), SEQUENTIAL), trials.latent_dim)
    axes.legend(handles=handles, frameon=True, framealpha=0.9)
    return figure


@styled
def draw_active_units(trials: ByBeta) -> Figure:
    """Counts on the left, shares of the latent size on the right; crosses where the code collapsed."""
    if not len(trials.number):
        return draw_note(NO_TRIALS)
    figure = Figure(figsize=(14, 6))
    panels = figure.subplots(1, 2)
    shown = (
        ("active units", trials.active_units),
        ("active units as a share of the latent size", trials.share),
    )
    for axes, (label, values) in zip(panels, shown, strict=True):
        handles = draw_trials(axes, trials, values)
        if trials.collapsed.any():
            many = f"collapsed: {trials.collapsed.sum()} of {len(trials.number)} trials"
            handles += axes.plot(
                trials.beta[trials.collapsed], values[trials.collapsed], "X", ms=13, mec="white",
                color=OKABE_ITO["vermillion"], label=many, zorder=5, clip_on=False,
            )  # fmt: skip
        axes.set_ylabel(label)
    panels[0].set_ylim(-0.04 * max(1, trials.active_units.max()), 1.06 * max(1, trials.active_units.max()))
    panels[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].set_ylim(-0.04, 1.06)
    panels[1].yaxis.set_major_formatter(PercentFormatter(1))
    size_bar(figure, panels, ScalarMappable(size_norm(trials.latent_dim), SEQUENTIAL), trials.latent_dim)
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def draw_trials(axes: Axes, trials: ByBeta, values: np.ndarray) -> list[Line2D]:
    """Dots of (N,) values over the KL weight, and the legend's handles of the depths."""
    handles = []
    for marker, depth in zip(MARKERS * 3, sorted(set(trials.depth.tolist())), strict=False):
        chosen = trials.depth == depth
        axes.scatter(
            trials.beta[chosen], values[chosen], c=trials.latent_dim[chosen],
            norm=size_norm(trials.latent_dim), cmap=SEQUENTIAL, marker=marker, s=110,
            edgecolors="white", linewidths=1, zorder=4, clip_on=False,
        )  # fmt: skip
        handles.append(Line2D([], [], marker=marker, ls="", color="0.35", ms=10, label=f"depth {depth}"))
    if trials.logarithmic:
        ticks = log_ticks(float(trials.beta.min()), float(trials.beta.max()))
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(BETA_LABEL, color=INK)
    axes.grid(True)
    return handles
