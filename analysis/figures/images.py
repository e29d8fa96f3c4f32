"""The images that figures show: which of the test set, and what a decoder makes of codes. N codes of Z latents, images
of C x H x W."""

import numpy as np
import pandas as pd
import torch

from analysis.measures.codes import batch_size, device_of
from vae_models import VAE
from vae_models.priors import StandardNormal


@torch.no_grad()
def decode(model: VAE, z_NZ: np.ndarray) -> np.ndarray:
    """Codes (N, Z) -> images (N, C, H, W) float32 in [0, 1]."""
    device = device_of(model)
    parts = torch.from_numpy(z_NZ).float().split(batch_size(model.config.dimensions, device))
    return np.concatenate([model.decode(part.to(device)).cpu().numpy() for part in parts])


@torch.no_grad()
def decode_prior(model: VAE, noise_NZ: np.ndarray) -> np.ndarray:
    """What a model makes of standard normal noise (N, Z), decoded from its prior: (N, C, H, W) float32 in [0, 1]. Where
    that is another than N(0, I), of as many draws from it, always the same."""
    prior = model.prior()
    if isinstance(prior, StandardNormal):
        return decode(model, noise_NZ)
    return decode(model, prior.sample(len(noise_NZ), torch.Generator().manual_seed(0)).cpu().numpy())


def unit(images: np.ndarray) -> np.ndarray:
    """uint8 images -> float32 in [0, 1], of the same shape."""
    return images.astype(np.float32) / 255


def varied_rows(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """At most ``count`` rows, one of each class in turn: (N,) labels -> (count,) rows."""
    order = np.random.default_rng(seed).permutation(len(labels))
    shuffled = labels[order]
    turn = pd.Series(shuffled).groupby(shuffled).cumcount()
    return np.asarray(order[np.lexsort((shuffled, turn))[:count]])
