"""What a metric of the test set is. Each file of this room declares its own, beside what computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from analysis.measures.codes import Codes, posteriors
from trainables.data.datasets import Dataset
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.process_group import World
from vae_models import VAE

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

TRADE_OFF = "The trade-off"
CODE = "The code"
"""Titles that several parts share."""


@dataclass(frozen=True)
class Metric:
    """One number, and how it is shown. Where ``<name>_error`` is measured too, that is its standard error."""

    name: str
    label: str
    """For people, as is the unit; other numbers of the measurement stand in braces."""
    style: str
    """Its format."""
    unit: str = ""
    bound: str = ""
    """Which side of it the truth is on, where the images are too few to tell more
    (`analysis.measures.information.capped`)."""


@dataclass(frozen=True)
class Subject:
    """A trained model, and all that is known before it is measured on its test set."""

    model: VAE
    data: Dataset
    sigma: float
    """Of the calibrated likelihood."""
    codes: Codes
    """Of the test images."""
    seed: int
    """Of every choice of images and every sample."""
    inception: FrechetInceptionDistance | None
    """None where Inception's weights are not at hand."""

    @property
    def images(self) -> np.ndarray:
        """Of the test set, (N, C, H, W) uint8."""
        return self.data.test.images

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @cached_property
    def evaluated(self) -> dict[str, float]:
        """What an epoch measures on the validation images, on the test images."""
        pixels, world = Pixels(self.images, device=self.device), World(device=self.device)
        return evaluate(self.model, pixels, self.sigma, world, posteriors(self.codes))


@dataclass(frozen=True)
class Part:
    """Metrics that are computed together."""

    name: str
    """For who waits."""
    title: str
    """Of the table that they are shown in."""
    metrics: tuple[Metric, ...]
    """That are shown, in this order; one that a part before computes may be shown here."""
    measure: Callable[[Subject], dict[str, float]]
    """Each metric by name, and what their labels and errors need. NaN, or left out, where there is none."""


def chosen_rows(count: int, most: int, seed: int) -> np.ndarray:
    """All rows of so many, or the seed's choice of ``most``, in order."""
    return np.sort(np.random.default_rng(seed).choice(count, min(count, most), replace=False))
