"""How long a study still takes, against sums made by hand."""

from __future__ import annotations

import pytest

from studies.watch import time_left
from studies.watch.time_left import Progress, Stage, TimeLeft
from trainables.slots.messages import Underway


class Clock:
    """The time that everything here reads."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time_left, "time", found)
    return found


class Study:
    """Trainings that begin, report and end, and what is left by them."""

    def __init__(self, clock: Clock, trials: int = 0, epochs: int = 10, repeats: int = 0, finals: int = 0) -> None:
        self.clock, self.left, self.running = clock, TimeLeft(), list[Progress]()
        self.left.plan("search", trials, epochs)
        self.left.plan("repeats", repeats, epochs)
        self.left.plan("finals", finals, 40, speed=2.0, alone=True)

    def begin(self, epochs: int = 10, stage: Stage = "search") -> Progress:
        self.running.append(Progress({}, stage, epochs, began=self.clock.now))
        return self.running[-1]

    def report(self, progress: Progress, seconds: float) -> None:
        self.clock.now += seconds
        row = {"epoch": progress.epoch + 1, "val_bits_per_dim": 1.0, "epoch_seconds": seconds, "images_per_second": 9.0}
        progress.measured(row, 1.0)
        self.left.measured(progress.stage, seconds)

    def end(self, progress: Progress) -> None:
        self.left.ended(progress)
        self.running.remove(progress)

    def trial(self, epochs: int, seconds: float) -> None:
        """One that has ended after so many epochs."""
        progress = self.begin()
        for _ in range(epochs):
            self.report(progress, seconds)
        self.end(progress)

    def seconds(self) -> float | None:
        return self.left.seconds(self.running)


def test_nothing_is_said_before_anything_is_known_or_where_nothing_is_left(clock: Clock) -> None:
    study = Study(clock, trials=2, finals=3)
    assert study.seconds() is None
    progress = study.begin()
    assert study.seconds() is None
    progress.moved(Underway(1, 0.25, 5.0, 100.0))  # an epoch of 20 s, of the final trainings 10 s
    assert study.seconds() == pytest.approx((10 - 0.25) * 20 + 10 * 20 + 3 * 40 * 10)
    empty = Study(clock)
    assert empty.seconds() is None


def test_trials_take_what_those_before_took_pruned_ones_among_them(clock: Clock) -> None:
    study = Study(clock, trials=6)
    study.trial(10, 3.0)
    study.trial(2, 3.0)
    assert study.seconds() == pytest.approx(4 * (30 + 6) / 2)
    study.left.at_once = 2
    assert study.seconds() == pytest.approx(4 * 18 / 2)


def test_what_comes_after_the_search_counts(clock: Clock) -> None:
    study = Study(clock, trials=2, repeats=3, finals=2)
    study.trial(10, 3.0)
    study.left.at_once = 2
    search, repeats, finals = 30, 3 * 30 / 2, 2 * 40 * 1.5  # the last ones twice as fast, one after the other
    assert study.seconds() == pytest.approx(search + repeats + finals)
    study.trial(10, 3.0)
    assert study.seconds() == pytest.approx(repeats + finals)
    study.left.expect("repeats", 0)
    final = study.begin(40, "finals")
    assert study.seconds() == pytest.approx(finals)
    study.report(final, 5.0)  # slower than was thought
    assert study.seconds() == pytest.approx(39 * 5 + 40 * 5)
    final.moved(Underway(2, 0.5, 2.5, 9.0))
    assert study.seconds() == pytest.approx(38.5 * 5 + 40 * 5)
    study.end(final)
    assert study.seconds() == pytest.approx(40 * 5)


def test_a_trial_that_outlives_the_others_has_its_own_epochs_left(clock: Clock) -> None:
    """Pruned after an epoch, the others took no longer: the last one is not over when their mean is."""
    study = Study(clock, trials=4)
    for _ in range(3):
        study.trial(1, 3.0)
    progress = study.begin()
    assert study.seconds() == pytest.approx(3)
    for epoch in range(1, 10):
        study.report(progress, 3.0)
        assert study.seconds() == pytest.approx(3 * (10 - epoch))


def test_a_trial_has_left_what_those_that_ran_longer_had(clock: Clock) -> None:
    study = Study(clock, trials=4)
    for epochs in (1, 4, 8):
        study.trial(epochs, 3.0)
    progress = study.begin()
    study.report(progress, 3.0)
    study.report(progress, 3.0)
    assert study.seconds() == pytest.approx(((12 - 6) + (24 - 6)) / 2)


def test_while_something_runs_it_is_neither_zero_nor_below(clock: Clock) -> None:
    study = Study(clock, trials=1)
    progress = study.begin()
    for _ in range(10):
        study.report(progress, 0.01)
    clock.now += 1e6
    assert study.seconds() == 1.0  # its end is not recorded yet
    study.end(progress)
    assert study.seconds() is None


def test_the_longest_of_those_that_run_is_waited_for(clock: Clock) -> None:
    study = Study(clock, trials=2)
    study.left.at_once = 8
    slow, fast = study.begin(), study.begin()
    study.report(slow, 100.0)
    study.report(fast, 1.0)
    assert study.seconds() == pytest.approx(9 * 100)


def test_an_interrupted_training_is_still_to_end(clock: Clock) -> None:
    study = Study(clock, trials=3)
    study.trial(10, 3.0)
    progress = study.begin()
    before = study.seconds()
    study.running.remove(progress)  # a pause
    assert study.seconds() == before == pytest.approx(60)


def test_news_of_an_epoch_that_has_ended_is_old(clock: Clock) -> None:
    study = Study(clock, trials=1)
    progress = study.begin()
    assert (progress.images_per_second, progress.done) == (None, 0)
    progress.moved(Underway(1, 0.75, 30.0, 50.0))
    assert (progress.images_per_second, progress.done) == (50.0, 0.75)
    study.report(progress, 40.0)
    assert (progress.images_per_second, progress.done) == (9.0, 1)
    progress.moved(Underway(1, 0.9, 36.0, 50.0))
    assert (progress.images_per_second, progress.done) == (9.0, 1)


def test_the_report_comes_on_top_and_is_what_is_left_at_the_end(clock: Clock) -> None:
    study = Study(clock, trials=2)
    study.left.report = 50.0
    assert study.seconds() is None  # nothing is known of an epoch
    study.trial(10, 3.0)
    assert study.seconds() == pytest.approx(30 + 50)
    study.trial(10, 3.0)
    assert study.seconds() == 50
