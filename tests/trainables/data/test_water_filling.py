"""The linear VAE's closed form, against published numbers of it and against minimisations that know nothing of it."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize
from torch import Tensor

from trainables.data.datasets import load_dataset
from trainables.data.water_filling import water_filling
from trainables.errors import UserError

REAL_DATA = os.environ.get("VAE_DATA_DIR")  # read before any test changes it


def test_one_component_by_hand() -> None:
    """Variance 4, water 1: the rate is log 2, what is left is the water; the other component is left as it is."""
    rate, distortion, active_units = water_filling(np.array([0.5, 4.0]), 2, np.array([1.0, 4.0, 9.0]))
    np.testing.assert_allclose(rate, [math.log(2), 0, 0])
    np.testing.assert_allclose(distortion, [(1 + 0.5) / 2, (4 + 0.5) / 2, (4 + 0.5) / 2])
    assert active_units.tolist() == [1, 0, 0]


def test_what_has_no_latent_is_lost() -> None:
    eigenvalues = np.array([9.0, 1.0, 4.0])  # in any order
    assert water_filling(eigenvalues, 1, np.array([0.1])).distortion[0] == pytest.approx((0.1 + 4 + 1) / 2)
    assert water_filling(eigenvalues, 3, np.array([0.1])).distortion[0] == pytest.approx(3 * 0.1 / 2)
    # latents without a component are not used
    assert water_filling(eigenvalues, 5, np.array([0.1])).active_units[0] == 3
    # a solver's zeros may be below 0
    assert np.isfinite(water_filling(np.array([1.0, -1e-17]), 2, np.array([0.1])).rate).all()


def test_a_unit_is_active_where_its_mean_varies_by_more_than_a_hundredth() -> None:
    """The mean's variance is 1 - beta variance / l: above 0.01 where l is above beta variance / 0.99."""
    threshold = 3 * 0.5 / 0.99
    eigenvalues = threshold * np.array([1.001, 0.999])
    assert water_filling(eigenvalues, 2, np.array([3.0]), 0.5).active_units.tolist() == [1]


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_a_weight_without_a_finite_rate_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be above 0"):
        water_filling(np.ones(2), 1, np.array([1.0, beta]))


@pytest.mark.parametrize("beta", [0.05, 0.4, 1.0, 3.0])
def test_it_is_the_lowest_loss_that_a_search_over_all_linear_vaes_finds(beta: float) -> None:
    """Six dimensions, three latents, any encoder and decoder: the expected loss of Gaussian data, minimised."""
    torch.manual_seed(0)
    variance = 0.7
    mixing = torch.randn(6, 6, dtype=torch.float64)
    covariance = mixing @ mixing.T / 6
    latents = 3

    def parts(flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """D without the constant, R, and the variances of the posterior's means."""
        encoder, decoder, logvar = torch.split(flat, [18, 18, 3])
        encoder, decoder = encoder.view(latents, 6), decoder.view(6, latents)
        left = torch.eye(6, dtype=torch.float64) - decoder @ encoder
        squares = torch.trace(left @ covariance @ left.T) + (decoder.square() * logvar.exp()).sum()
        means = torch.diagonal(encoder @ covariance @ encoder.T)
        rate = 0.5 * (means + logvar.exp() - 1 - logvar).sum()
        return squares / (2 * variance), rate, means

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        flat = torch.from_numpy(values).requires_grad_()
        distortion, rate, _ = parts(flat)
        total = distortion + beta * rate
        (slope,) = torch.autograd.grad(total, flat)
        return total.item(), slope.numpy()

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-9}
    starts = [0.5 * np.random.default_rng(seed).standard_normal(39) for seed in range(4)]
    found = [minimize(loss, start, jac=True, method="L-BFGS-B", options=options) for start in starts]
    best = min(found, key=lambda each: each.fun)
    distortion, rate, means = parts(torch.from_numpy(best.x))
    expected = water_filling(torch.linalg.eigvalsh(covariance).numpy(), latents, np.array([beta]), variance)
    assert best.fun == pytest.approx((expected.distortion + beta * expected.rate)[0], rel=1e-6)
    assert distortion.item() == pytest.approx(expected.distortion[0], rel=1e-3)
    assert rate.item() == pytest.approx(expected.rate[0], rel=1e-3, abs=1e-4)
    assert (means > 0.01).sum() == expected.active_units[0]


def test_with_a_latent_each_it_is_the_rate_distortion_function_of_a_gaussian() -> None:
    """R(D) of the source by its own definition: the least rate at a mean squared error, one constraint on all."""
    eigenvalues = np.array([5.0, 2.0, 0.9, 0.3])
    for beta in (0.2, 1.0, 2.5):
        optimum = water_filling(eigenvalues, 4, np.array([beta]))
        squares = 2 * optimum.distortion[0]

        def surplus(level: float, squares: float = squares) -> float:
            return float(np.minimum(eigenvalues, level).sum() - squares)

        kept = np.minimum(eigenvalues, brentq(surplus, 1e-9, 5.0))
        constraint = {"type": "eq", "fun": lambda d, squares=squares: d.sum() - squares}
        least = minimize(
            lambda d: 0.5 * np.log(eigenvalues / d).sum(),
            0.9 * kept,
            bounds=[(1e-6, each) for each in eigenvalues],
            constraints=[constraint],
            tol=1e-12,
        )
        assert optimum.rate[0] == pytest.approx(least.fun, rel=1e-5)


@pytest.mark.real_data
def test_it_has_the_known_numbers_of_mnist() -> None:
    """Pixels in [0, 1] of the first 20,000 training images, 32 latents."""
    try:
        images = load_dataset("mnist", REAL_DATA, may_download=False).train.images[:20_000]
    except UserError as error:
        pytest.skip(str(error))
    eigenvalues = np.linalg.eigvalsh(np.cov(images.reshape(len(images), -1).T / 255, bias=True))
    found = water_filling(eigenvalues, 32, np.array([0.1, 1.0, 3.0]))
    np.testing.assert_allclose(found.distortion, [8.3030, 18.3516, 24.8165], atol=6e-5)
    np.testing.assert_allclose(found.rate, [35.0531, 4.4011, 0.4452], atol=6e-5)
    assert found.active_units.tolist() == [32, 12, 3]
