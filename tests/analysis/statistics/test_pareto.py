"""Areas against brute force and Optuna's own, and knees against closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.statistics.pareto import (
    hypervolume,
    hypervolume_interval,
    knee,
    knee_share,
    pareto_front,
    reference_point,
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
