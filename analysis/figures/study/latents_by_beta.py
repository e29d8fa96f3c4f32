"""Which latents of one network carry information at which KL weight, and which principal components are worth coding. K
KL weights, Z latents."""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from analysis.figures.plotly_style import add_dots, add_line, panel_chart, scale_by_weight
from analysis.figures.registry import StudyContext, StudyFigure, of_multi_rate_trials
from analysis.figures.style import BETA_LABEL, LINEAR, OKABE_ITO, Look, log_ticks, panel_axes, styled
from analysis.measures.codes import chosen_rows
from analysis.measures.sweep import Sweep, sweep
from trainables.errors import UserError
from trainables.training.process_group import first_device

_MOST_IMAGES = 1_000  # test images, of which a share of a nat is sure to hundredths: a CPU's seconds at each weight
_POINTS = 400
_NETWORK, _COMPONENTS = "latents", "principal components, in theory"


@dataclass(frozen=True)
class LatentsByBeta:
    """The best network's latents, and as many of the training images' principal components, of which there
    are G points of a curve."""

    label: str  # the network's
    sweep: Sweep  # on test images; its latents by their rate at the lowest KL weight, the largest first
    beta: np.ndarray  # (G,) KL weights of the theory, over the network's range; empty where no linear model is known
    components: np.ndarray
    """(G, Z) nats that each component's latent costs, 1/2 log(l / beta) of an eigenvalue l above beta (the decoder's
    variance is 1, on pixels in [-1, 1]), else 0."""
    active: np.ndarray  # (G,) components that are active there, as `vae_models.elbo.active_units` counts them
    note: str = ""  # why there is nothing to draw, if so


def _nothing(why: str) -> LatentsByBeta:
    none = np.zeros(0)
    return LatentsByBeta("", Sweep(none, none, none, none, none.reshape(0, 0)), none, none.reshape(0, 0), none, why)


def compute_latents_by_beta(study: StudyContext) -> LatentsByBeta:
    """Of the best network of a multi-rate study, on at most 1,000 of its test images."""
    if not study.runs:
        return _nothing("No trial is complete yet: which latents a KL weight switches off is unknown")
    if study.data is None or not len(study.data.test.images):
        return _nothing("Which latents a KL weight switches off takes the test images, which cannot be had")
    run, images = study.runs[0], study.data.test.images
    try:
        model = run.load_whole().to(first_device())
    except UserError as error:
        return _nothing(f"The model of {run.label} is missing: {error}")
    found = sweep(model, images[chosen_rows(len(images), _MOST_IMAGES, seed=0)])
    order = np.argsort(-found.latent_rates[0], kind="stable")
    found = replace(found, latent_rates=found.latent_rates[:, order])
    with suppress(UserError):  # the page says why
        linear, beta = study.linear, np.geomspace(found.beta[0], found.beta[-1], _POINTS)
        components = 0.5 * np.log(np.maximum(linear.eigenvalues[: len(order)] / beta[:, None], 1))
        active = replace(linear, latent_dim=len(order)).optimum(beta).active_units
        return LatentsByBeta(run.label, found, beta, components, active)
    return replace(_nothing(""), label=run.label, sweep=found)


@styled
def draw_latents_by_beta(found: LatentsByBeta) -> Figure:
    """Nats by KL weight of each latent, and beside it of each component; and how many of both are active."""
    figure = Figure(figsize=(15, 5.4))
    known = bool(len(found.active))
    panels = panel_axes(figure, 3 if known else 2)
    most = max(found.sweep.latent_rates.max(), found.components.max(initial=0), 0.1)
    shares = [(found.sweep.beta, found.sweep.latent_rates, OKABE_ITO["blue"], f"{found.label}: {_NETWORK}")]
    shares += [(found.beta, found.components, LINEAR, _COMPONENTS)] if known else []
    for axes, (beta, nats, color, title) in zip(panels, shares, strict=False):
        axes.plot(beta, nats, color=color, lw=1.8, alpha=0.8)
        axes.set(title=title, ylim=(-0.03 * most, 1.06 * most))
    panels[0].set_ylabel("KL of a latent (nats per image)")
    counts = panels[-1]
    look: Look = {"color": OKABE_ITO["blue"], "marker": "o", "ms": 7, "mec": "white", "label": found.label}
    counts.plot(found.sweep.beta, found.sweep.active_units, **look, zorder=3)
    if known:
        counts.plot(found.beta, found.active, color=LINEAR, lw=2.2, label="PCA, in theory", zorder=2)
    counts.set(title="active units", ylim=(-0.04 * _most(found), 1.08 * _most(found)))
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    counts.legend()
    for axes in panels:
        _weights(axes, found.sweep.beta)
    return figure


def _most(found: LatentsByBeta) -> float:
    """Active units, at least 1."""
    return float(max(1, found.sweep.active_units.max(), found.active.max(initial=0)))


def _weights(axes: Axes, beta: np.ndarray) -> None:
    """The axis of KL weights."""
    axes.set_xscale("log")
    ticks = log_ticks(float(beta[0]), float(beta[-1]))
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(BETA_LABEL)
    axes.grid(True)


def latents_by_beta_chart(found: LatentsByBeta) -> go.Figure:
    """Hover a latent for its number, by its rate at the lowest KL weight."""
    known = bool(len(found.active))
    titles = [_NETWORK, *[_COMPONENTS] * known, "active units"]
    figure, places = panel_chart(len(titles), horizontal_spacing=0.08, subplot_titles=titles)
    line: Look = {"width": 1.5}
    for k, nats in enumerate(found.sweep.latent_rates.T, 1):
        look: Look = {"mode": "lines", "line": line | {"color": OKABE_ITO["blue"]}, "showlegend": False}
        add_dots(figure, found.sweep.beta, nats, f"latent {k}: %{{y:.3f}} nats<br>β %{{x:.3g}}", **look, **places[0])
    for k, nats in enumerate(found.components.T, 1):
        look = {"mode": "lines", "line": line | {"color": LINEAR}, "showlegend": False}
        add_dots(figure, found.beta, nats, f"component {k}: %{{y:.3f}} nats<br>β %{{x:.3g}}", **look, **places[1])
    dots: Look = {"mode": "lines+markers", "marker": {"color": OKABE_ITO["blue"], "size": 8}, "name": found.label}
    add_dots(figure, found.sweep.beta, found.sweep.active_units, "%{y} active<br>β %{x:.3g}", **dots, **places[-1])
    if known:
        line |= {"color": LINEAR, "width": 2.5}
        add_line(figure, found.beta, found.active, "PCA, in theory", line=line, **places[-1])
    scale_by_weight(figure, found.sweep.beta)
    return figure.update_yaxes(rangemode="tozero").update_yaxes(col=1, title="nats per image")


FIGURE = StudyFigure(
    name="latents_by_beta",
    title="Which latents a KL weight switches off",
    order=31,
    caption="What each latent of the best network costs at each KL weight, on test images: where its line reaches 0, "
    "its code says nothing. Purple: what a linear model would do, whose latents are the training images' principal "
    "components: each costs ½ log(l/β) nats while its variance l is above β, and none beyond (variances of pixels in "
    "[-1, 1], under the Gaussian likelihood). Active: a posterior mean whose variance is above 0.01.",
    compute=compute_latents_by_beta,
    note=lambda found: found.note,
    draw=draw_latents_by_beta,
    chart=latents_by_beta_chart,
    possible=of_multi_rate_trials,
)
