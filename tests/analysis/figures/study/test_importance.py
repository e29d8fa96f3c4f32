"""The importance as it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.figures.study.importance import draw_importance, importance_chart
from analysis.reading.frames import load_trials
from analysis.reading.study_record import StudyRecord
from analysis.statistics.importance import compute_importance


def test_importance_s_intervals_hold_its_shares_and_are_drawn(sixty: StudyRecord) -> None:
    values = load_trials(sixty)["val_bits_per_dim"].to_numpy(float)
    plain = compute_importance(sixty.trials, sixty.columns, values)
    assert plain.intervals is None
    told = compute_importance(sixty.trials, sixty.columns, values, resamples=8)
    assert told.names == plain.names
    np.testing.assert_array_equal(told.shares, plain.shares)
    assert told.intervals is not None
    for share, found in zip(told.shares, told.intervals, strict=True):
        assert 0 <= found.low <= found.estimate == share <= found.high <= 1
    assert max(found.high - found.low for found in told.intervals) > 0.02
    assert len(draw_importance(told).axes[0].collections) > len(draw_importance(plain).axes[0].collections)
    bars = importance_chart(told).data[0]
    np.testing.assert_allclose(bars.x, told.shares * 100)
    np.testing.assert_allclose(bars.x + bars.error_x.array, [100 * found.high for found in told.intervals])
    np.testing.assert_allclose(bars.x - bars.error_x.arrayminus, [100 * found.low for found in told.intervals])
    assert importance_chart(plain).data[0].error_x.array is None
    (rest,) = importance_chart(told).data[1].x
    assert rest == pytest.approx(100 - 100 * told.shares.sum())
    assert draw_importance(told).axes[0].patches[-1].get_width() == pytest.approx(rest)
