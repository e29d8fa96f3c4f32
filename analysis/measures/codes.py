"""What every measure starts from, a trained model and its test images as posteriors, and what a metric of the test set
is: each file of this room declares its own, beside what computes them. N images of C x H x W, Z latents."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.data.datasets import Dataset
from trainables.training.batches import Pixels
from trainables.training.evaluate import BATCH, evaluate
from trainables.training.process_group import World
from vae_models import VAE
from vae_models.priors import Posterior, kl_per_latent

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

TRADE_OFF, CODE = "The trade-off", "The code"  # titles that several parts share
# decoded at once: more would not stay in a CPU's caches, and take it three times as long
PIXELS = {"cpu": 100_000, "cuda": 10_000_000}


class Codes(NamedTuple):
    """The posteriors q(z | x) of a set of images, in their order; both float32."""

    mean_NZ: np.ndarray  # noqa: N815 - a shape
    logvar_NZ: np.ndarray  # noqa: N815


@dataclass(frozen=True)
class Metric:
    """One number, and how it is shown: other numbers of the measurement stand in braces in its label and unit.
    Where ``<name>_error`` is measured too, that is its standard error."""

    name: str
    label: str
    style: str  # its format
    unit: str = ""
    bound: str = ""  # which side of it the truth is on, where ``is_bound`` of what was measured
    is_bound: Callable[[Mapping[str, float]], bool] = lambda _: False


@dataclass(frozen=True)
class Subject:
    """What `analysis.measures.test_metrics.measure` is given, and what is known before it measures."""

    model: VAE
    data: Dataset
    sigma: float
    codes: Codes  # of the test images
    seed: int = 0
    inception: "FrechetInceptionDistance | None" = None  # where Inception's weights are at hand

    @cached_property
    def evaluated(self) -> dict[str, float]:
        """What an epoch measures on the validation images, on the test images."""
        device = device_of(self.model)
        pixels = Pixels(self.data.test.images, device=device)
        return evaluate(self.model, pixels, self.sigma, World(device=device), posteriors(self.codes))


@dataclass(frozen=True)
class Part:
    """Metrics that are computed together."""

    name: str  # for who waits
    title: str  # of the table that they are shown in
    metrics: tuple[Metric, ...]  # that are shown, in this order; one that a part before computes may be shown here
    measure: Callable[[Subject], dict[str, float]]
    """Each metric by name, and what their labels and errors need. NaN, or left out, where there is none."""


def device_of(model: VAE) -> torch.device:
    """Where the model is."""
    return next(model.parameters()).device


def batch_size(dimensions: int, device: torch.device) -> int:
    """How many images of so many numbers are encoded or decoded at once."""
    return max(1, min(BATCH, PIXELS[device.type] // dimensions))


def batches(
    model: VAE, images: np.ndarray, rows: np.ndarray | None = None, size: int | None = None
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Images, (N, C, H, W) uint8, or some rows of them, in order and where the model is: positions among them, and
    (B, C, H, W) in [0, 1], ``size`` or `batch_size` at once."""
    device = device_of(model)
    return Pixels(images, rows, device).in_order(
        size or batch_size(math.prod(images.shape[1:]), device), World(device=device)
    )


def chosen_rows(count: int, most: int, seed: int) -> np.ndarray:
    """All rows of so many, or the seed's choice of ``most``, in order."""
    return np.sort(np.random.default_rng(seed).choice(count, min(count, most), replace=False))


@torch.no_grad()
def encode(model: VAE, images: np.ndarray) -> Codes:
    """(N, C, H, W) uint8 -> the posteriors' means and log-variances, on the CPU wherever the model is."""
    parts = [model.encode(x) for _, x in batches(model, images)]
    return Codes(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))


def posteriors(codes: Codes, rows: slice | np.ndarray = slice(None), device: torch.device | str = "cpu") -> Posterior:
    """All codes, or some rows of them, on a device."""
    return Posterior(*(torch.from_numpy(values[rows]).to(device) for values in codes))


def image_rates(mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> np.ndarray:
    """KL(q(z | x), N(0, 1)) of each image and latent, nats, (N, Z) float64, as sums over images want its digits."""
    codes = Codes(mean_NZ.astype(np.float64), logvar_NZ.astype(np.float64))
    return kl_per_latent(posteriors(codes)).numpy()


def latent_rates(mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> np.ndarray:
    """The rate of each latent, nats per image averaged over images, (Z,); they sum to the rate of a model whose prior
    is N(0, I). To another prior a latent has no rate of its own."""
    return np.asarray(image_rates(mean_NZ, logvar_NZ).mean(0))
