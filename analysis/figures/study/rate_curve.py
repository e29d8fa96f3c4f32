"""The rate-distortion curves of multi-rate networks. N networks, M KL weights, G points of a curve."""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.figures.plane import framed, linear_curve
from analysis.figures.plotly_style import NEUTRAL, add_dots, add_line
from analysis.figures.registry import StudyContext, StudyFigure, of_multi_rate_trials
from analysis.figures.style import (
    BETA_LABEL,
    DARK,
    FADED,
    HALO,
    LINEAR,
    OKABE_ITO,
    RATE_LABEL,
    Look,
    distortion_label,
    linear_label,
    styled,
)
from analysis.reading.validation import read_rates
from trainables.errors import UserError
from trainables.metrics import AT_EACH_RATE
from trainables.training.batches import Pixels
from trainables.training.rates import ManyRates

_MARGIN = 0.08  # of what an axis spans


@dataclass(frozen=True)
class RateCurves:
    """The complete trials and the finished final trainings, best first, on the validation images at their best epochs;
    nats per image."""

    label: list[str]
    beta: np.ndarray  # (M,) rising, the same of all
    rate: np.ndarray  # (N, M)
    distortion: np.ndarray  # (N, M)
    others: dict[str, np.ndarray]  # what else `trainables.metrics.AT_EACH_RATE` names, (N, M) each
    latent_dim: np.ndarray  # (N,)
    constant: float  # of the distortion (`ModelConfig.distortion_constant`)
    optimum: np.ndarray | None
    """(M,) the lowest D + beta R of a linear model of the training images, D without its constant, as
    `trainables.training.rates.ManyRates` has it: what all trials are measured by. None where the images cannot be
    had."""
    linear: np.ndarray | None
    """(2, G) rate and distortion of the best linear model with as many latents as the best network."""

    @property
    def loss(self) -> np.ndarray:
        """(N, M) D + beta R, D without its constant."""
        return np.asarray(self.distortion - self.constant + self.beta * self.rate)

    @property
    def frame(self) -> np.ndarray:
        """The ends of the axes, of rate and of distortion, (2, 2): they hold the best network's curve and the linear
        model's over the same rates, whatever the other trials."""
        return framed(np.stack([self.rate[0], self.distortion[0]]), self.linear, _MARGIN)


def compute_rate_curves(study: StudyContext) -> RateCurves:
    """Of a multi-rate study."""
    runs, base = study.runs, study.record.base
    tables = [read_rates(run.folder, run.config, run.best) for run in runs]
    shape = (len(runs), len(base.betas))
    measured = {name: np.array([table[name] for table in tables], float).reshape(shape) for name in AT_EACH_RATE}
    rate, distortion = measured.pop("val_rate"), measured.pop("val_distortion")
    beta, optimum, linear = np.array(base.betas), None, None
    if runs and study.data is not None:
        # by the trainings' own spectrum: that of large images is not the figure's
        train = Pixels(study.data.train.images, study.data.training_rows())
        optimum = ManyRates(base, train).optimum(beta)
    with suppress(UserError):  # the page says why
        linear = np.stack(linear_curve(replace(study.linear, latent_dim=runs[0].config.model.latent_dim)))
    sizes = np.array([run.config.model.latent_dim for run in runs], int)
    labels = [run.label for run in runs]
    return RateCurves(labels, beta, rate, distortion, measured, sizes, base.model.distortion_constant, optimum, linear)


@styled
def draw_rate_curves(curves: RateCurves) -> Figure:
    """The best network's curve with its KL weights, the others' behind it, and the linear model's."""
    figure = Figure(figsize=(11.5, 8.4))
    axes = figure.subplots()
    (left, right), (bottom, top) = curves.frame
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel=RATE_LABEL)
    axes.set_ylabel(distortion_label("Gaussian"), color=DARK)
    rate, distortion = curves.rate[0], curves.distortion[0]
    look: Look = {"color": OKABE_ITO["blue"], "lw": 2.8, "ms": 11, "mec": "white", "mew": 1.2, "zorder": 4}
    axes.plot(rate, distortion, "o-", label=_best_label(curves), **look)
    if curves.linear is not None:
        axes.plot(*curves.linear, color=LINEAR, lw=2.2, zorder=3, label=linear_label(int(curves.latent_dim[0])))
    for k in range(1, len(curves.label)):
        label = "other networks" if k == 1 else None
        axes.plot(curves.rate[k], curves.distortion[k], color=FADED, lw=1.2, alpha=0.8, zorder=2, label=label)
    text: Look = {"xytext": (10, 8), "textcoords": "offset points", "fontsize": 13, "path_effects": HALO, "zorder": 5}
    for k, beta in enumerate(curves.beta):
        axes.annotate(f"β {beta:.3g}", (rate[k], distortion[k]), **text)
    axes.grid(True)
    axes.legend(loc="upper right")
    return figure


def _best_label(curves: RateCurves) -> str:
    return f"{curves.label[0]}: one network, latent size {curves.latent_dim[0]}"


def rate_curves_chart(curves: RateCurves) -> go.Figure:
    """Hover a KL weight for its numbers."""
    figure, frame = go.Figure(), curves.frame
    for k in range(len(curves.label) - 1, -1, -1):
        is_best, texts = k == 0, [f"{curves.label[k]}, {BETA_LABEL} {beta:.3g}" for beta in curves.beta]
        look: Look = {"line": {"color": OKABE_ITO["blue"] if is_best else NEUTRAL, "width": 3 if is_best else 1}}
        look |= {"marker": {"size": 10 if is_best else 4, "color": look["line"]["color"]}, "mode": "lines+markers"}
        look |= {"name": _best_label(curves) if is_best else "other networks", "showlegend": k < 2}
        hover = "%{text}<br>rate %{x:.2f}, distortion %{y:.2f} nats"
        add_dots(figure, curves.rate[k], curves.distortion[k], hover, text=texts, **look)
    if curves.linear is not None:
        x, y = curves.linear[:, (frame[0, 0] <= curves.linear[0]) & (curves.linear[0] <= frame[0, 1])]
        name, line = linear_label(int(curves.latent_dim[0])), {"color": LINEAR, "width": 2.5}
        add_line(figure, x, y, name, line=line)
    figure.update_layout(xaxis_title="rate R (nats per image)", yaxis_title="distortion D (nats per image)")
    return figure.update_layout(xaxis_range=frame[0].tolist(), yaxis_range=frame[1].tolist())


FIGURE = StudyFigure(
    name="rate_curve",
    title="Rate against distortion of one network",
    order=11,
    caption="Each line is one network, trained once for all KL weights: a dot is what it measures at one of them, left "
    "a shorter code, down a more faithful image. Purple: the best a linear model can do (reverse water-filling), on "
    "the training images that it is fitted to; the networks are on the validation images.",
    compute=compute_rate_curves,
    note=lambda curves: "" if curves.label else "No trial is complete yet: there is no curve of rate and distortion",
    draw=draw_rate_curves,
    chart=rate_curves_chart,
    possible=of_multi_rate_trials,
)
