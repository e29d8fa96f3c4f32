"""The rate-distortion plane (Alemi et al. 2018, arXiv:1711.00464): what a trial pays, and what it gets. N runs: the
complete trials, and the final training as the last where it is finished."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.plotly_style import NEUTRAL, add_dots, add_line, beta_colors, coloured
from analysis.figures.registry import StudyFigure
from analysis.figures.style import DARK, HALO, RING, Look, beta_bar, by_depth, depth_handles, log_colors, styled
from analysis.reading.best_runs import Run
from analysis.reading.frames import complete_trials
from analysis.statistics.pareto import hypervolume_interval, knee, knee_share, pareto_front, reference_point
from analysis.statistics.resampling import Interval

_LABELLED = 14  # runs above which only the front's are labelled
_BEYOND = 0.25
"""Of the way from the lowest value to the reference: how far beyond it an axis goes at most, or to Tukey's
fence, where that is farther."""
_FRONT: Look = {"color": "0.35", "lw": 1.6, "ls": "--", "label": "Pareto front"}
_REFERENCE: Look = {"marker": "+", "ls": "", "ms": 13, "mew": 2, "color": "0.35", "label": "hypervolume's reference"}


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
    nats_per_bit: float  # nats per image that make one bit per dimension: dimensions x ln 2
    knee: int | None  # position of the trial where the front bends; see `analysis.statistics.pareto.knee`
    knee_share: float | None  # how surely; see `analysis.statistics.pareto.knee_share`
    reference: tuple[float, float]  # the rate and distortion that the hypervolume is measured from; NaN of no trial
    hypervolume: Interval | None  # of the complete trials, in nats squared; None of fewer than 2

    @property
    def bits_per_dim(self) -> np.ndarray:
        """(N,), the yardstick."""
        return np.asarray((self.rate + self.distortion) / self.nats_per_bit)

    @property
    def frame(self) -> np.ndarray:
        """The ends of the axes, of rate and of distortion, (2, 2): they hold the front, the reference and the final
        training, but no run so far off that it would squash the others."""
        values = np.stack([self.rate, self.distortion])
        if self.hypervolume is not None:
            reference = np.array(self.reference)
            q1, q3 = np.quantile(values, (0.25, 0.75), axis=1, method="lower")
            farthest = np.maximum(reference + _BEYOND * (reference - values.min(1)), q3 + 1.5 * (q3 - q1))
            near = (values <= farthest[:, None]).all(0)
            near[-1] |= self.has_final
            values = np.column_stack([values[:, near], reference])
        low, high = values.min(1), values.max(1)
        margin = 0.12 * (high - low)
        margin = np.where(margin > 0, margin, np.where(high == 0, 1.0, 0.05 * abs(high)))
        return np.stack([low - margin, high + margin], 1)

    @property
    def outside(self) -> np.ndarray:
        """(N,) bool: the runs that the frame leaves out."""
        return np.asarray((np.stack([self.rate, self.distortion]) > self.frame[:, 1:]).any(0))

    @property
    def front(self) -> np.ndarray:
        """Positions of the front's trials, by their rate."""
        return np.flatnonzero(self.is_front)[np.argsort(self.rate[self.is_front], kind="stable")]

    def price(self, cheap: int, faithful: int) -> float:
        """Nats of distortion that a nat of rate saves between two runs."""
        saved = self.distortion[cheap] - self.distortion[faithful]
        return float(saved / (self.rate[faithful] - self.rate[cheap]))


def compute_rate_distortion(
    trials: pd.DataFrame, final: Run | None, dimensions: int, reference: tuple[float, float] | None = None
) -> RateDistortion:
    """From `analysis.load_trials`, the finished final training, and the numbers in an image. ``reference``
    is the hypervolume's, for studies to be compared; by default `analysis.statistics.pareto.reference_point`."""
    known = complete_trials(trials)
    table = known[["val_rate", "val_nelbo", "beta", "latent_dim", "depth"]].to_numpy(float)
    labels = [f"trial {n}" for n in known["number"]]
    if final is not None:
        best, config, model = final.best, final.config, final.config.model
        table = np.vstack([table, [best["val_rate"], best["val_nelbo"], config.beta, model.latent_dim, model.depth]])
        labels.append(final.label)
    rate, nelbo, beta, latent_dim, depth = table.T
    distortion, count = nelbo - rate, len(known)
    searched = rate[:count], distortion[:count]
    if reference is None:
        reference = reference_point(searched) if count else (math.nan, math.nan)
    return RateDistortion(
        labels,
        rate,
        distortion,
        beta,
        latent_dim.astype(int),
        depth.astype(int),
        np.pad(pareto_front(*searched), (0, len(labels) - count)),  # False of the final training
        final is not None,
        dimensions * math.log(2),
        knee(*searched),
        knee_share(*searched),
        reference,
        hypervolume_interval(*searched, reference),
    )


def _hypervolume_words(plane: RateDistortion) -> str:
    """Such as "hypervolume 4120 nats², ..."; empty where there is none."""
    area = plane.hypervolume
    if area is None:
        return ""
    return f"hypervolume {_number(area.estimate)} nats² (of resampled trials: from {_number(area.low)})"


def _outside_words(plane: RateDistortion) -> str:
    """Such as "2 runs lie outside the frame, ..."; empty where there is none."""
    count = int(plane.outside.sum())
    if not count:
        return ""
    rate, distortion = (_number(values[plane.outside].max()) for values in (plane.rate, plane.distortion))
    runs = "1 run lies" if count == 1 else f"{count} runs lie"
    return f"{runs} outside the frame, up to a rate of {rate} and a distortion of {distortion} nats"


def _number(value: float) -> str:
    """Four digits that count, without an exponent: "12,340", "0.1234"."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@styled
def draw_rate_distortion(plane: RateDistortion) -> Figure:
    """Colour is the KL weight, the marker the depth, the number beside it the latent size."""
    figure = Figure(figsize=(11.5, 7.5))
    axes = figure.subplots()
    _draw_frame(axes, plane)
    _draw_front(axes, plane)
    scale, few = log_colors(plane.beta), len(plane.label) <= _LABELLED
    look: Look = {"s": 170 if few else 110, "edgecolors": "white", "linewidths": 1.2, "zorder": 4}
    for _, chosen, marker, _ in by_depth(plane.depth):
        colors = scale.to_rgba(plane.beta[chosen])
        axes.scatter(plane.rate[chosen], plane.distortion[chosen], marker=marker, facecolors=colors, **look)
    for k, style in _rings(plane).items():
        axes.plot(plane.rate[k], plane.distortion[k], zorder=5, **style)
    # below a front is room, where there are many trials above it
    beside, ha, va = ((11, 7), "left", "bottom") if few else ((-9, -5), "right", "top")
    text: Look = {"ha": ha, "va": va, "textcoords": "offset points", "fontsize": 12, "path_effects": HALO, "zorder": 6}
    for k in _labelled(axes, plane):
        axes.annotate(f"{plane.latent_dim[k]}", (plane.rate[k], plane.distortion[k]), xytext=beside, **text)
    beta_bar(figure, scale)
    handles = [*depth_handles(plane.depth, 11), Line2D([], [], **_FRONT)]
    handles += [Line2D([], [], **style | {"ms": 14}) for style in _rings(plane).values()]
    handles += [Line2D([], [], **_REFERENCE)] if plane.hypervolume is not None else []
    axes.legend(handles=handles, title="number: latent size", labelspacing=0.7, frameon=True, framealpha=0.9)
    if words := [words for words in (_hypervolume_words(plane), _outside_words(plane)) if words]:
        axes.set_title("\n".join(words), loc="left", fontsize=13, color="0.25")
    return figure


def _labelled(axes: Axes, plane: RateDistortion) -> list[int]:
    """Runs whose labels have room: the ringed ones, then the front's, then the others if few."""
    few = len(plane.label) <= _LABELLED
    rest, room = (range(len(plane.label)), (0.3, 0.2)) if few else ((), (0.6, 0.4))
    places = axes.transData.transform(np.stack([plane.rate, plane.distortion], 1)) / axes.figure.dpi
    chosen: list[int] = []
    for k in dict.fromkeys([*_rings(plane), *plane.front.tolist(), *rest]):
        if not plane.outside[k] and all(np.abs((places[k] - places[other]) / room).max() > 1 for other in chosen):
            chosen.append(k)
    return chosen


def _rings(plane: RateDistortion) -> dict[int, Look]:
    """Position -> how a run is singled out, and the legend's word for it."""
    found = {}
    if plane.knee is not None:
        found[plane.knee] = RING | {"marker": "D", "ms": 20, "mec": DARK, "label": "knee of the front"}
    if plane.has_final:
        found[len(plane.label) - 1] = RING | {"ms": 21, "label": "final training"}
    return found


def _draw_front(axes: Axes, plane: RateDistortion) -> None:
    """The front, and the area that it dominates up to the reference point."""
    rate, distortion = plane.rate[plane.front], plane.distortion[plane.front]
    axes.plot(rate, distortion, **_FRONT, zorder=2)
    if plane.hypervolume is not None:
        x, y = plane.reference
        area: Look = {"step": "post", "color": "0.5", "alpha": 0.08, "lw": 0, "zorder": 0}
        axes.fill_between([*rate, x], [*distortion, distortion[-1]], y, **area)
        axes.plot(x, y, **_REFERENCE, zorder=3)


def _draw_frame(axes: Axes, plane: RateDistortion) -> None:
    """Limits, axis titles, and the lines of equal bits per dimension."""
    (left, right), (bottom, top) = plane.frame
    axes.set(xlim=(left, right), ylim=(bottom, top))
    x, y = np.meshgrid(np.linspace(left, right, 50), np.linspace(bottom, top, 50))
    lines = axes.contour(x, y, (x + y) / plane.nats_per_bit, levels=9, colors="0.8", linewidths=1, zorder=1)
    axes.clabel(lines, fmt="%.3g bits/dim", fontsize=10, colors="0.45")
    axes.set_xlabel("rate R: KL(q(z|x), prior) (nats per image)")
    axes.set_ylabel("distortion under the calibrated likelihood:\n-ELBO - R (nats per image)", color=DARK)


def rate_distortion_chart(plane: RateDistortion) -> go.Figure:
    """Hover a run for its numbers; the dotted lines are equal bits per dimension."""
    figure = go.Figure()
    shown, bottom = ~plane.outside, plane.frame[1, 0]
    low, high = plane.rate[shown].min(), plane.rate[shown].max()
    for bits in np.linspace(plane.bits_per_dim[shown].min(), plane.bits_per_dim[shown].max(), 5):
        nats = bits * plane.nats_per_bit
        dotted = {"dash": "dot", "width": 1, "color": NEUTRAL}
        add_line(figure, [low, high], [nats - low, nats - high], line=dotted)
        end = max(low, min(high, nats - bottom))
        figure.add_annotation(x=end, y=nats - end, text=f"{bits:.3g} bits/dim", showarrow=False, yshift=9)
    rate, distortion = plane.rate[plane.front], plane.distortion[plane.front]
    add_line(figure, rate, distortion, _FRONT["label"], line={"color": NEUTRAL, "width": 1.5})
    color, bar = beta_colors(plane.beta)
    for k, (label, chosen, _, symbol) in enumerate(by_depth(plane.depth)):
        marker = {"symbol": symbol, "size": 9 + 2 * np.log2(plane.latent_dim[chosen])}
        marker |= coloured(color, "Viridis", None if k else bar) | {"color": color[chosen]}
        add_runs(figure, plane, chosen, name=label, marker=marker)
    if plane.knee is not None:
        x, y = plane.rate[[plane.knee]], plane.distortion[[plane.knee]]
        diamond = {"symbol": "diamond-open", "size": 24, "color": NEUTRAL, "line": {"width": 3}}
        figure.add_scatter(x=x, y=y, mode="markers", hoverinfo="skip", name="knee of the front", marker=diamond)
    if plane.hypervolume is not None:
        cross: Look = {"symbol": "cross-thin", "size": 12, "line": {"width": 2, "color": NEUTRAL}}
        at, told = plane.reference, _hypervolume_words(plane)
        add_dots(figure, at[:1], at[1:], told, name=_REFERENCE["label"], marker=cross)
    frame_chart(figure, [("", plane)])
    return figure


def add_runs(figure: go.Figure, plane: RateDistortion, chosen: np.ndarray, study: str = "", **options: Any) -> None:
    """Dots of the ``chosen`` runs, (N,) bool, with their numbers; ``study`` names whose they are."""
    texts = [
        f"{study}{plane.label[n]}<br>β {plane.beta[n]:.3g}, latent size {plane.latent_dim[n]}, depth {plane.depth[n]}"
        f"<br>{plane.bits_per_dim[n]:.4f} bits/dim"
        for n in np.flatnonzero(chosen).tolist()
    ]
    hover = "%{text}<br>rate %{x:.2f}, distortion %{y:.2f} nats"
    add_dots(figure, plane.rate[chosen], plane.distortion[chosen], hover, text=texts, **options)


def frame_chart(figure: go.Figure, planes: Sequence[tuple[str, RateDistortion]]) -> None:
    """Axes that leave out the runs so far off that the others would be squashed, and say so."""
    figure.update_layout(xaxis_title="rate R (nats per image)", yaxis_title="calibrated distortion (nats per image)")
    notes = [f"{name}: {words}" if name else words for name, plane in planes if (words := _outside_words(plane))]
    if notes:
        frames = np.stack([plane.frame for _, plane in planes])  # (studies, rate and distortion, low and high)
        rates, distortions = np.stack([frames[..., 0].min(0), frames[..., 1].max(0)], 1).tolist()
        figure.update_layout(xaxis_range=rates, yaxis_range=distortions)
        text = "<br>".join(map(escape, notes)) + "<br>(a double click shows all)"
        corner = {"x": 1, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "right", "yanchor": "top"}
        figure.add_annotation(text=text, showarrow=False, align="right", **corner)


FIGURE = StudyFigure(
    name="rate_distortion",
    order=10,
    caption="Each dot is a run: left is a shorter code, down a more faithful image. Grey diagonals are equal bits per "
    "dimension, and the best run is on the lowest; colour is the KL weight. The diamond is the knee, where "
    "more rate begins to buy less; the shaded area up to the cross is the hypervolume, and the lower value is "
    "what resampled trials still reach.",
    compute=lambda study: compute_rate_distortion(study.trials, study.final, study.record.base.model.dimensions),
    note=lambda plane: "" if plane.label else "No trial is complete yet: the rate-distortion plane is empty",
    draw=draw_rate_distortion,
    chart=rate_distortion_chart,
)
