"""Nearest training images against a brute-force search."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from support.model_cases import Echo, dataset, vae
from torch import Tensor

from analysis.figures.model.neighbours import compute_neighbours, nearest
from analysis.figures.registry import ModelContext
from vae_models import ModelConfig

pytestmark = pytest.mark.usefixtures("one_thread")


def test_neighbours_are_those_of_a_brute_force_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 3, 8, 8), dtype=np.uint8)
    queries = np.concatenate([rng.random((6, 3, 8, 8), dtype=np.float32), images[[17, 40]] / np.float32(255)])
    rows = np.arange(0, 300, 3)  # neither 17 nor 40 is searched
    far = cdist(queries.reshape(8, -1), images[rows].reshape(100, -1) / 255.0) / math.sqrt(192)
    monkeypatch.setattr("analysis.figures.model.neighbours.NUMBERS", 7 * 192)
    found, distances = nearest(queries, images, rows, 3)
    np.testing.assert_array_equal(found, rows[far.argsort(1)[:, :3]])
    np.testing.assert_allclose(distances, np.sort(far, 1)[:, :3], rtol=1e-5)
    found, distances = nearest(queries, images, np.arange(300), 1)
    assert found[6:, 0].tolist() == [17, 40]
    np.testing.assert_allclose(distances[6:], 0, atol=1e-7)


def test_a_memorised_image_is_found() -> None:
    """A decoder that repeats one training image is at distance 0 from it; test images are not."""
    data = dataset(40)

    class Parrot(Echo):
        def decode(self, z: Tensor) -> Tensor:
            return torch.from_numpy(data.train.images[[5] * len(z)]) / 255

    model = Parrot(2)
    model.config = ModelConfig(image_shape=(1, 16, 16), latent_dim=2)
    found = compute_neighbours(ModelContext(model, data))  # type: ignore[arg-type]
    np.testing.assert_allclose(found.distances[0], 0, atol=1e-7)
    assert found.distances[1].min() > 0.2
    np.testing.assert_array_equal(found.nearest[0, 3], data.train.images[5] / np.float32(255))
    far = cdist(data.test.images.reshape(40, -1) / 255.0, data.train.images.reshape(80, -1) / 255.0)
    assert found.held_out == pytest.approx(np.median(far.min(1)) / 16, rel=1e-5)
    assert found.held_out_decoded == pytest.approx(0, abs=1e-7)
    assert (found.searched, found.of) == (80, 80)


def test_what_was_held_out_is_no_training_image() -> None:
    data = replace(dataset(40), validation_rows=np.arange(70))
    found = compute_neighbours(ModelContext(vae(2), data))
    assert (found.searched, found.of) == (10, 10)
    trained = data.train.images[70:] / np.float32(255)
    for image in found.nearest.reshape(-1, *trained.shape[1:]):
        assert (image == trained).all((1, 2, 3)).any()


def test_the_search_is_of_a_part_of_a_large_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.figures.model.neighbours.SEARCHED", 30)
    data = dataset(40)
    found = compute_neighbours(ModelContext(vae(2), data))
    assert (found.searched, found.of) == (30, 80)
    np.testing.assert_array_equal(compute_neighbours(ModelContext(vae(2), data)).nearest, found.nearest)
