"""The best linear model of images, against float64 and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from analysis.measures.linear import linear_model
from trainables.data import spectrum
from trainables.data.datasets import Dataset, load_dataset
from trainables.data.spectrum import covariance_eigenvalues
from trainables.data.water_filling import water_filling
from trainables.errors import UserError
from vae_models import ModelConfig


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def test_the_eigenvalues_are_those_of_the_training_rows_alone(digits: Dataset) -> None:
    limited = digits.limited(600)
    rows = limited.training_rows()
    assert len(rows) == 600
    images = limited.train.images[rows].reshape(600, -1) / 127.5 - 1
    exact = np.linalg.eigvalsh(np.cov(images.T, bias=True))[::-1]
    found = linear_model(limited, ModelConfig(), 16)
    np.testing.assert_allclose(found.eigenvalues, exact, atol=2e-5)
    pca = PCA(16).fit(images)
    np.testing.assert_allclose(found.eigenvalues[:16], pca.explained_variance_ * 599 / 600, rtol=1e-4)
    beta, constant = np.array([0.05, 1.0, 9.0]), ModelConfig().distortion_constant
    expected, optimum = water_filling(exact, 16, beta), found.optimum(beta)
    np.testing.assert_allclose(optimum.rate, expected.rate, rtol=1e-4)
    np.testing.assert_allclose(optimum.distortion, expected.distortion + constant, atol=1e-3)
    assert optimum.active_units.tolist() == expected.active_units.tolist()
    np.testing.assert_allclose(found.loss(beta), expected.distortion + constant + beta * expected.rate, atol=1e-3)


def test_at_a_weight_of_0_all_but_the_latents_components_is_lost(digits: Dataset) -> None:
    found = linear_model(digits, ModelConfig(), 8)
    rest = found.eigenvalues[8:].sum() / 2 + found.constant
    assert found.loss(np.array([0.0]))[0] == pytest.approx(rest)
    assert found.loss(np.array([1e-9]))[0] == pytest.approx(rest, abs=1e-5)


def test_images_in_parts_are_the_images_together(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = digits.training_rows()
    together = covariance_eigenvalues(digits.train.images, rows, 8)
    monkeypatch.setattr(spectrum, "_CHUNK", 784 * 100)
    np.testing.assert_allclose(covariance_eigenvalues(digits.train.images, rows, 8), together, atol=0.5)


def test_larger_images_keep_their_variance_and_their_largest_components(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits in place of larger images: the randomised decomposition against the exact one."""
    images, rows = digits.train.images, digits.training_rows()
    exact = covariance_eigenvalues(images, rows, 20)
    monkeypatch.setattr(spectrum, "EXACT", 100)
    found = covariance_eigenvalues(images, rows, 20)
    assert len(found) == 784
    np.testing.assert_allclose(found[:20], exact[:20], rtol=5e-3)
    assert found.sum() == pytest.approx(exact.sum(), rel=1e-4)
    np.testing.assert_array_equal(found[20:], found[-1])
    monkeypatch.setattr(spectrum, "SAMPLE", 784 * 400)
    np.testing.assert_allclose(covariance_eigenvalues(images, rows, 20)[:5], exact[:5], rtol=0.2)
    monkeypatch.setattr(spectrum, "SAMPLE", 784 * 199)
    with pytest.raises(UserError, match="20 latents need 200 images of 784 numbers, and memory for them, got 199"):
        covariance_eigenvalues(images, rows, 20)


def test_odd_images() -> None:
    images = np.full((5, 1, 4, 4), 7, np.uint8)
    assert covariance_eigenvalues(images, np.arange(5), 3).tolist() == [0] * 16
    assert covariance_eigenvalues(images, np.array([2]), 99).tolist() == [0] * 16
    images[::2] = 9
    assert covariance_eigenvalues(images, np.arange(5), 99).max() == pytest.approx(16 * 4 * 0.24)


def test_another_likelihood_is_refused(digits: Dataset) -> None:
    with pytest.raises(UserError, match="Gaussian likelihood, got bernoulli"):
        linear_model(digits, ModelConfig(likelihood="bernoulli"), 4)
