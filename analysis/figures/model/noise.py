"""What the decoder makes of noise: samples from the prior."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import latents, show_tiles, styled

_ROWS, _COLUMNS = 6, 10


@dataclass(frozen=True)
class Samples:
    """What the decoder makes of draws from the prior."""

    images: np.ndarray  # (R, K, C, H, W) in [0, 1], 6 rows of 10
    latent_dim: int
    prior: str


@torch.no_grad()
def compute_noise(context: ModelContext) -> Samples:
    """Images decoded from z ~ p(z)."""
    images = context.model.sample(_ROWS * _COLUMNS, context.seed).cpu().numpy()
    config = context.model.config
    return Samples(images.reshape(_ROWS, _COLUMNS, *images.shape[1:]), config.latent_dim, config.prior_words)


@styled
def draw_noise(samples: Samples) -> Figure:
    """All samples in one picture."""
    height, width = samples.images.shape[-2:]
    figure = Figure(figsize=(10, 10 * _ROWS * height / (_COLUMNS * width) + 0.5))
    figure.suptitle(f"Samples from the {samples.prior} of {latents(samples.latent_dim)}")
    show_tiles(figure.subplots(), samples.images)
    return figure


FIGURE = ModelFigure(
    name="noise",
    title="Samples from the prior",
    order=30,
    caption="What the decoder makes of pure noise: the more it looks like data, the better the prior fits.",
    compute=compute_noise,
    draw=draw_noise,
)
