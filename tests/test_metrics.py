"""Bounds and information against closed forms: a linear VAE, Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr
from torch import Tensor, nn

from analysis.bounds import iwae
from analysis.information import information
from trainables.batches import Pixels
from trainables.config import TrialConfig
from trainables.evaluate import evaluate
from trainables.loop import seeded_vae
from trainables.world import World
from vae_models import ModelConfig
from vae_models.vae import Posterior

SIGMA = 0.2


class LinearVAE(nn.Module):
    """x = W z + 1/2 + noise of SIGMA: 2 x 2 pixels, 2 latents; ``spread`` widens its posteriors' variance."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.1, 0.0], [0.05, 0.1], [0.0, -0.1], [0.1, 0.1]]))
        self._spread = spread

    def encode(self, x: Tensor) -> Posterior:
        weight = self.weight.double()
        precision = torch.eye(2, dtype=torch.float64) + weight.T @ weight / SIGMA**2
        mean = (x.flatten(1).double() - 0.5) @ weight @ torch.linalg.inv(precision) / SIGMA**2
        # the posterior's covariance is not diagonal: its diagonal part is a near miss, as a VAE's is
        variance = self._spread / torch.diagonal(precision)
        return Posterior(mean.float(), variance.log().float().expand(len(x), 2))

    def decode(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T + 0.5).view(-1, 1, 2, 2)


def true_log_likelihood(images: np.ndarray, weight: np.ndarray, draws: int = 400_000) -> np.ndarray:
    """log P(x) of the linear model with discretised pixels, by plain Monte Carlo over the prior."""
    z = np.random.default_rng(9).standard_normal((draws, 2))
    mean = z @ weight.T + 0.5
    found = []
    for image in images.reshape(len(images), 4):
        upper = np.where(image == 255, np.inf, ((image + 0.5) / 255 - mean) / SIGMA)
        lower = np.where(image == 0, -np.inf, ((image - 0.5) / 255 - mean) / SIGMA)
        log_p = log_ndtr(upper) + np.log1p(-np.exp(log_ndtr(lower) - log_ndtr(upper)))
        found.append(np.logaddexp.reduce(log_p.sum(1)) - math.log(draws))
    return np.array(found)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((12, 2))
    weight = LinearVAE().weight.detach().numpy()
    x = z @ weight.T + 0.5 + SIGMA * rng.standard_normal((12, 4))
    return (x.clip(0, 1) * 255).round().astype(np.uint8).reshape(12, 1, 2, 2)


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_the_bound_reaches_the_likelihood_of_a_linear_vae(pixels: np.ndarray, spread: float) -> None:
    model = LinearVAE(spread)
    expected = true_log_likelihood(pixels, model.weight.detach().numpy())
    many = iwae(model, pixels, SIGMA, 20_000)  # type: ignore[arg-type]
    np.testing.assert_allclose(many.log_likelihood, expected, atol=0.03)
    assert many.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(12), rel=0.05)
    assert (many.effective_samples > 1000).all()
    assert (many.effective_samples <= 20_000).all()
    # on average a bound, and a tighter one with more samples
    few = [
        np.mean([iwae(model, pixels, SIGMA, samples, seed).mean for seed in range(100)])  # type: ignore[arg-type]
        for samples in (1, 10)
    ]
    assert few[0] < few[1] < many.mean


def test_the_bound_of_one_sample_is_the_elbo_and_chunks_do_not_change_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 28, 28), dtype=np.uint8)
    model = seeded_vae(TrialConfig(model=ModelConfig(width=4, latent_dim=3))).eval()
    elbo = -evaluate(model, Pixels(images), 0.3, World())["nelbo"]
    one = iwae(model, images, 0.3, 1)
    assert one.mean == pytest.approx(elbo, abs=4 * one.standard_error)
    monkeypatch.setattr("analysis.bounds.IMAGES", 7)
    few = iwae(model, images[:20], 0.3, 50)
    monkeypatch.setattr("analysis.bounds.PIXELS", 7 * 784)  # one sample at a time
    assert iwae(model, images[:20], 0.3, 50).log_likelihood == pytest.approx(few.log_likelihood, rel=1e-6)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        iwae(model, images, 0.3, 0)


def test_the_two_parts_of_the_rate_are_those_of_gaussians() -> None:
    """With q(z | x) = N(m, s^2) and m ~ N(0, t^2), q(z) is N(0, t^2 + s^2): both parts are known."""
    count, spread, width = 4000, np.array([1.5, 0.5]), np.array([0.5, 0.9])
    mean = spread * np.random.default_rng(1).standard_normal((count, 2))
    logvar = np.broadcast_to(2 * np.log(width), mean.shape)
    found = information(mean, logvar)
    total = spread**2 + width**2
    assert found.mutual_information == pytest.approx(0.5 * np.log(total / width**2).sum(), abs=0.06)
    assert found.marginal_kl == pytest.approx(0.5 * (total - 1 - np.log(total)).sum(), abs=0.08)
    rate = 0.5 * (mean**2 + width**2 - 1 - np.log(width**2)).sum(1).mean()
    error = 4 * math.hypot(found.mutual_information_error, found.marginal_kl_error)
    assert found.mutual_information + found.marginal_kl == pytest.approx(rate, abs=error)


def test_the_information_of_images_told_apart_is_the_log_of_their_number() -> None:
    mean = 1000 * np.arange(500.0)[:, None]
    found = information(mean, np.zeros((500, 1)))
    assert found.mutual_information == pytest.approx(found.cap)
    assert found.cap == pytest.approx(math.log(500))
    collapsed = information(np.zeros((500, 3)), np.zeros((500, 3)))
    assert collapsed.mutual_information == pytest.approx(0, abs=1e-9)
    assert collapsed.marginal_kl == pytest.approx(0, abs=1e-9)
