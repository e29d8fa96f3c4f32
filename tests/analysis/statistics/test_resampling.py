"""Intervals against how often they hold the truth."""

from __future__ import annotations

import numpy as np

from analysis.statistics.resampling import bootstrap


def test_bootstrap_intervals_of_a_mean_hold_it_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    samples = rng.exponential(size=(400, 60))
    intervals = [bootstrap(np.mean, sample, resamples=400, seed=k) for k, sample in enumerate(samples)]
    held = np.mean([found is not None and found.low <= 1 <= found.high for found in intervals])
    assert 0.90 <= held <= 0.97  # an exponential's skew costs the percentile method one or two points
    assert bootstrap(np.mean, samples[0], seed=1) == bootstrap(np.mean, samples[0], seed=1)
