"""Losses of single images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.measures.held_out import image_losses
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.process_group import World
from vae_models import build_vae

pytestmark = pytest.mark.usefixtures("one_thread")


def test_their_mean_is_what_an_evaluation_measures() -> None:
    torch.manual_seed(0)
    model = build_vae(width=4, latent_dim=3).eval()
    images = np.random.default_rng(0).integers(0, 256, (700, 1, 28, 28), np.uint8)
    found = image_losses(model, images, np.arange(700))
    expected = evaluate(model, Pixels(images), 0.2, World())
    assert found.rate.shape == found.distortion.shape == (700,)
    assert found.rate.mean() == pytest.approx(expected["rate"], rel=1e-6)
    assert found.distortion.mean() == pytest.approx(expected["distortion"], rel=1e-6)
    np.testing.assert_array_equal(found.at(2.0), found.distortion + 2.0 * found.rate)
    some = np.array([3, 5, 698])
    np.testing.assert_allclose(image_losses(model, images, some).distortion, found.distortion[some], rtol=1e-5)
    assert len(image_losses(model, images, some[:0]).rate) == 0
