"""Models and images whose figures are known beforehand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from analysis.measures.codes import Codes, Subject, encode
from trainables.config import TrialConfig
from trainables.data.datasets import Dataset, Split
from trainables.training.loop import seeded_vae
from vae_models import VAE, ModelConfig
from vae_models.priors import Posterior, StandardNormal


def vae(latent_dim: int, shape: tuple[int, int, int] = (1, 16, 16), seed: int = 0, **fields: object) -> VAE:
    fields = fields or {"width": 4}
    config = ModelConfig.model_validate({"image_shape": shape, "latent_dim": latent_dim, **fields})
    return seeded_vae(TrialConfig(model=config, seed=seed)).eval()


def dataset(count: int, shape: tuple[int, int, int] = (1, 16, 16), classes: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    splits = [
        Split(rng.integers(0, 256, (size, *shape), dtype=np.uint8), np.arange(size) % classes)
        for size in (2 * count, count)
    ]
    return Dataset("made", *splits, tuple(f"class ${k}_" for k in range(classes)))


def subject(
    model: object, images: np.ndarray, codes: Codes | None = None, sigma: float = 0.2, seed: int = 0
) -> Subject:
    """What is measured of a model on some images, all of one class."""
    split = Split(images, np.zeros(len(images), dtype=int))
    data = Dataset("made", split, split, ("only",))
    return Subject(model, data, sigma, codes or encode(model, images), seed)  # type: ignore[arg-type]


class Echo(nn.Module):
    """Decodes a code to an image that holds its numbers, so that what was decoded can be read off."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.config = ModelConfig(image_shape=(1, 8, 8), latent_dim=latent_dim)
        self.scale = nn.Parameter(torch.ones(()))

    def encode(self, x: Tensor) -> Posterior:
        mean = 8 * x.flatten(1)[:, : self.config.latent_dim] - 4
        return Posterior(mean, torch.full_like(mean, -1.0))

    def prior(self) -> StandardNormal:
        return StandardNormal(self.config.latent_dim)

    def decode(self, z: Tensor) -> Tensor:
        pixels = torch.zeros(len(z), 64)
        pixels[:, : z.shape[1]] = z / 8 + 0.5
        return pixels.view(-1, 1, 8, 8) * self.scale


def codes_of(images: np.ndarray, latent_dim: int) -> np.ndarray:
    """What `Echo` decoded: (..., 1, 8, 8) -> (..., Z)."""
    return 8 * images.reshape(*images.shape[:-3], 64)[..., :latent_dim] - 4


def echo(latent_dim: int) -> VAE:
    return Echo(latent_dim)  # type: ignore[return-value]


def posteriors(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Five latents whose KL rises in the order 3, 0, 4, 1, 2; number 3 is collapsed."""
    spread = np.array([0.5, 2.0, 3.0, 0.0, 1.0])
    mean = spread * np.random.default_rng(0).standard_normal((count, 5))
    return mean.astype(np.float32), np.broadcast_to(-0.5 * spread, mean.shape).astype(np.float32)
