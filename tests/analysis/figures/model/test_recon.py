"""Reconstructions."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.figures.model.recon import Reconstructions, compute_recon, draw_recon
from analysis.figures.registry import ModelContext
from trainables.data.datasets import Dataset
from vae_models import VAE

pytestmark = pytest.mark.usefixtures("one_thread")


def test_reconstruction_error_is_that_of_the_images(model: VAE, digits: Dataset) -> None:
    recon = compute_recon(ModelContext(model, digits))
    assert recon.mse[3] == pytest.approx(np.mean((recon.originals[3] - recon.decoded[3]) ** 2))
    np.testing.assert_allclose(10 ** (-recon.psnr_db / 10), recon.mse, rtol=1e-5)
    assert "dB" in draw_recon(recon).axes[0].get_xticklabels()[0].get_text()


def test_of_binary_images_it_says_how_many_pixels_are_wrong() -> None:
    originals, decoded = np.zeros((2, 1, 2, 2)), np.full((2, 1, 2, 2), 0.2)
    decoded[0, 0, 0] = 0.9  # 2 of 4
    recon = Reconstructions(originals, decoded, is_binary=True)
    assert recon.wrong.tolist() == [0.5, 0.0]
    figure = draw_recon(recon)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()[:2]] == ["50.0% wrong", "0.0% wrong"]
    assert "25.0% of pixels wrong" in figure.get_suptitle()
