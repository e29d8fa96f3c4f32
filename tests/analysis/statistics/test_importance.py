"""Shares of the variance against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.importance import importance_intervals


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
