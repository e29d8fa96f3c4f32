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

from analysis.figures.style import HALO, INK, MARKERS, OKABE_ITO, SEQUENTIAL, beta_bar, beta_norm, draw_note, styled
from analysis.reading.best_runs import Run
from analysis.statistics.pareto import hypervolume_interval, knee, knee_share, pareto_front, reference_point
from analysis.statistics.resampling import Interval

LABELLED = 14
"""Runs above which only the front's are labelled."""
BEYOND = 0.25
"""Of the way from the lowest value to the reference: how far beyond it an axis goes at most, or to Tukey's
fence, where that is farther."""


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
    knee: int | None = None
    """Position of the trial where the front bends; see `analysis.statistics.pareto.knee`."""
    knee_share: float | None = None
    """How surely; see `analysis.statistics.pareto.knee_share`."""
    reference: tuple[float, float] | None = None
    """The rate and distortion that the hypervolume is measured from."""
    hypervolume: Interval | None = None
    """Of the complete trials, in nats squared; None of fewer than 2."""

    @property
    def bits_per_dim(self) -> np.ndarray:
        return (self.rate + self.distortion) / self.nats_per_bit

    @property
    def frame(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ends of the axes, of rate and of distortion: they hold the front, the reference and the final
        training, but no run so far off that it would squash the others."""
        values = np.stack([self.rate, self.distortion])
        corner = values.min(1)
        if self.reference is not None and self.hypervolume is not None:
            corner = np.array(self.reference)
            rate, distortion = farthest(values, corner)
            near = (self.rate <= rate) & (self.distortion <= distortion)
            near[-1] |= self.has_final
            values = values[:, near]
        low, high = values.min(1), np.maximum(values.max(1), corner)
        margin = 0.12 * (high - low)
        margin = np.where(margin > 0, margin, np.where(high == 0, 1.0, 0.05 * abs(high)))
        rates, distortions = np.stack([low - margin, high + margin], 1).tolist()
        return (rates[0], rates[1]), (distortions[0], distortions[1])

    @property
    def outside(self) -> np.ndarray:
        """(N,) bool: the runs that the frame leaves out."""
        (_, right), (_, top) = self.frame
        return (self.rate > right) | (self.distortion > top)


def farthest(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The highest value that either axis may show, (2,), of runs (2, N) and the reference (2,)."""
    q1, q3 = np.quantile(values, (0.25, 0.75), axis=1, method="lower")
    return np.maximum(reference + BEYOND * (reference - values.min(1)), q3 + 1.5 * (q3 - q1))


def compute_rate_distortion(
    trials: pd.DataFrame, final: Run | None, dimensions: int, reference: tuple[float, float] | None = None
) -> RateDistortion:
    """From `analysis.load_trials`, the finished final training, and the numbers in an image. ``reference``
    is the hypervolume's, for studies to be compared; by default `analysis.statistics.pareto.reference_point`."""
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
    count = len(known)
    searched = rate[:count], distortion[:count]
    is_front = np.zeros(len(labels), dtype=bool)
    is_front[:count] = pareto_front(*searched)
    reference = reference or (reference_point(searched) if count else None)
    return RateDistortion(
        labels,
        rate,
        distortion,
        beta,
        latent_dim.astype(int),
        depth.astype(int),
        is_front,
        final is not None,
        dimensions * math.log(2),
        knee(*searched),
        knee_share(*searched),
        reference,
        hypervolume_interval(*searched, reference) if reference else None,
    )


def front_order(plane: RateDistortion) -> np.ndarray:
    """Positions of the front's trials, by their rate."""
    return np.flatnonzero(plane.is_front)[np.argsort(plane.rate[plane.is_front])]


def hypervolume_words(plane: RateDistortion) -> str:
    """ "hypervolume 4120 nats², ..."; empty where there is none."""
    area = plane.hypervolume
    if area is None:
        return ""
    return f"hypervolume {number(area.estimate)} nats² (of resampled trials: from {number(area.low)})"


def outside_words(plane: RateDistortion) -> str:
    """ "2 runs lie outside the frame, beyond ..."; empty where there is none."""
    count = int(plane.outside.sum())
    if not count:
        return ""
    rate, distortion = (number(values[plane.outside].max()) for values in (plane.rate, plane.distortion))
    runs = "1 run lies" if count == 1 else f"{count} runs lie"
    return f"{runs} outside the frame, up to a rate of {rate} and a distortion of {distortion} nats"


def number(value: float) -> str:
    """Four digits that count, without an exponent: "12,340", "0.1234"."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@styled
def draw_rate_distortion(plane: RateDistortion) -> Figure:
    """Colour is the KL weight, the marker the depth, the number beside it the latent size."""
    if not plane.label:
        return draw_note("No trial is complete yet: the rate-distortion plane is empty")
    figure = Figure(figsize=(11.5, 7.5))
    axes = figure.subplots()
    frame_plane(axes, plane)
    shade_front(axes, plane)
    norm, few = beta_norm(plane.beta), len(plane.label) <= LABELLED
    for marker, depth in zip(MARKERS * 3, sorted(set(plane.depth.tolist())), strict=False):
        chosen = plane.depth == depth
        axes.scatter(
            plane.rate[chosen],
            plane.distortion[chosen],
            c=plane.beta[chosen],
            norm=norm,
            cmap=SEQUENTIAL,
            marker=marker,
            s=170 if few else 110,
            edgecolors="white",
            linewidths=1.2,
            zorder=4,
        )
    for k, style in rings(plane).items():
        axes.plot(plane.rate[k], plane.distortion[k], zorder=5, **style)
    # below a front is room, where there are many trials above it
    beside = ((11, 7), "left", "bottom") if few else ((-9, -5), "right", "top")
    for k in labelled(axes, plane):
        axes.annotate(
            f"{plane.latent_dim[k]}",
            (plane.rate[k], plane.distortion[k]),
            xytext=beside[0],
            ha=beside[1],
            va=beside[2],
            textcoords="offset points",
            fontsize=12,
            path_effects=HALO,
            zorder=6,
        )
    beta_bar(figure, axes, ScalarMappable(norm, SEQUENTIAL))
    legend_of_plane(axes, plane)
    if words := [words for words in (hypervolume_words(plane), outside_words(plane)) if words]:
        axes.set_title("\n".join(words), loc="left", fontsize=13, color="0.25")
    return figure


def labelled(axes: Axes, plane: RateDistortion) -> list[int]:
    """Runs whose labels have room: the ringed ones, then the front's, then the others if few."""
    few = len(plane.label) <= LABELLED
    rest, room = (range(len(plane.label)), (0.3, 0.2)) if few else ((), (0.6, 0.4))
    places = axes.transData.transform(np.stack([plane.rate, plane.distortion], 1)) / axes.figure.dpi
    chosen: list[int] = []
    for k in dict.fromkeys([*rings(plane), *front_order(plane).tolist(), *rest]):
        if not plane.outside[k] and all(np.abs((places[k] - places[other]) / room).max() > 1 for other in chosen):
            chosen.append(k)
    return chosen


def rings(plane: RateDistortion) -> dict[int, dict[str, Any]]:
    """Position -> how a run is singled out, and the legend's word for it."""
    around: dict[str, Any] = {"ls": "", "mfc": "none", "mew": 2.5}
    found = {}
    if plane.knee is not None:
        found[plane.knee] = around | {"marker": "D", "ms": 20, "mec": INK, "label": "knee of the front"}
    if plane.has_final:
        color = OKABE_ITO["vermillion"]
        found[len(plane.label) - 1] = around | {"marker": "o", "ms": 21, "mec": color, "label": "final training"}
    return found


def shade_front(axes: Axes, plane: RateDistortion) -> None:
    """The front, and the area that it dominates up to the reference point."""
    front = front_order(plane)
    rate, distortion = plane.rate[front], plane.distortion[front]
    axes.plot(rate, distortion, color="0.35", lw=1.6, ls="--", zorder=2)
    if plane.reference is not None and plane.hypervolume is not None:
        x, y = plane.reference
        axes.fill_between(
            [*rate, x], [*distortion, distortion[-1]], y, step="post", color="0.5", alpha=0.08, lw=0, zorder=0
        )
        axes.plot(x, y, "+", ms=13, mew=2, color="0.35", zorder=3)


def legend_of_plane(axes: Axes, plane: RateDistortion) -> None:
    handles = [
        Line2D([], [], marker=marker, ls="", color="0.35", ms=11, label=f"depth {depth}")
        for marker, depth in zip(MARKERS * 3, sorted(set(plane.depth.tolist())), strict=False)
    ]
    handles.append(Line2D([], [], color="0.35", lw=1.6, ls="--", label="Pareto front"))
    handles += [Line2D([], [], **style | {"ms": 14}) for style in rings(plane).values()]
    if plane.hypervolume is not None:
        handles.append(Line2D([], [], marker="+", ls="", ms=13, mew=2, color="0.35", label="hypervolume's reference"))
    axes.legend(handles=handles, title="number: latent size", labelspacing=0.7, frameon=True, framealpha=0.9)


def frame_plane(axes: Axes, plane: RateDistortion) -> None:
    """Limits, axis titles, and the lines of equal bits per dimension."""
    rates, distortions = plane.frame
    axes.set_xlim(rates)
    axes.set_ylim(distortions)
    x, y = np.meshgrid(np.linspace(*axes.get_xlim(), 50), np.linspace(*axes.get_ylim(), 50))
    lines = axes.contour(x, y, (x + y) / plane.nats_per_bit, levels=9, colors="0.8", linewidths=1, zorder=1)
    axes.clabel(lines, fmt="%.3g bits/dim", fontsize=10, colors="0.45")
    axes.set_xlabel("rate R: KL(q(z|x), prior) (nats per image)")
    axes.set_ylabel("distortion under the calibrated likelihood:\n-ELBO - R (nats per image)", color=INK)
