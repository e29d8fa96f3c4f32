"""Intervals against how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.resampling import bootstrap


def test_bootstrap_intervals_of_a_mean_hold_it_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    samples = rng.exponential(size=(400, 60))
    intervals = [bootstrap(np.mean, sample, resamples=400, seed=k) for k, sample in enumerate(samples)]
    held = np.mean([found is not None and found.low <= 1 <= found.high for found in intervals])
    assert 0.90 <= held <= 0.97  # an exponential's skew costs the percentile method one or two points
    assert bootstrap(np.mean, samples[0], seed=1) == bootstrap(np.mean, samples[0], seed=1)


def test_rows_of_samples_that_are_not_paired_are_drawn_on_their_own() -> None:
    """The difference of two samples' means: paired, what both share cancels; on its own, each adds its variance."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=200)
    other = shared + rng.normal(scale=0.01, size=200)

    def difference(one: np.ndarray, two: np.ndarray) -> float:
        return float(one.mean() - two.mean())

    together, apart = bootstrap(difference, shared, other), bootstrap(difference, shared, other, paired=False)
    assert together is not None
    assert apart is not None
    assert apart.estimate == together.estimate
    assert together.high - together.low < 0.01
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * np.sqrt(2 / 200), rel=0.15)
    assert bootstrap(difference, shared, other[:1], paired=False) is None
