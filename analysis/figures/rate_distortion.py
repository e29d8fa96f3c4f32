"""The rate-distortion plane (Alemi et al. 2018, arXiv:1711.00464): what a trial pays, and what it gets.

N runs: the complete trials, and the final training as the last where it is finished.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.best import Run
from analysis.figures.style import (
    HALO,
    INK,
    MARKERS,
    OKABE_ITO,
    SEQUENTIAL,
    beta_bar,
    beta_norm,
    draw_note,
    styled,
)

LABELLED = 14
"""Runs above which only the front's are labelled."""


@dataclass(frozen=True)
class RateDistortion:
    """Each (N,), on the validation images; rate and distortion in nats per image."""

    label: list[str]
    rate: np.ndarray
    distortion: np.ndarray
    """Under the calibrated discrete likelihood, ``val_nelbo - val_rate``: rate + distortion is then the
    yardstick, -ELBO, and lines of equal bits per dimension have slope -1."""
    beta: np.ndarray
    latent_dim: np.ndarray
    depth: np.ndarray
    is_front: np.ndarray
    """No other trial has both a lower rate and a lower distortion. The final training, which had more
    epochs, is not compared."""
    has_final: bool
    nats_per_bit: float
    """Nats per image that make one bit per dimension: dimensions x ln 2."""

    @property
    def bits_per_dim(self) -> np.ndarray:
        return (self.rate + self.distortion) / self.nats_per_bit


def pareto_front(rate: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """(N,), (N,) -> (N,) bool: the points that no other is at least as low as in both and lower in one."""
    no_worse = (rate[None] <= rate[:, None]) & (distortion[None] <= distortion[:, None])
    better = (rate[None] < rate[:, None]) | (distortion[None] < distortion[:, None])
    return np.logical_not((no_worse & better).any(1))


def compute_rate_distortion(trials: pd.DataFrame, final: Run | None, dimensions: int) -> RateDistortion:
    """From `analysis.load_trials`, the finished final training, and the numbers in an image."""
    known = trials[(trials["state"] == "COMPLETE") & trials["val_nelbo"].notna()]
    columns = ["val_rate", "val_nelbo", "beta", "latent_dim", "depth"]
    table = [[float(value) for value in row] for row in known[columns].to_numpy()]
    labels = [f"trial {number}" for number in known["number"]]
    if final is not None:
        config = final.config
        axes = [config.beta, float(config.model.latent_dim), float(config.model.depth)]
        table.append([final.best["val_rate"], final.best["val_nelbo"], *axes])
        labels.append(final.label)
    rate, nelbo, beta, latent_dim, depth = np.array(table).reshape(-1, 5).T
    distortion = nelbo - rate
    is_front = np.zeros(len(labels), dtype=bool)
    is_front[: len(known)] = pareto_front(rate[: len(known)], distortion[: len(known)])
    return RateDistortion(
        labels, rate, distortion, beta, latent_dim.astype(int), depth.astype(int),
        is_front, final is not None, dimensions * math.log(2),
    )  # fmt: skip


@styled
def draw_rate_distortion(plane: RateDistortion) -> Figure:
    """Colour is the KL weight, the marker the depth, the number beside it the latent size."""
    if not plane.label:
        return draw_note("No trial is complete yet: the rate-distortion plane is empty")
    figure = Figure(figsize=(11.5, 7.5))
    axes = figure.subplots()
    frame_plane(axes, plane)
    front = np.flatnonzero(plane.is_front)[np.argsort(plane.rate[plane.is_front])]
    axes.plot(plane.rate[front], plane.distortion[front], color="0.35", lw=1.6, ls="--", zorder=2)
    norm = beta_norm(plane.beta)
    depths = sorted(set(plane.depth.tolist()))
    for marker, depth in zip(MARKERS * 3, depths, strict=False):
        chosen = plane.depth == depth
        axes.scatter(
            plane.rate[chosen], plane.distortion[chosen], c=plane.beta[chosen], norm=norm, cmap=SEQUENTIAL,
            marker=marker, s=170, edgecolors="white", linewidths=1.2, zorder=4,
        )  # fmt: skip
    if plane.has_final:
        axes.scatter(
            plane.rate[-1:], plane.distortion[-1:], s=430, marker="o", facecolors="none", linewidths=2.5,
            edgecolors=OKABE_ITO["vermillion"], zorder=5,
        )  # fmt: skip
    for k in range(len(plane.label)):
        if len(plane.label) <= LABELLED or plane.is_front[k]:
            axes.annotate(
                f"{plane.latent_dim[k]}", (plane.rate[k], plane.distortion[k]), xytext=(11, 7),
                textcoords="offset points", fontsize=12, path_effects=HALO, zorder=6,
            )  # fmt: skip
    beta_bar(figure, axes, ScalarMappable(norm, SEQUENTIAL))
    handles = [
        Line2D([], [], marker=marker, ls="", color="0.35", ms=11, label=f"depth {depth}")
        for marker, depth in zip(MARKERS * 3, depths, strict=False)
    ]
    handles.append(Line2D([], [], color="0.35", lw=1.6, ls="--", label="Pareto front"))
    if plane.has_final:
        ring: dict[str, Any] = {
            "marker": "o",
            "ls": "",
            "ms": 16,
            "mfc": "none",
            "mec": OKABE_ITO["vermillion"],
            "mew": 2.5,
        }
        handles.append(Line2D([], [], label="final training", **ring))
    axes.legend(handles=handles, title="number: latent size", labelspacing=0.7, frameon=True, framealpha=0.9)
    return figure


def frame_plane(axes: Axes, plane: RateDistortion) -> None:
    """Limits, axis titles, and the lines of equal bits per dimension."""
    for values, limit in ((plane.rate, axes.set_xlim), (plane.distortion, axes.set_ylim)):
        low, high = values.min(), values.max()
        margin = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
        limit(low - margin, high + margin)
    x, y = np.meshgrid(np.linspace(*axes.get_xlim(), 50), np.linspace(*axes.get_ylim(), 50))
    lines = axes.contour(x, y, (x + y) / plane.nats_per_bit, levels=9, colors="0.8", linewidths=1, zorder=1)
    axes.clabel(lines, fmt="%.3g bits/dim", fontsize=10, colors="0.45")
    axes.set_xlabel("rate R: KL(q(z|x), prior) (nats per image)")
    axes.set_ylabel("distortion under the calibrated likelihood:\n-ELBO - R (nats per image)", color=INK)
