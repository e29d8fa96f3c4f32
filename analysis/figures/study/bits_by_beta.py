"""What the KL weight does to bits per dimension, and what a Gaussian process expects of it. N complete trials, G points
of a curve."""

import math
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.colors import sample_colorscale
from scipy.stats import t

from analysis.figures.plotly_style import NEUTRAL, add_line, panel_chart
from analysis.figures.registry import StudyContext, StudyFigure, of_plain_trials
from analysis.figures.study._by_beta import ByBeta, chart_dots, compute_by_beta, draw_dots, draw_sizes
from analysis.figures.style import (
    BETA_LABEL,
    BITS_LABEL,
    RING,
    SIZE_LABEL,
    Look,
    of_pixels,
    panel_axes,
    panel_grid,
    styled,
)
from analysis.statistics.gaussian_process import gaussian_process
from analysis.statistics.resampling import LEVEL

_BAND_TRIALS, _BAND_BETAS = 15, 6  # complete trials, and different KL weights among them, below which there is no curve
_SIZES, _PANELS = 3, 6  # latent sizes that have a curve, at most, and groups of depths that have a panel
_GRID = 60
_BEST = 5  # trials whose width says where a Gaussian's optimum lies
_OPTIMUM = "β = σ² of the best residuals"
_MARK: Look = {"color": "0.3", "lw": 1.8, "ls": "-.", "zorder": 1}


@dataclass(frozen=True)
class Curve:
    """What a Gaussian process through all trials expects at one latent size and the depth of one panel, and
    the 95% band of that mean; each (G,)."""

    latent_dim: int
    beta: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Panel:
    """The trials of one depth, or of a few neighbouring ones where there are many."""

    depths: list[int]
    chosen: np.ndarray  # (N,) bool
    curves: list[Curve]

    @property
    def title(self) -> str:
        """The depths in words."""
        first, last = self.depths[0], self.depths[-1]
        return f"depth {first}" if first == last else f"depth {first} to {last}"


@dataclass(frozen=True)
class BitsByBeta:
    """The trials, and a panel a depth; without curves of too few trials."""

    trials: ByBeta
    panels: list[Panel]
    optimum: float | None = None
    """The KL weight at which a continuous Gaussian of the best trials' width has the fewest bits: that width squared,
    of pixels in [-1, 1]. None under another likelihood than the Gaussian."""
    label: str = BITS_LABEL

    @property
    def span(self) -> tuple[float, float]:
        """Of the axis of bits: that of the dots, which were measured; a band may leave it."""
        bits = self.trials.bits
        room = 0.06 * float(np.ptp(bits)) or 0.01
        return float(bits.min()) - room, float(bits.max()) + room


def _compute(study: StudyContext) -> BitsByBeta:
    trials, record = compute_by_beta(study.trials), study.record
    label = BITS_LABEL + of_pixels(record.base.model)
    if not study.is_gaussian or not len(trials.number):
        return replace(compute_bits_by_beta(trials), label=label)
    best = trials.number[trials.bits.argsort(kind="stable")[:_BEST]].tolist()
    sigma = float(np.median([row["sigma"] for n in best if (row := record.best[n])]))
    return compute_bits_by_beta(trials, residual_beta(sigma))


def residual_beta(sigma: float) -> float:
    """The KL weight at which the training loss, squared error / 2 + beta KL of pixels in [-1, 1], is beta times -ELBO
    of a Gaussian of width ``sigma``, which is of pixels in [0, 1], without its constant (Rybkin et al. 2021, "Simple
    and effective VAE training with calibrated decoders", arXiv:2006.13202)."""
    return (2 * sigma) ** 2


def compute_bits_by_beta(trials: ByBeta, optimum: float | None = None) -> BitsByBeta:
    """A curve spans the KL weights of its panel's trials."""
    beta, sizes, depth, bits = trials.beta, trials.latent_dim, trials.depth, trials.bits
    levels = np.unique(depth)
    groups = np.array_split(levels, min(_PANELS, len(levels))) if len(levels) else []
    panels = [Panel(group.tolist(), np.isin(depth, group), []) for group in groups]
    if len(bits) < _BAND_TRIALS or len(np.unique(beta)) < _BAND_BETAS:
        return BitsByBeta(trials, panels, optimum)
    x, back = (np.log(beta), np.exp) if beta.min() > 0 else (beta, np.asarray)
    asked = [(panel, size) for panel in panels for size in _typical(sizes)]
    at = np.empty((len(asked), _GRID, 3))
    for line, (panel, size) in zip(at, asked, strict=True):
        line[:, 0] = np.linspace(x[panel.chosen].min(), x[panel.chosen].max(), _GRID)
        line[:, 1:] = math.log(size), np.median(depth[panel.chosen])
    fit = gaussian_process(np.stack([x, np.log(sizes), depth], 1), bits, at.reshape(-1, 3))
    middle, deviation = (values.reshape(at.shape[:2]) for values in fit)
    # scale, noise and lengths were estimated too: a t quantile widens the band of few trials
    half = t.ppf((1 + LEVEL) / 2, len(bits) - at.shape[2] - 2) * deviation
    for (panel, size), *curve in zip(asked, back(at[..., 0]), middle, middle - half, middle + half, strict=True):
        panel.curves.append(Curve(size, *curve))
    return BitsByBeta(trials, panels, optimum)


def _typical(sizes: np.ndarray) -> list[int]:
    """At most `_SIZES` of the latent sizes (N,) there are: the smallest, the largest, and between them those
    nearest to even steps of their logarithm."""
    steps = np.linspace(math.log(sizes.min()), math.log(sizes.max()), _SIZES)
    nearest = np.abs(np.log(sizes) - steps[:, None]).argmin(1)
    return [int(size) for size in np.unique(sizes[nearest])]


@styled
def draw_bits_by_beta(found: BitsByBeta) -> Figure:
    """A panel a depth; colour is the latent size, of a dot and of the mean expected with its 95% band."""
    trials = found.trials
    rows, columns = panel_grid(len(found.panels))
    figure = Figure(figsize=({1: 11, 2: 14}.get(columns, 15.5), 6.5 if rows == 1 else 9.5))
    grid = panel_axes(figure, len(found.panels), sharex=True, sharey=True)
    handles = {str(handle.get_label()): handle for handle in draw_sizes(figure, trials)}
    for axes, panel in zip(grid, found.panels, strict=True):
        draw_dots(axes, trials, trials.bits, panel.chosen, found.optimum)
        for curve in panel.curves:
            color = trials.sizes.to_rgba(np.array([curve.latent_dim]))[0].tolist()
            axes.fill_between(curve.beta, curve.low, curve.high, color=color, alpha=0.22, lw=0, zorder=1)
            label = f"{SIZE_LABEL} {curve.latent_dim}"
            (handles[label],) = axes.plot(curve.beta, curve.middle, color=color, lw=2.5, zorder=2, label=label)
        axes.set_title(panel.title)
    best = int(trials.bits.argmin())
    (axes,) = (axes for axes, panel in zip(grid, found.panels, strict=True) if panel.chosen[best])
    label = f"best: trial {trials.number[best]}"
    (handles[label],) = axes.plot(trials.beta[best], trials.bits[best], ms=20, label=label, zorder=5, **RING)
    if found.optimum is not None:
        for axes in grid:
            handles[_OPTIMUM] = axes.axvline(found.optimum, label=_OPTIMUM, **_MARK)
    grid[0].set_ylim(found.span)
    for axes in grid[::columns]:
        axes.set_ylabel(found.label)
    figure.legend(handles=list(handles.values()), loc="outside upper center", ncols=_SIZES + 2)
    return figure


def bits_by_beta_chart(found: BitsByBeta) -> go.Figure:
    """A panel a depth; hover a trial for its numbers. Colour is the latent size, of dots and curves."""
    trials = found.trials
    options: Look = {"shared_xaxes": "all", "shared_yaxes": "all", "horizontal_spacing": 0.03, "vertical_spacing": 0.12}
    titles = [panel.title for panel in found.panels]
    figure, places = panel_chart(len(titles), subplot_titles=titles, **options)
    low, high = np.log2([trials.latent_dim.min(), trials.latent_dim.max()])
    for panel, place in zip(found.panels, places, strict=True):
        for curve in panel.curves:
            share = 0.5 if high == low else (math.log2(curve.latent_dim) - low) / (high - low)
            (color,) = sample_colorscale("Viridis", share)
            fill = {"fill": "toself", "fillcolor": color.replace("rgb(", "rgba(").replace(")", ", 0.25)")}
            there, back = np.concatenate([curve.beta, curve.beta[::-1]]), np.concatenate([curve.low, curve.high[::-1]])
            add_line(figure, there, back, line={"width": 0}, **fill, **place)
            text = f"latent size {curve.latent_dim}<br>%{{y:.4f}} expected<extra></extra>"
            hover: Look = {"hoverinfo": None, "hovertemplate": text, "name": "mean expected", "showlegend": False}
            add_line(figure, curve.beta, curve.middle, line={"color": color}, **hover, **place)
        chart_dots(figure, trials, trials.bits, place, panel.chosen)
        if found.optimum is not None:
            named: Look = {"name": _OPTIMUM, "legendgroup": _OPTIMUM, "showlegend": place == places[0]}
            dashed: Look = {"color": NEUTRAL, "dash": "dashdot", "width": 2}
            add_line(figure, [found.optimum] * 2, found.span, line=dashed, **named, **place)
    rows = places[-1]["row"]
    figure.update_xaxes(type="log" if trials.logarithmic else "linear")
    figure.update_xaxes(title=BETA_LABEL, row=rows)
    figure.update_yaxes(range=found.span)
    figure.update_yaxes(title=found.label, col=1)
    return figure.update_layout(height=120 + 380 * rows)


def _more(study: StudyContext) -> str:
    """Where the fewest bits are no discovery, as the likelihood says where they lie."""
    if study.is_gaussian:
        return (
            "The lowest bits are no discovery: under the Gaussian likelihood training at β is training a Gaussian of "
            "variance β (pixels in [-1, 1]), and bits are counted with the width that fits the residuals, so they are "
            "fewest near β = σ² (Rybkin et al. 2021, arXiv:2006.13202): the vertical line, at the median of the five "
            "best trials."
        )
    if study.record.base.model.has_exact_likelihood and "model.likelihood" not in study.record.space:
        return "At β = 1 training minimises the bits themselves, as this likelihood is a probability of pixels."
    return ""


FIGURE = StudyFigure(
    name="bits_by_beta",
    title="Bits per dimension by KL weight",
    order=20,
    caption="Bits per dimension against KL weight, a panel a depth; colour is the latent size. A line is what a "
    "Gaussian process through the complete trials expects of one latent size, and the band that mean's 95% "
    "interval, beyond which single trials scatter. Fewer than 15 complete trials have none.",
    more=_more,
    compute=_compute,
    note=lambda found: found.trials.note,
    draw=draw_bits_by_beta,
    chart=bits_by_beta_chart,
    possible=of_plain_trials,
)
