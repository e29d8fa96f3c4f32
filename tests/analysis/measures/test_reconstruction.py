"""PSNR and SSIM against their definitions written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from support.model_cases import subject
from torch import Tensor, nn

from analysis.measures.codes import Codes
from analysis.measures.reconstruction import reconstruction_quality
from vae_models import ModelConfig


class Mirror(nn.Module):
    """Decodes a latent a pixel into that pixel."""

    def __init__(self, shape: tuple[int, int, int], **fields: Any) -> None:
        super().__init__()
        self.config = ModelConfig(image_shape=shape, architecture="linear", **fields)
        self.anchor = nn.Parameter(torch.zeros(1))
        self._shape = shape

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, *self._shape)


def mirrored(images: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
    codes = Codes(decoded.reshape(len(images), -1).astype(np.float32), np.zeros((len(images), 1)))
    return reconstruction_quality(subject(Mirror(images.shape[1:]), images, codes))


def written_out_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, of one channel, its windows' means by scipy's Gaussian filter."""

    def smooth(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=3.5, mode="mirror")

    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    return float((top / ((mean_x**2 + mean_y**2 + 0.01**2) * (variance_x + variance_y + 0.03**2))).mean())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 24), (1, 8, 8)])
def test_psnr_and_ssim_are_their_definitions(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (130, *shape), dtype=np.uint8)
    x = images / 255
    decoded = (x + rng.uniform(0.05, 0.3, (130, 1, 1, 1)) * rng.standard_normal(x.shape)).clip(0, 1)
    found = mirrored(images, decoded)
    psnr = -10 * np.log10(((x - decoded) ** 2).mean((1, 2, 3)))
    assert found["psnr_db"] == pytest.approx(psnr.mean(), rel=1e-5)
    ssim = [
        written_out_ssim(a, b) for one, other in zip(x, decoded, strict=True) for a, b in zip(one, other, strict=True)
    ]
    assert found["ssim"] == pytest.approx(np.mean(ssim), abs=2e-5)


def test_a_perfect_reconstruction_and_one_too_small_for_a_window() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 1, 6, 6), dtype=np.uint8)
    perfect = mirrored(images, images / np.float32(255))
    assert perfect["psnr_db"] == 100
    assert perfect["ssim"] == pytest.approx(1)
    small = mirrored(images[..., :5], images[..., :5] / 255 * 0.9)
    assert math.isnan(small["ssim"])
    assert 0 < small["psnr_db"] < 100


def test_of_binary_images_neither_is_known() -> None:
    images = np.random.default_rng(0).integers(0, 2, (4, 1, 8, 8), dtype=np.uint8) * np.uint8(255)
    model = Mirror((1, 8, 8), likelihood="bernoulli", binarise="threshold")
    codes = Codes(np.full((4, 64), 0.3, np.float32), np.zeros((4, 1), np.float32))
    found = reconstruction_quality(subject(model, images, codes))
    assert math.isnan(found["psnr_db"])
    assert math.isnan(found["ssim"])
