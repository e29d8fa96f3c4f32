"""How the rate is spread over the Z latents, and which of them carry anything."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.registry import ModelFigure
from analysis.figures.style import FADED, OKABE_ITO, Look, latents, styled
from analysis.measures.codes import latent_rates
from vae_models.elbo import ACTIVE_VARIANCE

_BARS, _NAMED = 64, 32
_LEAST_VARIANCE = 1e-7


@dataclass(frozen=True)
class KlLatents:
    """Each latent's KL to N(0, 1), which is its share of the rate where that is the prior, and the spread of its
    posterior mean, by KL, largest first."""

    latents: np.ndarray  # (Z,) indices
    kl: np.ndarray  # (Z,) nats per image
    mean_variance: np.ndarray  # (Z,) variance of the posterior mean over the images
    is_rate: bool = True  # whether the KLs sum to the rate

    @property
    def active(self) -> np.ndarray:
        """(Z,) bool: variance above 0.01 (Burda et al. 2016, arXiv:1509.00519, section 5.2)."""
        return self.mean_variance > ACTIVE_VARIANCE


def compute_kl_latents(mean_NZ: np.ndarray, logvar_NZ: np.ndarray, is_rate: bool = True) -> KlLatents:
    """Of the posteriors of the test images, (N, Z)."""
    kl_Z = latent_rates(mean_NZ, logvar_NZ)
    order = np.argsort(-kl_Z, kind="stable")
    return KlLatents(order, kl_Z[order], mean_NZ.astype(np.float64).var(0)[order], is_rate)


@styled
def draw_kl_latents(spread: KlLatents) -> Figure:
    """KL above, the variance of the posterior mean with the threshold of active units below; collapsed ones grey."""
    count, variance = len(spread.kl), spread.mean_variance.clip(_LEAST_VARIANCE)
    figure = Figure(figsize=(11, 7))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    kinds = (spread.active, OKABE_ITO["blue"], "active"), (~spread.active, FADED, "collapsed")
    for chosen, color, name in kinds:
        if chosen.any():
            _show(above, spread.kl, chosen, color=color, label=name)
            # dots: on a logarithmic scale a bar's length says nothing
            size = float(np.clip(1500 / count, 12, 60))
            below.scatter(1 + np.flatnonzero(chosen), variance[chosen], s=size, color=color, linewidths=0)
    above.set_xlim(0.2, count + 0.8)
    above.set_ylim(bottom=0)
    above.set_ylabel("KL (nats per image)" if spread.is_rate else "KL to N(0, 1) (nats per image)")
    below.set_yscale("log")
    below.set_ylim(min(variance.min() / 3, ACTIVE_VARIANCE / 10), max(3 * variance.max(), ACTIVE_VARIANCE * 10))
    below.set_ylabel("variance of the\nposterior mean")
    red = OKABE_ITO["vermillion"]
    below.axhline(ACTIVE_VARIANCE, color=red, linestyle="--", linewidth=1.5)
    look: Look = {"va": "top", "xycoords": ("axes fraction", "data"), "textcoords": "offset points", "color": red}
    below.annotate(f"active above {ACTIVE_VARIANCE:g}", (0, ACTIVE_VARIANCE), (6, -4), **look)
    if count <= _NAMED:
        below.set_xticks(range(1, count + 1), [str(k) for k in spread.latents], fontsize=11)
    below.set_xlabel("latent, by KL" if count <= _NAMED else "latents, by KL: rank")
    for axes in (above, below):
        axes.grid(True, axis="y")
    active = int(spread.active.sum())
    what = f"Rate {spread.kl.sum():.2f} nats per image over" if spread.is_rate else "KL to N(0, 1), not the prior, of"
    above.set_title(f"{what} {latents(count)}: {active} active")
    above.legend(loc="upper right")
    return figure


def _show(axes: Axes, values: np.ndarray, chosen: np.ndarray, color: str, label: str) -> None:
    """Bars of some values; a filled line where bars would be too many."""
    rank = 1 + np.arange(len(values))
    if len(values) <= _BARS:
        axes.bar(rank[chosen], values[chosen], min(0.8, 0.15 * len(values)), color=color, label=label)
    else:
        axes.fill_between(rank, values, where=chosen.tolist(), step="mid", linewidth=0, color=color, alpha=0.35)
        axes.step(rank, np.where(chosen, values, np.nan), where="mid", color=color, label=label)


FIGURE = ModelFigure(
    name="kl_latents",
    title="What each latent carries",
    order=90,
    caption="What each latent carries, and the variance that makes it an active unit; grey ones have collapsed.",
    compute=lambda model: compute_kl_latents(*model.codes, model.has_standard_prior),
    draw=draw_kl_latents,
)
