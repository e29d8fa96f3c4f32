"""The decoder over a grid of the prior: equal steps in probability, not in distance.

S steps, images of C x H x W.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from analysis.figures.images import decode
from analysis.figures.registry import ModelFigure
from analysis.figures.style import latents, mosaic, styled
from analysis.measures.codes import latent_rates
from vae_models import VAE

_STEPS, _STEPS_LARGE = 21, 13  # odd: the middle is 0
_LARGE = 40  # pixels of a side above which a picture of 21 x 21 images would show less than the images have


@dataclass(frozen=True)
class Manifold:
    """Images decoded over one or two latents, all others at 0."""

    images: np.ndarray
    """(S, S, C, H, W) in [0, 1], the second latent rising from the bottom row up; (1, S, C, H, W) of a
    single latent."""
    values: np.ndarray  # (S,) quantiles of N(0, 1) at (k + 1/2) / S, each latent's values
    latents: np.ndarray  # (2,) or (1,) indices: across, up
    kl: np.ndarray  # (2,) or (1,) nats per image
    latent_dim: int


def compute_manifold(model: VAE, mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> Manifold:
    """Decode a grid over the prior's quantiles (Kingma & Welling 2014, arXiv:1312.6114, figure 4), over the
    two latents of largest KL. ``mean_NZ`` and ``logvar_NZ`` are those of the test images."""
    kl_Z = latent_rates(mean_NZ, logvar_NZ)
    # of two latents the first is across, whichever carries more: figures of two models compare
    chosen = np.sort(np.argsort(-kl_Z, kind="stable")[:2])
    steps = _STEPS if max(model.config.image_shape[1:]) <= _LARGE else _STEPS_LARGE
    values = norm.ppf((np.arange(steps) + 0.5) / steps)
    z = np.zeros((steps if len(chosen) > 1 else 1, steps, len(kl_Z)))
    z[:, :, chosen[0]] = values
    if len(chosen) > 1:
        z[:, :, chosen[1]] = values[::-1, None]
    images = decode(model, z.reshape(-1, len(kl_Z)))
    return Manifold(images.reshape(*z.shape[:2], *images.shape[1:]), values, chosen, kl_Z[chosen], len(kl_Z))


@styled
def draw_manifold(manifold: Manifold) -> Figure:
    """The grid, its axes labelled by the prior's quantiles."""
    rows, steps, _, height, width = manifold.images.shape
    across = 10 if rows > 1 else 14
    figure = Figure(figsize=(across, 0.92 * across * rows * height / (steps * width) + 1.1))
    axes = figure.subplots()
    axes.imshow(mosaic(manifold.images, 0), interpolation="nearest", aspect="equal")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    shown = np.linspace(0, steps - 1, 5).round().astype(int) if rows > 1 else np.arange(steps)
    labels = [f"{value:.1f}".replace("-0.0", "0.0") for value in manifold.values]
    names = [f"latent {k} ({nats:.2f} nats)" for k, nats in zip(manifold.latents, manifold.kl, strict=True)]
    axes.set_xticks((shown + 0.5) * width - 0.5, [labels[k] for k in shown])
    axes.set_xlabel(f"{names[0]}, prior standard deviations")
    axes.set_yticks([])
    if rows > 1:
        axes.set_yticks((steps - shown - 0.5) * height - 0.5, [labels[k] for k in shown])
        axes.set_ylabel(f"{names[1]}, prior standard deviations")
    rest = manifold.latent_dim - len(manifold.latents)
    of = latents(manifold.latent_dim)
    figure.suptitle(f"Decoded over the quantiles of the prior: {f'two of {of}, the others at 0' if rest else of}")
    return figure


FIGURE = ModelFigure(
    name="manifold",
    order=80,
    caption="The decoder over the two latents that carry most, in equal steps of prior probability.",
    compute=lambda model: compute_manifold(model.model, *model.codes),
    draw=draw_manifold,
)
