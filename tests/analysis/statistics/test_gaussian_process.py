"""The Gaussian process where there is nothing but noise."""

from __future__ import annotations

import numpy as np

from analysis.statistics.gaussian_process import gaussian_process


def test_noise_that_a_panel_does_not_show_is_not_interpolated() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(size=(80, 2))
    fit, _ = gaussian_process(points, rng.normal(size=80), points)
    assert fit.std() < 0.5
    same, deviation = gaussian_process(points, np.full(80, 2.5), points)
    np.testing.assert_array_equal(same, np.full(80, 2.5))
    np.testing.assert_array_equal(deviation, np.zeros(80))
