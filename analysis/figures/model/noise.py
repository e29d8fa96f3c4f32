"""What the decoder makes of noise: samples from the prior."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.registry import ModelFigure
from analysis.figures.style import latents, show_tiles, styled
from vae_models import VAE

_ROWS, _COLUMNS = 6, 10


@dataclass(frozen=True)
class Samples:
    """What the decoder makes of draws from the prior."""

    images: np.ndarray  # (N, C, H, W) in [0, 1], N = 60
    latent_dim: int


@torch.no_grad()
def compute_noise(model: VAE, seed: int = 0) -> Samples:
    """Images decoded from z ~ N(0, I)."""
    return Samples(model.sample(_ROWS * _COLUMNS, seed).cpu().numpy(), model.config.latent_dim)


@styled
def draw_noise(samples: Samples) -> Figure:
    """All samples in one picture."""
    _, _, height, width = samples.images.shape
    figure = Figure(figsize=(10, 10 * _ROWS * height / (_COLUMNS * width) + 0.5))
    figure.suptitle(f"Samples from the prior N(0, I) of {latents(samples.latent_dim)}")
    show_tiles(figure.subplots(), samples.images.reshape(_ROWS, _COLUMNS, *samples.images.shape[1:]))
    return figure


FIGURE = ModelFigure(
    name="noise",
    order=30,
    caption="What the decoder makes of pure noise: the more it looks like data, the better the prior fits.",
    compute=lambda model: compute_noise(model.model, model.seed),
    draw=draw_noise,
)
