"""Reconstructions."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.figures.model.recon import compute_recon
from analysis.figures.registry import ModelContext
from trainables.data.datasets import Dataset
from vae_models import VAE

pytestmark = pytest.mark.usefixtures("one_thread")


def test_reconstruction_error_is_that_of_the_images(model: VAE, digits: Dataset) -> None:
    recon = compute_recon(ModelContext(model, digits))
    assert recon.mse[3] == pytest.approx(np.mean((recon.originals[3] - recon.decoded[3]) ** 2))
    np.testing.assert_allclose(10 ** (-recon.psnr_db / 10), recon.mse, rtol=1e-5)
