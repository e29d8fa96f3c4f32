"""When trials ran."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.figures.study.timeline import compute_timeline, packed, timeline_chart


def ran(number: int, state: str, start: float | None, end: float | None) -> FrozenTrial:
    """A trial by the seconds that it started and ended at."""
    zero = datetime(2026, 1, 1)
    trial = create_trial(state=TrialState[state], value=1.0 if state == "COMPLETE" else None)
    trial.number = number
    trial.datetime_start = None if start is None else zero + timedelta(seconds=start)
    trial.datetime_complete = None if end is None else zero + timedelta(seconds=end)
    return trial


def test_a_timeline_by_hand() -> None:
    trials = [
        ran(0, "COMPLETE", 10, 40),
        ran(1, "PRUNED", 10, 20),
        ran(2, "FAIL", 25, 30),
        ran(3, "RUNNING", 45, None),
        ran(4, "WAITING", None, None),
        ran(5, "COMPLETE", 50, 70),
        ran(6, "FAIL", 60, 55),
        ran(7, "FAIL", 1, None),
    ]
    timeline = compute_timeline(trials)
    assert timeline.number.tolist() == [0, 1, 2, 3, 5, 6]
    assert timeline.start.tolist() == [0, 0, 15, 35, 40, 50]
    assert timeline.end.tolist() == [30, 10, 20, 60, 60, 50]  # the running one: until the latest known time
    assert timeline.lane.tolist() == [0, 1, 1, 0, 1, 2]
    assert timeline.left_out == 2
    assert timeline.lanes == 3
    assert timeline.idle == pytest.approx(1 - (30 + 10 + 5 + 25 + 20) / 180)
    assert timeline.title == "6 trials in 3 slots, idle 50 % of the time, 2 trials without times left out"
    running = next(trace for trace in timeline_chart(timeline).data if trace.name == "running")
    assert (running.base[0], running.x[0], running.y[0]) == (35, 25, 0)
    assert running.marker.pattern.shape == "/"
    assert timeline.unit == ("seconds", 1.0)


def test_lanes_never_overlap_and_are_as_few_as_ran_at_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        start = np.sort(rng.integers(0, 200, 60)).astype(float)
        end = start + rng.integers(1, 30, 60)
        lane = packed(start, end)
        for each in set(lane.tolist()):
            inside = lane == each
            assert (start[inside][1:] >= end[inside][:-1]).all()
        at_once = max(int(((start <= moment) & (end > moment)).sum()) for moment in start)
        assert lane.max() + 1 == at_once
