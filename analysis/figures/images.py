"""The images that figures show: which of the test set, and what a decoder makes of codes.

N codes of Z latents, images of C x H x W.
"""

import numpy as np
import torch

from trainables.training.evaluate import BATCH
from vae_models import VAE


@torch.no_grad()
def decode(model: VAE, z_NZ: np.ndarray) -> np.ndarray:
    """Codes (N, Z) -> images (N, C, H, W) float32 in [0, 1]."""
    device = next(model.parameters()).device
    images = np.empty((len(z_NZ), *model.config.image_shape), dtype=np.float32)
    for start in range(0, len(z_NZ), BATCH):
        part = torch.from_numpy(z_NZ[start : start + BATCH]).float().to(device)
        images[start : start + BATCH] = model.decode(part).cpu().numpy()
    return images


def unit(images: np.ndarray) -> np.ndarray:
    """uint8 images -> float32 in [0, 1], of the same shape."""
    return images.astype(np.float32) / 255


def varied_rows(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """At most ``count`` rows, one of each class in turn: (N,) labels -> (count,) rows."""
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.empty(len(labels), dtype=int)
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        turn[rows] = np.arange(len(rows))
    return np.lexsort((labels, turn))[:count]
