"""How the rate is spread over the latents, and which of them carry anything.

Z latents, sorted by KL, largest first.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.registry import ModelFigure
from analysis.figures.style import FADED, OKABE_ITO, latents, styled
from analysis.measures.codes import latent_rates
from vae_models.elbo import ACTIVE_VARIANCE

_BARS = 64
_NAMED = 32
_LEAST_VARIANCE = 1e-7


@dataclass(frozen=True)
class KlLatents:
    """Each latent's share of the rate and the spread of its posterior mean, by KL, largest first."""

    latents: np.ndarray  # (Z,) indices
    kl: np.ndarray  # (Z,) nats per image; they sum to the rate
    mean_variance: np.ndarray  # (Z,) variance of the posterior mean over the images

    @property
    def rate(self) -> float:
        """Nats per image."""
        return float(self.kl.sum())

    @property
    def active(self) -> np.ndarray:
        """(Z,) bool: variance above 0.01 (Burda et al. 2016, arXiv:1509.00519, section 5.2)."""
        return self.mean_variance > ACTIVE_VARIANCE


def compute_kl_latents(mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> KlLatents:
    """Of the posteriors of the test images, (N, Z)."""
    kl_Z = latent_rates(mean_NZ, logvar_NZ)
    order = np.argsort(-kl_Z, kind="stable")
    return KlLatents(order, kl_Z[order], mean_NZ.astype(np.float64).var(0)[order])


@styled
def draw_kl_latents(spread: KlLatents) -> Figure:
    """KL above, the variance of the posterior mean with the threshold of active units below."""
    count = len(spread.kl)
    figure = Figure(figsize=(11, 7))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    variance = spread.mean_variance.clip(_LEAST_VARIANCE)
    _show(above, spread.kl, spread.active)
    _mark(below, variance, spread.active)
    above.set_ylim(bottom=0)
    above.set_ylabel("KL (nats per image)")
    below.set_yscale("log")
    low, high = variance.min() / 3, 3 * variance.max()
    below.set_ylim(min(low, ACTIVE_VARIANCE / 10), max(high, ACTIVE_VARIANCE * 10))
    below.set_ylabel("variance of the\nposterior mean")
    below.axhline(ACTIVE_VARIANCE, color=OKABE_ITO["vermillion"], linestyle="--", linewidth=1.5)
    below.annotate(
        f"active above {ACTIVE_VARIANCE:g}",
        (0, ACTIVE_VARIANCE),
        (6, -4),
        va="top",
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=OKABE_ITO["vermillion"],
    )
    if count <= _NAMED:
        below.set_xticks(range(1, count + 1), [str(k) for k in spread.latents], fontsize=11)
        below.set_xlabel("latent, by KL")
    else:
        below.set_xlabel("latents, by KL: rank")
    active = int(spread.active.sum())
    above.set_title(f"Rate {spread.rate:.2f} nats per image over {latents(count)}: {active} active")
    above.legend(loc="upper right")
    return figure


def _show(axes: Axes, values: np.ndarray, active: np.ndarray) -> None:
    """Bars; a filled line where bars would be too many. Collapsed latents are grey."""
    rank, width = 1 + np.arange(len(values)), min(0.8, 0.15 * len(values))
    for chosen, color, name in _of_kinds(active):
        if len(values) <= _BARS:
            axes.bar(rank[chosen], values[chosen], width, color=color, label=name)
        else:
            part = {"where": chosen.tolist(), "step": "mid", "linewidth": 0}
            axes.fill_between(rank, values, color=color, alpha=0.35, **part)
            axes.step(rank, np.where(chosen, values, np.nan), where="mid", color=color, label=name)
    axes.set_xlim(0.2, len(values) + 0.8)
    axes.grid(True, axis="y")


def _mark(axes: Axes, values: np.ndarray, active: np.ndarray) -> None:
    """Dots: on a logarithmic scale a bar's length says nothing."""
    size = float(np.clip(1500 / len(values), 12, 60))
    for chosen, color, _ in _of_kinds(active):
        axes.scatter(1 + np.flatnonzero(chosen), values[chosen], s=size, color=color, linewidths=0)
    axes.grid(True, axis="y")


def _of_kinds(active: np.ndarray) -> list[tuple[np.ndarray, str, str]]:
    """Which latents, their colour and their name, of the kinds that there are."""
    kinds = [(active, OKABE_ITO["blue"], "active"), (~active, FADED, "collapsed")]
    return [kind for kind in kinds if kind[0].any()]


FIGURE = ModelFigure(
    name="kl_latents",
    order=90,
    caption="What each latent carries, and the variance that makes it an active unit; grey ones have collapsed.",
    compute=lambda model: compute_kl_latents(*model.codes),
    draw=draw_kl_latents,
)
