"""The rate-distortion plane of a study: its trials, its front, and what a linear model would reach."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.plane import LinearCurve, RateDistortion, compute_rate_distortion, likelihoods
from analysis.figures.plotly_style import NEUTRAL, add_dots, add_line, beta_colors, coloured
from analysis.figures.registry import StudyContext, StudyFigure, of_plain_trials
from analysis.figures.style import (
    BETA_LABEL,
    DARK,
    HALO,
    LINEAR,
    RATE_LABEL,
    RING,
    Look,
    beta_bar,
    by_depth,
    depth_handles,
    distortion_label,
    linear_label,
    log_colors,
    styled,
)

_LABELLED = 14  # runs above which only the front's are labelled
_FRONT: Look = {"color": "0.35", "lw": 1.6, "ls": "--", "label": "Pareto front of the trials"}
_REFERENCE: Look = {"marker": "+", "ls": "", "ms": 13, "mew": 2, "color": "0.35", "label": "hypervolume's reference"}
_LONGER: Look = {"color": RING["mec"], "lw": 1}  # from a trial to its final training
_SIZES = "number: latent size"


def _hypervolume_words(plane: RateDistortion) -> str:
    """Such as "hypervolume 4120 nats², ..."; empty where there is none."""
    area = plane.hypervolume
    if area is None:
        return ""
    return f"hypervolume {_number(area.estimate)} nats² (of resampled trials: from {_number(area.low)})"


def _outside_words(count: int) -> str:
    return f"{'1 run lies' if count == 1 else f'{count} runs lie'} outside the frame"


def _title(plane: RateDistortion) -> str:
    """What the figure says above itself."""
    words = [_hypervolume_words(plane)]
    if count := int(plane.outside.sum()):
        rate, distortion = (_number(values[plane.outside].max()) for values in (plane.rate, plane.distortion))
        words.append(f"{_outside_words(count)}, up to a rate of {rate} and a distortion of {distortion} nats")
    return "\n".join(filter(None, words))


def _number(value: float) -> str:
    """Four digits that count, without an exponent: "12,340", "0.1234"."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@styled
def draw_rate_distortion(plane: RateDistortion) -> Figure:
    """Colour is the KL weight, the marker the depth, the number beside it the latent size."""
    figure = Figure(figsize=(11.5, 8.4))
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
    for k in _labelled(plane, (9.5, 6.0)):
        axes.annotate(f"{plane.latent_dim[k]}", (plane.rate[k], plane.distortion[k]), xytext=beside, **text)
    if np.ptp(plane.beta) > 0:
        beta_bar(figure, scale)
    handles = [*depth_handles(plane.depth, 11), *([Line2D([], [], **_FRONT)] if len(plane.front) > 1 else [])]
    handles += [Line2D([], [], **_linear_look(plane.linear))] if plane.linear is not None else []
    rings = {style["label"]: Line2D([], [], **style | {"ms": 14}) for style in _rings(plane).values()}
    handles += rings.values()
    handles += [Line2D([], [], **_REFERENCE)] if plane.hypervolume is not None else []
    handles += _number_handles(plane)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, labelspacing=0.8, columnspacing=2.5)
    axes.set_title(_title(plane), loc="left", fontsize=13, color="0.25")
    return figure


def _number_handles(plane: RateDistortion) -> list[Line2D]:
    """The legend's entries of what a number beside a run is, and of what all runs share."""
    blank: Look = {"ls": "", "marker": ""}
    handles: list[Line2D] = []
    if np.ptp(plane.latent_dim) > 0:
        handles.append(Line2D([], [], ls="", marker="$8$", color="0.1", ms=8, label=_SIZES))
    else:
        handles.append(Line2D([], [], label=f"latent size {plane.latent_dim[0]}", **blank))
    if np.ptp(plane.beta) == 0:
        handles.append(Line2D([], [], label=f"{BETA_LABEL} = {plane.beta[0]:.3g}", **blank))
    return handles


def _labelled(plane: RateDistortion, inches: tuple[float, float]) -> list[int]:
    """Runs whose labels have room in axes of so many inches: the ringed ones, then the front's, then the others if few.
    None where all labels are the same."""
    if np.ptp(plane.latent_dim) == 0:
        return []
    few = len(plane.label) <= _LABELLED
    rest, room = (range(len(plane.label)), (0.3, 0.2)) if few else ((), (0.6, 0.4))
    low, high = plane.frame.T
    places = (np.stack([plane.rate, plane.distortion], 1) - low) / (high - low) * inches
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
    for final in np.flatnonzero(plane.is_final).tolist():
        found[final] = RING | {"ms": 21, "label": "final training, and its trial"}
    return found


def _draw_front(axes: Axes, plane: RateDistortion) -> None:
    """The front, the area that it dominates up to the reference point, the linear model, and whose a final training
    is."""
    rate, distortion = plane.rate[plane.front], plane.distortion[plane.front]
    axes.plot(rate, distortion, **_FRONT, zorder=2)
    if plane.hypervolume is not None:
        x, y = plane.reference
        area: Look = {"step": "post", "color": "0.5", "alpha": 0.08, "lw": 0, "zorder": 0}
        axes.fill_between([*rate, x], [*distortion, distortion[-1]], y, **area)
        axes.plot(x, y, **_REFERENCE, zorder=3)
    if plane.linear is not None:
        axes.plot(plane.linear.rate, plane.linear.distortion, **_linear_look(plane.linear), zorder=2)
    for final in np.flatnonzero(plane.is_final):
        path = [plane.longer_than[final], final]
        axes.plot(plane.rate[path], plane.distortion[path], **_LONGER, zorder=3)


def _draw_frame(axes: Axes, plane: RateDistortion) -> None:
    """Limits, axis titles, and the lines of equal bits per dimension."""
    (left, right), (bottom, top) = plane.frame
    axes.set(xlim=(left, right), ylim=(bottom, top))
    if plane.calibrated:
        x, y = np.meshgrid(np.linspace(left, right, 50), np.linspace(bottom, top, 50))
        lines = axes.contour(x, y, (x + y) / plane.nats_per_bit, levels=9, colors="0.8", linewidths=1, zorder=1)
        axes.clabel(lines, fmt="%.3g bits/dim", fontsize=10, colors="0.45")
    axes.set_xlabel(RATE_LABEL)
    axes.set_ylabel(_distortion_label(plane), color=DARK)


def _distortion_label(plane: RateDistortion) -> str:
    if plane.calibrated:
        return "distortion, exact or calibrated: -ELBO - R (nats per image)"
    return distortion_label(plane.likelihood)


def _linear_look(linear: LinearCurve) -> Look:
    return {"color": LINEAR, "lw": 2.2, "label": linear_label(linear.latent_dim)}


def rate_distortion_chart(plane: RateDistortion) -> go.Figure:
    """Hover a run for its numbers."""
    figure = go.Figure()
    if plane.calibrated:
        _add_equal_bits(figure, plane)
    if plane.linear is not None:
        _add_linear(figure, plane.linear, plane.frame)
    rate, distortion = plane.rate[plane.front], plane.distortion[plane.front]
    add_line(figure, rate, distortion, _FRONT["label"], line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
    color, bar = beta_colors(plane.beta)
    for k, (label, chosen, _, symbol) in enumerate(by_depth(plane.depth)):
        marker = {"symbol": symbol, "size": 11}
        marker |= coloured(color, "Viridis", None if k else bar) | {"color": color[chosen]}
        add_runs(figure, plane, chosen, name=label, marker=marker)
    _add_rings(figure, plane)
    _add_sizes(figure, plane)
    if plane.hypervolume is not None:
        cross: Look = {"symbol": "cross-thin", "size": 12, "line": {"width": 2, "color": NEUTRAL}}
        at, told = plane.reference, _hypervolume_words(plane)
        add_dots(figure, at[:1], at[1:], told, name=_REFERENCE["label"], marker=cross)
    frame_chart(figure, [plane])
    return figure


def _add_equal_bits(figure: go.Figure, plane: RateDistortion) -> None:
    """Dotted lines of equal bits per dimension."""
    shown, bottom = ~plane.outside, plane.frame[1, 0]
    low, high = plane.rate[shown].min(), plane.rate[shown].max()
    for bits in np.linspace(plane.bits_per_dim[shown].min(), plane.bits_per_dim[shown].max(), 5):
        nats = bits * plane.nats_per_bit
        add_line(figure, [low, high], [nats - low, nats - high], line={"dash": "dot", "width": 1, "color": NEUTRAL})
        end = max(low, min(high, nats - bottom))
        figure.add_annotation(x=end, y=nats - end, text=f"{bits:.3g} bits/dim", showarrow=False, yshift=9)


def _add_linear(figure: go.Figure, linear: LinearCurve, frame: np.ndarray) -> None:
    """The part of the curve that lies in the frame: a chart would make room for all of it."""
    curve = np.stack([linear.rate, linear.distortion])
    x, y = curve[:, ((frame[:, :1] <= curve) & (curve <= frame[:, 1:])).all(0)]
    add_line(figure, x, y, linear_label(linear.latent_dim), line={"color": LINEAR, "width": 2.5})


def _add_rings(figure: go.Figure, plane: RateDistortion) -> None:
    """Around the knee, and around the final trainings with a line from the trial of each."""
    for k, style in _rings(plane).items():
        of = plane.longer_than[k]
        path = [k] if of < 0 else [k, int(of)]
        symbol = "circle-open" if plane.is_final[k] else "diamond-open"
        ring = {"symbol": symbol, "size": [24] + [0] * (len(path) - 1), "opacity": 1}
        ring |= {"color": style["mec"] if plane.is_final[k] else NEUTRAL, "line": {"width": 2.5}}
        first = not any(trace.name == style["label"] for trace in figure.data)
        named: Look = {"name": style["label"], "legendgroup": style["label"], "showlegend": first}
        mode = "lines+markers" if plane.is_final[k] else "markers"
        line: Look = {"mode": mode, "line": {"color": ring["color"], "width": 1}, "hoverinfo": "skip"}
        figure.add_scatter(x=plane.rate[path], y=plane.distortion[path], marker=ring, **named, **line)


def _add_sizes(figure: go.Figure, plane: RateDistortion) -> None:
    """The numbers beside runs, and in the legend what all runs share, as in the figure."""
    few, shown = len(plane.label) <= _LABELLED, _labelled(plane, (8.0, 3.5))
    beside: Look = {"textposition": "top right" if few else "bottom left", "hoverinfo": "skip", "name": _SIZES}
    if shown:
        sizes = [f"\u2002{size}\u2002" for size in plane.latent_dim[shown]]  # beside the marker, not on it
        figure.add_scatter(x=plane.rate[shown], y=plane.distortion[shown], mode="text", text=sizes, **beside)
    for handle in _number_handles(plane):
        if handle.get_label() != _SIZES:
            figure.add_scatter(x=[None], y=[None], mode="markers", marker={"opacity": 0}, name=handle.get_label())


def add_runs(figure: go.Figure, plane: RateDistortion, chosen: np.ndarray, study: str = "", **options: Any) -> None:
    """Dots of the ``chosen`` runs, (N,) bool, with their numbers; ``study`` names whose they are."""
    texts = [
        f"{study}{plane.label[n]}<br>β {plane.beta[n]:.3g}, latent size {plane.latent_dim[n]}, depth {plane.depth[n]}"
        f"<br>{plane.bits_per_dim[n]:.4f} bits/dim"
        for n in np.flatnonzero(chosen).tolist()
    ]
    hover = "%{text}<br>rate %{x:.2f}, distortion %{y:.2f} nats"
    add_dots(figure, plane.rate[chosen], plane.distortion[chosen], hover, text=texts, **options)


def frame_chart(figure: go.Figure, planes: Sequence[RateDistortion]) -> None:
    """Axes of all these planes that leave out the runs so far off that the others would be squashed, and say so."""
    names = {"exact or calibrated distortion" if it.calibrated else f"distortion D, {it.likelihood}" for it in planes}
    distortion = names.pop() if len(names) == 1 else "distortion D"
    figure.update_layout(xaxis_title="rate R (nats per image)", yaxis_title=f"{distortion} (nats per image)")
    if count := sum(int(plane.outside.sum()) for plane in planes):
        frames = np.stack([plane.frame for plane in planes])  # (studies, rate and distortion, low and high)
        rates, distortions = np.stack([frames[..., 0].min(0), frames[..., 1].max(0)], 1).tolist()
        figure.update_layout(xaxis_range=rates, yaxis_range=distortions)
        title = f"{figure.layout.xaxis.title.text}<br>{_outside_words(count)}: a double click shows all"
        figure.update_layout(xaxis_title=title)


def _more(study: StudyContext) -> str:
    """What the caption says of a study's likelihood."""
    if study.is_gaussian:
        return (
            "Purple: the best a linear model can do (reverse water-filling), on the training images that it is fitted "
            "to; runs are on the validation images."
        )
    if len(likelihoods(study)) > 1:
        return (
            "Grey diagonals: equal bits per dimension. The likelihood is searched, so this is the distortion of pixels "
            "as they are: an exact likelihood's own, and a density's under the calibrated Gaussian."
        )
    return ""


FIGURE = StudyFigure(
    name="rate_distortion",
    title="Rate against distortion",
    order=10,
    caption="Each dot is a run: left is a shorter code, down a more faithful image. Diamond: the knee, where more rate "
    "begins to buy less. Shaded, up to the cross: the hypervolume; in brackets: of resampled trials, at least. Ring: "
    "trained longer than the trial that its line leads to.",
    more=_more,
    compute=compute_rate_distortion,
    note=lambda plane: "" if plane.label else "No trial is complete yet: the rate-distortion plane is empty",
    draw=draw_rate_distortion,
    chart=rate_distortion_chart,
    possible=of_plain_trials,
)
