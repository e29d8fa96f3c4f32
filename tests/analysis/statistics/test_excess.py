"""Excess against its definition."""

import numpy as np
import pytest

from analysis.statistics.excess import excess


def _by_definition(rate: np.ndarray, distortion: np.ndarray, beta: np.ndarray) -> list[float]:
    known = [j for j in range(len(rate)) if np.isfinite(rate[j]) and np.isfinite(distortion[j])]
    return [
        distortion[i] + beta[i] * rate[i] - min(distortion[j] + beta[i] * rate[j] for j in known)
        if i in known
        else np.nan
        for i in range(len(rate))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate, distortion, beta = rng.exponential(20, 40), rng.exponential(30, 40), 10 ** rng.uniform(-1, 1, 40)
    rate[rng.integers(40, size=3)] = np.nan
    np.testing.assert_allclose(excess(rate, distortion, beta), _by_definition(rate, distortion, beta), atol=1e-12)


def test_it_is_zero_on_the_lower_envelope_and_a_constant_of_the_distortion_changes_nothing() -> None:
    rate, beta = np.array([1.0, 2.0, 4.0, 8.0]), np.array([8.0, 4.0, 2.0, 1.0])
    distortion = 8 / rate  # convex, its slope at rate R is -8 / R^2
    at_slope = 8 / rate**2
    np.testing.assert_allclose(excess(rate, distortion, at_slope), 0, atol=1e-12)
    np.testing.assert_allclose(excess(rate, distortion + 720, beta), excess(rate, distortion, beta), atol=1e-9)


def test_one_trial_none_and_a_trial_without_a_value() -> None:
    assert excess(np.array([3.0]), np.array([2.0]), np.array([1.0])).tolist() == [0.0]
    assert len(excess(np.array([]), np.array([]), np.array([]))) == 0
    assert np.isnan(excess(np.array([np.nan]), np.array([2.0]), np.array([1.0]))).all()
