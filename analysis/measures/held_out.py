"""Rate and distortion of single images, so that two models are compared on the same ones. N images."""

from dataclasses import dataclass

import numpy as np
import torch

from analysis.measures.codes import batches
from trainables.training.evaluate import row_noise
from vae_models import VAE


@dataclass(frozen=True)
class ImageLosses:
    """Of each image in nats, (N,) float64 each: one sample of its posterior."""

    rate: np.ndarray
    distortion: np.ndarray
    """Under the training likelihood."""

    def at(self, beta: float) -> np.ndarray:
        """D + beta R, (N,)."""
        return np.asarray(self.distortion + beta * self.rate)


@torch.no_grad()
def image_losses(model: VAE, images: np.ndarray, chosen: np.ndarray) -> ImageLosses:
    """Of a model in evaluation mode, on any device: of the N rows ``chosen`` of some images, (M, C, H, W) uint8. An
    image's noise is that of `trainables.training.evaluate.evaluate`."""
    noise = row_noise(len(images), model.config.latent_dim)[chosen]
    parts, prior = [], model.prior()
    for rows, x in batches(model, images, chosen):
        posterior, own = model.encode(x), noise[rows].to(x.device)
        distortion = model.likelihood.distortion(model.decoder(posterior.sample(own)), x)
        parts.append(torch.stack([prior.rate(posterior, own), distortion]).double().cpu())
    both = torch.cat(parts, 1).numpy() if parts else np.zeros((2, 0))
    return ImageLosses(*both)
