"""Where the codes lie as a whole, against the prior that samples are drawn from. N images, Z latents, L are shown."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi, norm

from analysis.figures.model.kl_latents import KlLatents, compute_kl_latents
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import FADED, OKABE_ITO, Look, latents, panel_grid, styled
from vae_models.priors import Prior, StandardNormal

_SHOWN, _BINS, _REACH = 6, 40, 4.0
_DRAWS = 10_000  # from a prior without a closed form
_LINE: Look = {"color": "black", "linewidth": 1.5, "label": "prior"}


@dataclass(frozen=True)
class AggregatePosterior:
    """One sample of q(z | x) of each image: q(z), their mixture, seen along single latents and as norms."""

    spread: KlLatents  # of all Z latents
    shown: np.ndarray  # (L,) which of them by KL: the first, and the last
    samples: np.ndarray  # (N, L) of these latents
    mean_range: np.ndarray  # (2, L): the 5th and 95th percentile of the posterior means; a collapsed latent's coincide
    norms: np.ndarray  # (N,) Euclidean norm of all Z latents of the sample
    prior: "Draws | None" = None  # none: N(0, I), under which norms are chi-distributed


@dataclass(frozen=True)
class Draws:
    """From a prior that is another than N(0, I), seen likewise."""

    samples: np.ndarray  # (M, L)
    norms: np.ndarray  # (M,)


def compute_aggregate_posterior(
    mean_NZ: np.ndarray, logvar_NZ: np.ndarray, seed: int = 0, prior: Prior | None = None
) -> AggregatePosterior:
    """Of the posteriors of the test images, (N, Z); a prior of none is N(0, I)."""
    spread = compute_kl_latents(mean_NZ, logvar_NZ)
    count = len(spread.latents)
    shown = np.arange(count) if count <= _SHOWN else np.array([*range(_SHOWN - 1), count - 1])
    noise = np.random.default_rng(seed).standard_normal(mean_NZ.shape)
    z_NZ = mean_NZ + np.exp(0.5 * logvar_NZ.astype(np.float64)) * noise
    chosen = spread.latents[shown]
    mean_range = np.percentile(mean_NZ[:, chosen], [5, 95], axis=0)
    norms = np.linalg.norm(z_NZ, axis=1)
    draws = None
    if prior is not None and not isinstance(prior, StandardNormal):
        drawn_MZ = prior.sample(_DRAWS, torch.Generator().manual_seed(seed)).cpu().numpy()
        draws = Draws(drawn_MZ[:, chosen], np.linalg.norm(drawn_MZ, axis=1))
    return AggregatePosterior(spread, shown, z_NZ[:, chosen], mean_range, norms, draws)


@torch.no_grad()
def _compute(context: ModelContext) -> AggregatePosterior:
    return compute_aggregate_posterior(*context.codes, context.seed, context.model.prior())


@styled
def draw_aggregate_posterior(aggregate: AggregatePosterior) -> Figure:
    """Histograms of single latents over N(0, 1), and of the norm over the chi distribution."""
    rows, columns = panel_grid(len(aggregate.shown))
    figure = Figure(figsize=(14, 3.2 * rows + 1 if rows > 1 else 5))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[columns + 1, 2]).flat
    grid = left.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for k in range(len(aggregate.shown)):
        _draw_latent(grid[k], aggregate, k)
    for axes in grid[len(aggregate.shown) :]:
        axes.set_axis_off()
    # the bars of the means stand below the axis' zero, clear of the histograms
    grid[0].set_ylim(-0.06, None)
    left.supxlabel("z, prior standard deviations" if aggregate.prior is None else "z", fontsize=14)
    active = aggregate.spread.active
    _draw_norms(right.subplots(), aggregate)
    figure.suptitle(
        f"Aggregate posterior q(z) of {len(aggregate.norms):,} test images against the prior: "
        f"{latents(len(active))}, {int((~active).sum()) or 'none'} collapsed"
    )
    return figure


def _draw_latent(axes: Axes, aggregate: AggregatePosterior, k: int) -> None:
    spread, rank = aggregate.spread, aggregate.shown[k]
    color, state = (OKABE_ITO["blue"], "") if spread.active[rank] else (FADED, ", collapsed")
    reach = max(_REACH, float(np.percentile(np.abs(aggregate.samples), 99.8)))
    _histogram(axes, aggregate.samples[:, k], -reach, reach, color)
    x = np.linspace(-reach, reach, 301)
    if aggregate.prior is None:
        axes.plot(x, norm.pdf(x), **_LINE)
    else:
        _outline(axes, aggregate.prior.samples[:, k], -reach, reach)
    axes.plot(aggregate.mean_range[:, k], [-0.03] * 2, color=OKABE_ITO["vermillion"], lw=5, solid_capstyle="round")
    unit = "nats" if aggregate.prior is None else "nats to N(0, 1)"
    axes.set_title(f"latent {spread.latents[rank]}: {spread.kl[rank]:.2f} {unit}{state}", fontsize=12)


def _draw_norms(axes: Axes, aggregate: AggregatePosterior) -> None:
    norms, prior, of = aggregate.norms, aggregate.prior, latents(len(aggregate.spread.latents))
    exact = chi(len(aggregate.spread.latents))
    low, high = exact.ppf([0.0005, 0.9995]) if prior is None else np.percentile(prior.norms, [0.05, 99.95])
    low, high = min(low, norms.min()), max(high, np.percentile(norms, 99.8))
    _histogram(axes, norms, low, high, OKABE_ITO["blue"], "q(z)")
    if prior is None:
        x = np.linspace(max(low, 1e-3), high, 400)
        axes.plot(x, exact.pdf(x), **_LINE)
        axes.set_title(f"norm |z| over the chi distribution of {of}", fontsize=12)
    else:
        _outline(axes, prior.norms, low, high)
        axes.set_title(f"norm |z| over the prior's, by draws, of {of}", fontsize=12)
    axes.plot([], [], color=OKABE_ITO["vermillion"], linewidth=5, label="90% of posterior means")
    axes.set_xlabel("|z|")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, columnspacing=1, handlelength=1.2)


def _outline(axes: Axes, values: np.ndarray, low: float, high: float) -> None:
    axes.hist(values, bins=np.linspace(low, high, _BINS + 1).tolist(), density=True, histtype="step", **_LINE)


def _histogram(axes: Axes, values: np.ndarray, low: float, high: float, color: str, label: str | None = None) -> None:
    """A density, without the numbers that nobody reads."""
    bins = np.linspace(low, high, _BINS + 1).tolist()
    axes.hist(values, bins=bins, density=True, color=color, alpha=0.6, label=label)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


FIGURE = ModelFigure(
    name="aggregate_posterior",
    title="Aggregate posterior",
    order=100,
    caption="All codes together (bars) should look like the prior (line); a short orange bar is a latent that says "
    "little.",
    compute=_compute,
    draw=draw_aggregate_posterior,
)
