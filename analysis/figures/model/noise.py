"""What the decoder makes of noise: samples from the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.style import latents, show_tiles, styled
from vae_models import VAE

ROWS, COLUMNS = 6, 10


@dataclass(frozen=True)
class Samples:
    images: np.ndarray
    """(N, C, H, W) in [0, 1], N = 60."""
    latent_dim: int


@torch.no_grad()
def compute_noise(model: VAE, seed: int = 0) -> Samples:
    """Images decoded from z ~ N(0, I)."""
    return Samples(model.sample(ROWS * COLUMNS, seed).cpu().numpy(), model.config.latent_dim)


@styled
def draw_noise(samples: Samples) -> Figure:
    _, _, height, width = samples.images.shape
    figure = Figure(figsize=(10, 10 * ROWS * height / (COLUMNS * width) + 0.5))
    figure.suptitle(f"Samples from the prior N(0, I) of {latents(samples.latent_dim)}")
    show_tiles(figure.subplots(), samples.images.reshape(ROWS, COLUMNS, *samples.images.shape[1:]))
    return figure
