"""Images as the model's posteriors. N images of C x H x W, Z latents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from trainables.training.batches import Pixels
from trainables.training.evaluate import BATCH
from trainables.training.process_group import World
from vae_models import VAE
from vae_models.elbo import kl_per_latent
from vae_models.vae import Posterior


class Codes(NamedTuple):
    """The posteriors q(z | x) of a set of images, in their order."""

    mean_NZ: np.ndarray  # noqa: N815 - a shape
    """float32."""
    logvar_NZ: np.ndarray  # noqa: N815
    """float32."""


@torch.no_grad()
def encode(model: VAE, images: np.ndarray) -> Codes:
    """(N, C, H, W) uint8 -> the posteriors' means and log-variances, on the CPU wherever the model is."""
    device = next(model.parameters()).device
    pixels = Pixels(images, device=device)
    parts = [model.encode(x) for _, x in pixels.in_order(BATCH, World(device=device))]
    return Codes(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))


def posteriors(codes: Codes, rows: slice | np.ndarray = slice(None), device: torch.device | str = "cpu") -> Posterior:
    """All codes, or some rows of them, on a device."""
    return Posterior(*(torch.from_numpy(values[rows]).to(device) for values in codes))


def image_rates(mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> np.ndarray:
    """KL(q(z | x), N(0, 1)) of each image and latent, nats, (N, Z) float64: where sums over images want more
    digits than float32 has."""
    return kl_per_latent(
        Posterior(*(torch.from_numpy(part.astype(np.float64)) for part in (mean_NZ, logvar_NZ)))
    ).numpy()


def latent_rates(mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> np.ndarray:
    """The rate of each latent, nats per image averaged over images, (Z,); they sum to the rate."""
    rates_Z: np.ndarray = image_rates(mean_NZ, logvar_NZ).mean(0)
    return rates_Z
