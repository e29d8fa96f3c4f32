"""Verdicts and intervals against SciPy's tests, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.separability import ranks, separable


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("sizes", "spreads", "expected"),
    [((3, 3), (1, 1), 0.96), ((3, 5), (1, 1), 0.95), ((20, 30), (3, 1), 0.95), ((8, 2), (1, 1), 0.91)],
)
def test_welch_intervals_hold_the_difference_as_often_as_they_say(
    sizes: tuple[int, int], spreads: tuple[float, float], expected: float
) -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        a, b = rng.normal(1.0, spreads[0], sizes[0]), rng.normal(1.5, spreads[1], sizes[1])
        found = separable(a, b)
        assert found is not None
        oracle = stats.ttest_ind(b, a, equal_var=False)
        assert found.separable == (oracle.pvalue < 0.05)
        held += found.interval.low <= 0.5 <= found.interval.high
    assert held / 1000 == pytest.approx(expected, abs=0.02)


def test_welch_s_interval_is_scipy_s() -> None:
    a, b = np.array([2.41, 2.43, 2.40]), np.array([2.50, 2.47, 2.52, np.nan, 2.49])
    found = separable(a, b)
    oracle = stats.ttest_ind(b[np.isfinite(b)], a, equal_var=False).confidence_interval(0.95)
    assert found is not None
    assert found.separable
    assert (found.interval.low, found.interval.high) == pytest.approx((oracle.low, oracle.high))


@pytest.mark.parametrize(("a", "b"), [([1], [2, 3]), ([], []), ([1, 1], [2, 2]), ([1, np.nan], [1, 2])])
def test_too_little_to_tell(a: list[float], b: list[float]) -> None:
    assert separable(np.array(a), np.array(b)) is None


def test_ranks_are_the_verdicts_of_welch_s_test_on_the_pairs() -> None:
    rng = np.random.default_rng(6)
    for count in (2, 3, 4):
        for _ in range(100):
            values = [rng.normal(rng.integers(4), 1, rng.integers(2, 6)) for _ in range(count)]
            found = ranks(values, draws=10)
            for k, of in enumerate(values):
                tests = [stats.ttest_ind(of, other, equal_var=False) for other in values if other is not of]
                worse = sum(test.pvalue < 0.05 and test.statistic > 0 for test in tests)
                better = sum(test.pvalue < 0.05 and test.statistic < 0 for test in tests)
                assert (found[k].interval.low, found[k].interval.high) == (1 + worse, count - better)
                assert found[k].interval.estimate == 1 + sum(of.mean() > other.mean() for other in values)


@pytest.mark.heavy
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("count", [2, 3])
def test_equal_configurations_have_disjoint_ranks_in_one_case_of_twenty_at_most(count: int, seeds: int) -> None:
    rng = np.random.default_rng(7)
    disjoint = 0
    for _ in range(600):
        ends = [rank.interval for rank in ranks(list(rng.normal(size=(count, seeds))), draws=1)]
        disjoint += max(end.low for end in ends) > min(end.high for end in ends)
    assert disjoint / 600 <= 0.06  # at 5 %, 600 cases scatter by 0.9 %


def test_how_often_one_is_first_is_an_integral_over_the_t_distributions() -> None:
    a, b = np.array([2.40, 2.44, 2.41]), np.array([2.43, 2.47, 2.42, 2.46])
    found = ranks([a, b], draws=100_000)
    means = [stats.t(len(of) - 1, of.mean(), of.std(ddof=1) / np.sqrt(len(of))) for of in (a, b)]
    at = np.linspace(0, 5, 100_001)
    wins = np.trapezoid(means[0].pdf(at) * means[1].sf(at), at)
    assert found[0].first == pytest.approx(wins, abs=0.005)
    assert found[1].first == pytest.approx(1 - wins, abs=0.005)


def test_ranks_of_configurations_far_apart_of_one_alone_and_of_what_cannot_be_told() -> None:
    near, far = np.array([1.0, 1.1, 0.9]), np.array([2.0, 2.1, 1.9])
    apart = ranks([far, near])
    assert [(r.interval.low, r.interval.high) for r in apart] == [(2, 2), (1, 1)]
    assert apart[1].first == pytest.approx(1, abs=0.01)
    (alone,) = ranks([near])
    assert (alone.interval.low, alone.interval.high, alone.first) == (1, 1, 1.0)
    for values in ([np.ones(2), np.full(2, 2.0)], [np.ones(3), np.ones(3)], [np.ones(1), near]):
        assert [(r.interval.low, r.interval.high, r.first) for r in ranks(values)] == [(1, 2, None)] * 2
