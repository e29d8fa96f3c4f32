"""When trials ran."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.figures.study.timeline import compute_timeline, packed, timeline_chart
from trainables.records.sessions import Session


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
    assert "(dotted: time that is cut out)" in chart.layout.xaxis.title.text
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


ZERO = datetime(2026, 1, 1)


def at(*seconds: float) -> list[datetime]:
    return [ZERO + timedelta(seconds=each) for each in seconds]


def drove(*seconds: tuple[float, float]) -> list[Session]:
    return [Session(*at(*each)) for each in seconds]


def test_idle_is_what_is_within_a_session_however_long_and_no_second_without() -> None:
    """Slots open for 10 s in either session, and 200 s pass between trials 0 and 1 whose driver was busy. 20 s are
    between the sessions, the first of which goes on for 90 s with other trainings; a third has no trial."""
    trials = [ran(0, "COMPLETE", 0, 100), ran(1, "FAIL", 300, 400), ran(2, "PRUNED", 520, 600)]
    timeline = compute_timeline(trials, are_running=False, sessions=drove((-10, 490), (510, 700), (900, 990)))
    assert timeline.is_recorded
    assert timeline.start.tolist() == [10, 310, 420]
    assert timeline.end.tolist() == [110, 410, 500]
    assert timeline.stops.tolist() == [[410, 110]]
    assert timeline.idle == pytest.approx(1 - 280 / 500)
    assert (
        timeline.title
        == "3 trials in 1 slot, idle 44% of the time; 110 seconds in which no driver searched are cut out"
    )
    assert timeline_chart(timeline).layout.xaxis.title.text.startswith("minutes since the first driver began (dotted")
    inferred = compute_timeline(trials, are_running=False)
    assert not inferred.is_recorded
    assert inferred.stops.tolist() == [[100, 200], [200, 120]]
    assert inferred.title == "3 trials in 1 slot, idle 0% of the time; 5.33 minutes in which none ran are cut out"


def test_a_killed_driver_and_a_pause_end_what_runs() -> None:
    """Trial 0 is taken up after a kill at 55 s, last seen at 50 s, and again after a pause; trial 1 began after the
    last sign of life, and got no slot before the second session; trial 2 goes on nowhere."""
    trials = [ran(0, "COMPLETE", 0, 1100), ran(1, "FAIL", 54, 620), ran(2, "RUNNING", 20, None)]
    taken = {0: at(0, 510, 1010), 1: at(520), 2: at(20)}
    sessions = drove((0, 50), (500, 700), (1000, 1200))
    timeline = compute_timeline(trials, taken.__getitem__, lambda _: np.zeros(0), False, sessions)
    bars = zip(timeline.number, timeline.start, timeline.end, timeline.state, strict=True)
    assert list(bars) == [
        (0, 0, 50, "COMPLETE"),
        (2, 20, 50, "INTERRUPTED"),
        (1, 54, 54, "FAIL"),
        (0, 64, 254, "COMPLETE"),
        (1, 74, 174, "FAIL"),
        (0, 264, 354, "COMPLETE"),
    ]
    assert timeline.stops.tolist() == [[54, 446], [254, 300]]
    assert timeline.lanes == 2
    assert timeline.idle == pytest.approx(1 - (50 + 30 + 190 + 100 + 90) / (2 * 354))


def test_what_waits_to_be_taken_up_runs_not_yet_where_others_do() -> None:
    trials = [ran(0, "RUNNING", 0, None), ran(1, "RUNNING", 0, None), ran(2, "COMPLETE", 0, 60)]
    taken = {0: at(0, 510), 1: at(0), 2: at(0)}
    timeline = compute_timeline(trials, taken.__getitem__, sessions=drove((0, 70), (500, 590)))
    assert timeline.number.tolist() == [0, 1, 2, 0]
    assert timeline.start.tolist() == [0, 0, 0, 80]
    assert timeline.end.tolist() == [70, 70, 60, 160]


def test_a_worker_that_was_replaced_leaves_no_gap() -> None:
    timeline = compute_timeline([ran(0, "COMPLETE", 0, 90)], lambda _: at(0, 30), sessions=drove((0, 95)))
    assert (timeline.start.tolist(), timeline.end.tolist()) == ([0, 30], [30, 90])
    assert timeline.idle == 0


def test_an_older_folder_that_goes_on_is_inferred_up_to_there() -> None:
    trials = [ran(0, "COMPLETE", 0, 100), ran(1, "COMPLETE", 400, 500), ran(2, "COMPLETE", 900, 950)]
    timeline = compute_timeline(trials, sessions=drove((880, 960)))
    assert not timeline.is_recorded
    assert timeline.stops.tolist() == [[100, 300], [200, 380]]
    assert timeline.start.tolist() == [0, 100, 220]
    assert "in which none ran are cut out" in timeline.title


def test_without_a_trial_there_is_no_timeline_whatever_drivers_did() -> None:
    for sessions in ((), drove((0, 50))):
        assert not len(compute_timeline([ran(0, "WAITING", None, None)], sessions=sessions).number)


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
