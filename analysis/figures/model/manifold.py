"""The decoder over a grid of the prior: S steps, equal in probability, not in distance. Images of C x H x W."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from analysis.figures.images import decode
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import latents, show_tiles, styled
from analysis.measures.codes import latent_rates

_STEPS, _STEPS_LARGE = 21, 13  # odd: the middle is 0
_LARGE = 40  # pixels of a side above which a picture of 21 x 21 images would show less than the images have


@dataclass(frozen=True)
class Manifold:
    """Images decoded over one or two latents, all others at 0."""

    images: np.ndarray  # (S, S, C, H, W) in [0, 1], the second latent rising upwards; of a single one (1, S, ...)
    values: np.ndarray  # (S,) quantiles of N(0, 1) at (k + 1/2) / S, each latent's values
    latents: np.ndarray  # (2,) or (1,) indices: across, up
    kl: np.ndarray  # (2,) or (1,) nats per image
    latent_dim: int


def compute_manifold(context: ModelContext) -> Manifold:
    """Decode a grid over the prior's quantiles (Kingma & Welling 2014, arXiv:1312.6114, figure 4), over the
    two latents of largest KL."""
    kl_Z = latent_rates(*context.codes)
    # of two latents the first is across, whichever carries more: figures of two models compare
    chosen = np.sort(np.argsort(-kl_Z, kind="stable")[:2])
    steps = _STEPS if max(context.model.config.image_shape[1:]) <= _LARGE else _STEPS_LARGE
    values = norm.ppf((np.arange(steps) + 0.5) / steps)
    z = np.zeros((steps if len(chosen) > 1 else 1, steps, len(kl_Z)))
    z[:, :, chosen[0]] = values
    if len(chosen) > 1:
        z[:, :, chosen[1]] = values[::-1, None]
    images = decode(context.model, z.reshape(-1, len(kl_Z)))
    return Manifold(images.reshape(*z.shape[:2], *images.shape[1:]), values, chosen, kl_Z[chosen], len(kl_Z))


@styled
def draw_manifold(manifold: Manifold) -> Figure:
    """The grid, its axes labelled by the prior's quantiles."""
    rows, steps, _, height, width = manifold.images.shape
    across = 10 if rows > 1 else 14
    figure = Figure(figsize=(across, 0.92 * across * rows * height / (steps * width) + 1.1))
    axes = figure.subplots()
    centres = show_tiles(axes, manifold.images, gap=0)
    shown = np.linspace(0, steps - 1, 5).round().astype(int) if rows > 1 else np.arange(steps)
    labels = [f"{value:.1f}".replace("-0.0", "0.0") for value in manifold.values[shown]]
    pairs = zip(manifold.latents, manifold.kl, strict=True)
    names = [f"latent {k} ({nats:.2f} nats), prior standard deviations" for k, nats in pairs]
    axes.set_xticks(centres[shown], labels)
    axes.set_xlabel(names[0])
    if rows > 1:
        axes.set_yticks((steps - shown - 0.5) * height - 0.5, labels)
        axes.set_ylabel(names[1])
    of = latents(manifold.latent_dim)
    rest = manifold.latent_dim > len(manifold.latents)
    figure.suptitle(f"Decoded over the quantiles of the prior: {f'two of {of}, the others at 0' if rest else of}")
    return figure


FIGURE = ModelFigure(
    name="manifold",
    title="The decoder over two latents",
    order=80,
    caption="The decoder over the two latents that carry most, in equal steps of prior probability.",
    compute=compute_manifold,
    possible=lambda model: model.dataset is not None and model.has_standard_prior,  # a mixture has no such grid
    draw=draw_manifold,
)
