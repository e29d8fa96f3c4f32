"""The calibrated likelihood's sigma, against the likelihood itself and against data made at a known one."""

import numpy as np
import pytest
import torch

from trainables.training.yardstick import MAX_SIGMA, best_sigma, residual_counts
from vae_models.elbo import discrete_gaussian_nll
from vae_models.likelihoods.levels import MIN_SIGMA


def _made(sigma: float, pixels: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """(means, levels) of pixels that the discrete Gaussian of this width drew; a seventh of the means at each edge."""
    generator = torch.Generator().manual_seed(1)
    mean = (1.4 * torch.rand(pixels, 1, generator=generator) - 0.2).clamp(0, 1)
    noise = sigma * torch.randn(pixels, 1, generator=generator)
    return mean, ((mean + noise).clamp(0, 1) * 255).round() / 255


def _nats(mean: torch.Tensor, x: torch.Tensor, sigma: float) -> float:
    return discrete_gaussian_nll(mean.double(), x.double(), sigma).mean().item()


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.05, 0.28, 0.8])
def test_no_sigma_of_a_fine_grid_gives_the_pixels_more_probability(sigma: float) -> None:
    mean, x = _made(sigma)
    found = best_sigma(residual_counts(mean, x).numpy())
    grid = np.geomspace(max(MIN_SIGMA, found / 3), found * 3, 101)
    assert _nats(mean, x, found) <= min(_nats(mean, x, value) for value in grid) + 1e-6


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.05, 0.28, 0.8])
def test_the_sigma_that_data_were_made_at_is_found(sigma: float) -> None:
    assert best_sigma(residual_counts(*_made(sigma)).numpy()) == pytest.approx(sigma, rel=0.02)


def test_it_is_not_the_root_mean_square_where_pixels_lie_at_the_edges() -> None:
    mean, x = _made(0.28)
    found = best_sigma(residual_counts(mean, x).numpy())
    rms = (mean - x).square().mean().sqrt().item()
    assert rms < 0.85 * found
    assert _nats(mean, x, found) < _nats(mean, x, rms) - 0.01


def test_both_edges_are_alike_and_batches_add_up() -> None:
    mean, x = _made(0.1, pixels=1000)
    assert torch.equal(
        residual_counts(mean, x), residual_counts(mean[:300], x[:300]) + residual_counts(mean[300:], x[300:])
    )
    mirrored = best_sigma(residual_counts(1 - mean, 1 - x).numpy())
    assert mirrored == pytest.approx(best_sigma(residual_counts(mean, x).numpy()), rel=1e-4)


@pytest.mark.parametrize("level", [0.0, 100 / 255, 1.0])
def test_constant_images_that_are_met_end_at_the_smallest(level: float) -> None:
    x = torch.full((10, 64), level)
    assert best_sigma(residual_counts(x.clone(), x).numpy()) == pytest.approx(MIN_SIGMA, rel=1e-3)


def test_black_and_white_noise_around_grey_ends_at_the_largest() -> None:
    x = (torch.rand(10, 64, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    assert best_sigma(residual_counts(torch.full_like(x, 0.5), x).numpy()) == pytest.approx(MAX_SIGMA, rel=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_mean_that_is_not_finite_makes_it_nan(value: float) -> None:
    mean, x = _made(0.1, pixels=100)
    mean[3] = value
    assert np.isnan(best_sigma(residual_counts(mean, x).numpy()))


def test_means_far_outside_the_image_end_too() -> None:
    x = torch.zeros(4, 8)
    assert best_sigma(residual_counts(torch.full_like(x, 1e30), x).numpy()) == pytest.approx(MAX_SIGMA, rel=1e-3)
