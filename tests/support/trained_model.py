"""A model that has learnt a little, and its images: fixtures that a folder's conftest.py takes in."""

from __future__ import annotations

import pytest
from support.analysis_fixture import BASE

from trainables.data.datasets import Dataset, load_dataset
from trainables.training.batches import Pixels
from trainables.training.loop import fit
from vae_models import VAE


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def model(digits: Dataset) -> VAE:
    config = BASE.replace({"epochs": 2, "batch_size": 32})
    pixels = Pixels(digits.train.images[:512])
    return list(fit(config, pixels, pixels))[-1].model.eval()
