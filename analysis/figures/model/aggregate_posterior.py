"""Where the codes lie as a whole, against the prior that samples are drawn from. N images, Z latents, L are shown."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi, norm

from analysis.figures.model.kl_latents import KlLatents, compute_kl_latents
from analysis.figures.registry import ModelFigure
from analysis.figures.style import FADED, OKABE_ITO, latents, panel_grid, styled

_SHOWN, _BINS, _REACH = 6, 40, 4.0


@dataclass(frozen=True)
class AggregatePosterior:
    """One sample of q(z | x) of each image: q(z), their mixture, seen along single latents and as norms."""

    spread: KlLatents  # of all Z latents
    shown: np.ndarray  # (L,) which of them by KL: the first, and the last
    samples: np.ndarray  # (N, L) of these latents
    mean_range: np.ndarray  # (2, L): the 5th and 95th percentile of the posterior means; a collapsed latent's coincide
    norms: np.ndarray  # (N,) Euclidean norm of all Z latents of the sample; chi-distributed under the prior


def compute_aggregate_posterior(mean_NZ: np.ndarray, logvar_NZ: np.ndarray, seed: int = 0) -> AggregatePosterior:
    """Of the posteriors of the test images, (N, Z)."""
    spread = compute_kl_latents(mean_NZ, logvar_NZ)
    count = len(spread.latents)
    shown = np.arange(count) if count <= _SHOWN else np.array([*range(_SHOWN - 1), count - 1])
    noise = np.random.default_rng(seed).standard_normal(mean_NZ.shape)
    z_NZ = mean_NZ + np.exp(0.5 * logvar_NZ.astype(np.float64)) * noise
    chosen = spread.latents[shown]
    mean_range = np.percentile(mean_NZ[:, chosen], [5, 95], axis=0)
    return AggregatePosterior(spread, shown, z_NZ[:, chosen], mean_range, np.linalg.norm(z_NZ, axis=1))


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
    left.supxlabel("z, prior standard deviations", fontsize=14)
    active = aggregate.spread.active
    _draw_norms(right.subplots(), aggregate.norms, len(active))
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
    axes.plot(x, norm.pdf(x), color="black", linewidth=1.5)
    axes.plot(aggregate.mean_range[:, k], [-0.03] * 2, color=OKABE_ITO["vermillion"], lw=5, solid_capstyle="round")
    axes.set_title(f"latent {spread.latents[rank]}: {spread.kl[rank]:.2f} nats{state}", fontsize=12)


def _draw_norms(axes: Axes, norms: np.ndarray, latent_dim: int) -> None:
    prior = chi(latent_dim)
    low, high = prior.ppf([0.0005, 0.9995])
    low, high = min(low, norms.min()), max(high, np.percentile(norms, 99.8))
    _histogram(axes, norms, low, high, OKABE_ITO["blue"], "q(z)")
    x = np.linspace(max(low, 1e-3), high, 400)
    axes.plot(x, prior.pdf(x), color="black", linewidth=1.5, label="prior")
    axes.plot([], [], color=OKABE_ITO["vermillion"], linewidth=5, label="90% of posterior means")
    axes.set_title(f"norm |z| over the chi distribution of {latents(latent_dim)}", fontsize=12)
    axes.set_xlabel("|z|")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, columnspacing=1, handlelength=1.2)


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
    compute=lambda model: compute_aggregate_posterior(*model.codes, model.seed),
    draw=draw_aggregate_posterior,
)
