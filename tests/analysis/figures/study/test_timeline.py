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
    assert timeline.title == "6 trials in 3 slots, idle 50% of the time, 2 trials without times left out"
    running = next(trace for trace in timeline_chart(timeline).data if trace.name == "running")
    assert (running.base[0], running.x[0], running.y[0]) == (35, 25, 0)
    assert running.marker.pattern.shape == "/"
    assert timeline.unit == ("seconds", 1.0)


def test_an_interrupted_trial_ran_for_as_long_as_its_epochs_took() -> None:
    trials = [ran(0, "COMPLETE", 0, 40), ran(1, "RUNNING", 5, None), ran(2, "RUNNING", 30, None)]
    epochs = {0: np.full(4, 10.0), 1: np.full(2, 10.0), 2: np.full(2, 15.0)}
    timeline = compute_timeline(trials, epoch_seconds=epochs.__getitem__, are_running=False)
    assert timeline.state.tolist() == ["COMPLETE", "INTERRUPTED", "INTERRUPTED"]
    assert timeline.start.tolist() == [0, 5, 30]
    assert timeline.end.tolist() == [40, 25, 60]
    assert [trace.name for trace in timeline_chart(timeline).data] == ["complete", "interrupted"]


def test_a_trial_that_was_interrupted_again_has_the_epochs_of_each_time() -> None:
    trials = [ran(0, "COMPLETE", 0, NIGHT + 450), ran(1, "RUNNING", 0, None)]
    taken = {1: [datetime(2026, 1, 1) + timedelta(seconds=it) for it in (0.0, NIGHT)], 0: [datetime(2026, 1, 1)]}
    epochs = {0: np.zeros(0), 1: np.full(9, 100.0)}
    timeline = compute_timeline(trials, taken.__getitem__, epochs.__getitem__, are_running=False)
    assert (timeline.end - timeline.start)[timeline.number == 1].tolist() == [500, 400]


NIGHT = 36_000.0


def test_a_night_in_which_the_study_was_stopped_is_cut_out_and_not_idle() -> None:
    trials = [
        ran(0, "COMPLETE", 0, 600),
        ran(1, "COMPLETE", 0, 500),
        ran(2, "COMPLETE", 600 + NIGHT, 1200 + NIGHT),
        ran(3, "COMPLETE", 600 + NIGHT, 1100 + NIGHT),
        ran(4, "COMPLETE", 1230 + NIGHT, 1830 + NIGHT),  # half a minute later: its driver was busy
    ]
    timeline = compute_timeline(trials)
    assert timeline.start.tolist() == [0, 0, 600, 600, 1230]
    assert timeline.end.tolist() == [600, 500, 1200, 1100, 1830]
    assert timeline.stops.tolist() == [[600, NIGHT]]
    assert timeline.idle == pytest.approx(1 - (600 + 500 + 600 + 500 + 600) / (2 * 1830))
    assert timeline.title == "5 trials in 2 slots, idle 23% of the time; 10 hours in which none ran are cut out"
    chart = timeline_chart(timeline)
    assert "while the study ran (dotted: it was stopped)" in chart.layout.xaxis.title.text
    assert [shape.x0 for shape in chart.layout.shapes] == [10]  # minutes
    assert len(compute_timeline(trials[:2]).stops) == 0


def test_an_interrupted_trial_did_not_run_all_night() -> None:
    """It recorded 5 epochs of 100 s before it was stopped at about 550 s, and 4 when it was taken up again."""
    trials = [ran(0, "COMPLETE", 0, NIGHT + 450), ran(1, "COMPLETE", 0, 500)]
    begun = [0.0, NIGHT]
    taken = {0: [datetime(2026, 1, 1) + timedelta(seconds=it) for it in begun], 1: [datetime(2026, 1, 1)]}
    epochs = {0: np.full(9, 100.0), 1: np.full(4, 100.0)}
    timeline = compute_timeline(trials, taken.__getitem__, epochs.__getitem__)
    assert timeline.number.tolist() == [0, 1, 0]
    assert timeline.start.tolist() == [0, 0, 500]
    assert timeline.end.tolist() == [500, 500, 950]
    assert timeline.stops.tolist() == [[500, NIGHT - 500]]
    assert timeline.title.startswith("2 trials in 2 slots, idle 24% of the time; 9.86 hours")


def test_a_trial_that_was_taken_up_thrice_has_the_epochs_of_each_time() -> None:
    trials = [ran(0, "FAIL", 0, 1000)]
    taken = [datetime(2026, 1, 1) + timedelta(seconds=it) for it in (0, 300, 700)]
    timeline = compute_timeline(trials, lambda _: taken, lambda _: np.array([90.0, 90.0, 150.0, 200.0, 140.0, 100.0]))
    assert timeline.lanes == 1
    np.testing.assert_allclose(timeline.end - timeline.start, [180, 350, 300])


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
