"""Excess against its definition."""

import numpy as np
import pytest

from analysis.statistics.excess import excess, excess_over, front_excess


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


@pytest.mark.parametrize("seed", range(3))
def test_over_others_it_is_what_the_definition_says_and_may_be_negative(seed: int) -> None:
    rng = np.random.default_rng(seed)
    own, others = rng.exponential(20, (2, 15)), 15 + rng.exponential(20, (2, 30))
    beta = 10 ** rng.uniform(-1, 1, 15)
    own[0, 3], others[1, 4] = np.nan, np.inf
    expected = [
        np.nan if i == 3 else own[1, i] + b * own[0, i] - min(d + b * r for r, d in others.T if np.isfinite(d))
        for i, b in enumerate(beta)
    ]
    found = excess_over((own[0], own[1]), beta, (others[0], others[1]))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found < 0).any()
    none = np.array([])
    assert np.isnan(excess_over((own[0], own[1]), beta, (none, none))).all()


def test_a_front_s_excess_is_how_far_it_lies_above_another() -> None:
    """Of a convex front of densely spaced trials, each at its own price, and of the same 3 nats lower."""
    rate = np.geomspace(1, 50, 60)
    distortion, beta = 100 / rate, 100 / rate**2  # its slope is the price
    worse = np.append(distortion, 400.0)  # dominated: not on the front, which alone is compared
    above = front_excess((np.append(rate, 60.0), worse), np.append(beta, 1.0), (rate, distortion - 3))
    below = front_excess((rate, distortion - 3), beta, (rate, distortion))
    assert above is not None
    assert below is not None
    assert above.estimate == pytest.approx(3)
    assert below.estimate == pytest.approx(-3)
    for found in (above, below):
        assert found.low <= found.estimate <= found.high
        assert abs(found.high - found.low) < 2  # nothing hangs on a few of so many
    assert front_excess((rate[:1], distortion[:1]), beta[:1], (rate, distortion)) is None
    assert front_excess((rate, distortion), beta, (rate[:1], distortion[:1])) is None
    assert front_excess((rate, distortion), beta, (rate, distortion)) == front_excess(
        (rate, distortion), beta, (rate, distortion)
    )
