"""Areas against brute force and Optuna's own, intervals against how often they hold the truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.resampling import (
    bootstrap,
    hypervolume,
    hypervolume_interval,
    importance_intervals,
    knee,
    knee_share,
    pareto_front,
    ranks,
    reference_point,
    separable,
)


def test_hypervolume_counts_the_dominated_cells_of_a_grid() -> None:
    rng = np.random.default_rng(0)
    cells = np.arange(12) + 0.5
    for _ in range(50):
        rate, distortion = rng.integers(0, 14, (2, rng.integers(1, 9))).astype(float)
        dominated = (rate[:, None, None] < cells[:, None]) & (distortion[:, None, None] < cells)
        assert hypervolume(rate, distortion, (12.0, 12.0)) == dominated.any(0).sum()


def test_hypervolume_is_optuna_s() -> None:
    oracle = pytest.importorskip("optuna._hypervolume").compute_hypervolume
    rng = np.random.default_rng(1)
    for count in (1, 2, 30, 200):
        points = rng.lognormal(size=(count, 2))
        reference = reference_point((points[:, 0], points[:, 1]))
        within = points[(points < reference).all(1)]  # it refuses others
        assert hypervolume(*points.T, reference) == pytest.approx(oracle(within, np.array(reference)))


def test_points_beyond_the_reference_and_unknown_ones_add_nothing() -> None:
    rate, distortion = np.array([1.0, 3.0, np.nan, 0.0, -np.inf]), np.array([1.0, 0.0, 0.0, 2.0, 1.0])
    assert hypervolume(rate, distortion, (2.0, 2.0)) == 1
    assert hypervolume(np.zeros(0), np.zeros(0), (2.0, 2.0)) == 0


def test_the_reference_is_beyond_every_front_and_no_dominated_trial_moves_it() -> None:
    for values in (np.array([3.0]), np.array([0.0]), np.array([-2.0, -1.0]), np.arange(5.0)):
        front = values, -values
        assert reference_point(front)[0] > values.max()
        far = np.append(values, values.max()), np.append(-values, 1e5)
        assert reference_point(far) == reference_point(front)
        assert hypervolume(*far, reference_point(far)) == hypervolume(*front, reference_point(front))
    none, better, worse = np.zeros(0), np.array([0.0, 1.0]), np.array([10.0, 20.0])
    assert reference_point((worse, worse[::-1]), (better, better[::-1]), (none, none)) == (22, 22)


def test_the_hypervolume_s_interval_ends_at_the_estimate_and_hangs_on_few_trials() -> None:
    rng = np.random.default_rng(2)
    rate = rng.uniform(1, 50, 40)
    distortion = 100 / rate
    many = hypervolume_interval(rate, distortion, (60.0, 120.0))
    assert many is not None
    assert many.estimate == hypervolume(rate, distortion, (60.0, 120.0))
    assert many.low < many.high == many.estimate
    # one trial dominates: a resample has it with probability 1 - (1 - 1/40)^40 = 0.64
    alone = hypervolume_interval(np.append(rate[1:], 0.1), np.append(distortion[1:], 0.1), (60.0, 120.0))
    assert alone is not None
    assert (alone.estimate - alone.low) / alone.estimate > (many.estimate - many.low) / many.estimate
    assert hypervolume_interval(rate[:1], distortion[:1], (60.0, 120.0)) is None
    assert hypervolume_interval(rate, distortion, (60.0, 120.0)) == many


def test_the_knee_of_a_known_curve() -> None:
    """Of y = 1/x on [1, 9], scaled, the chord has slope -1: the curve is farthest where y' = -1/9, at 3."""
    x = np.linspace(1, 9, 81)
    order = np.random.default_rng(3).permutation(81)
    found = knee(x[order], 1000 / x[order])
    assert found is not None
    assert x[order][found] == pytest.approx(3)
    # a dominated point is no knee, wherever it lies
    assert knee(np.append(x, 1.5), np.append(1 / x, 5.0)) == 20


def test_the_knee_s_share_is_that_of_all_resamples_that_hold_it() -> None:
    rate, distortion = np.array([0.0, 1.0, 2.0, 4.0]), np.array([9.0, 4.0, 3.0, 0.0])
    at = knee(rate, distortion)
    drawn = [np.array(rows) for rows in itertools.product(range(4), repeat=4) if at in rows]
    found = [(rows, knee(rate[rows], distortion[rows])) for rows in drawn]
    same = np.mean([k is not None and rows[k] == at for rows, k in found])
    assert knee_share(rate, distortion, resamples=5000) == pytest.approx(same, abs=0.03)
    assert knee_share(rate[:2], distortion[:2]) is None


@pytest.mark.parametrize(
    ("rate", "distortion"),
    [
        ([], []),
        ([1], [1]),
        ([1, 2], [2, 1]),
        ([1, 1, 2, 2], [2, 2, 1, 1]),
        ([1, 2, 3], [3, 2, 1]),
        ([0.1, 0.2, 0.3, 0.7], [0.9, 0.8, 0.7, 0.3]),
        ([0, 1, 3], [3, 2.9, 0]),
        ([1, 2, np.nan], [2, 1, 0]),
    ],
    ids=["none", "one", "two", "repeated", "straight", "rounded", "outwards", "unknown"],
)
def test_what_does_not_bend_has_no_knee(rate: list[float], distortion: list[float]) -> None:
    assert knee(np.array(rate, dtype=float), np.array(distortion, dtype=float)) is None


def test_the_front_is_what_it_is_defined_as() -> None:
    x, y = np.random.default_rng(0).integers(0, 6, (2, 40)).astype(float)
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    front = [not any(p[0] <= a and p[1] <= b and p != (a, b) for p in points) for a, b in points]
    assert pareto_front(x, y).tolist() == front


def test_bootstrap_intervals_of_a_mean_hold_it_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    samples = rng.exponential(size=(400, 60))
    intervals = [bootstrap(np.mean, sample, resamples=400, seed=k) for k, sample in enumerate(samples)]
    held = np.mean([found is not None and found.low <= 1 <= found.high for found in intervals])
    assert 0.90 <= held <= 0.97  # an exponential's skew costs the percentile method one or two points
    assert bootstrap(np.mean, samples[0], seed=1) == bootstrap(np.mean, samples[0], seed=1)


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


def test_importance_intervals_are_the_quantiles_of_resamples() -> None:
    values = np.arange(30) / 29

    def shares(drawn: np.ndarray, left: np.ndarray, seed: int) -> np.ndarray:
        assert sorted({*drawn, *left}) == list(range(30))
        assert not {*drawn} & {*left}
        mean = values[drawn].mean()
        return np.array([mean, 1 - mean])

    found = importance_intervals(30, np.array([0.5, 0.5]), shares, resamples=400)
    assert found is not None
    half = 1.96 * values.std() / np.sqrt(30)
    assert found[0].low == pytest.approx(0.5 - half, abs=0.03)
    assert found[0].high == pytest.approx(0.5 + half, abs=0.03)
    assert found[1].low == pytest.approx(1 - found[0].high)
    assert importance_intervals(30, np.array([1.0]), lambda *_: None) is None
    outside = importance_intervals(30, np.array([0.9, 0.1]), shares, resamples=9)
    assert outside is not None
    assert outside[0].high == 0.9


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
