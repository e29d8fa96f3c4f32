"""What ends a study early."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from studies.record.driver_lock import DriverLock
from studies.watch import stopping
from studies.watch.live_view import View
from studies.watch.stopping import Stop, following_orders, graceful
from trainables.errors import EndedEarly, Interrupted, UserError
from trainables.records.driver import Driver
from trainables.records.sessions import BEAT_SECONDS, sessions_of
from trainables.records.study_layout import StudyLayout

# a driver without Ray, which trains nothing
DRIVER = """
import sys, time
from pathlib import Path
from rich.console import Console
from studies.record.driver_lock import DriverLock
from studies.watch.live_view import View
from studies.watch.stopping import Stop, following_orders, wait_for_resume
from trainables.records.study_layout import StudyLayout
lock, view, stop = DriverLock(StudyLayout(Path(sys.argv[1]))), View("s", 5, 3, Console(quiet=True)), Stop()
view.left.report = 40.0
view.left.expect("search", 0)
with lock.acquired(), following_orders(lock, view, stop):
    while not stop.error or stop.paused:
        if stop.paused:
            wait_for_resume(lock, view, stop)
        time.sleep(0.05)
"""


def test_gpu_hours_are_counted_over_all_commands() -> None:
    stop = Stop(gpu_hours=1, spent=1800)
    row = {"epoch_seconds": 600.0, "cpu_seconds": 1200.0, "gpu_seconds": 900.0}
    stop.spend(row)
    stop.check()
    stop.spend(row)
    with pytest.raises(EndedEarly, match="its 1 GPU hours are spent"):
        stop.check()
    assert (stop.meter.cpu_seconds, stop.meter.gpu_seconds) == (2400, 1800)


def test_a_fault_goes_before_an_order_and_an_order_before_a_pause() -> None:
    stop = Stop()
    stop.pause()
    assert stop.paused
    stop.end_early("it was asked to stop")
    assert not stop.paused
    with pytest.raises(EndedEarly, match="asked"):
        stop.check()
    stop = Stop()
    stop.fail("the disk is full")
    stop.pause()
    stop.end_early("late")
    with pytest.raises(UserError, match="the disk is full"):
        stop.check()


def test_the_time_left_ends_with_the_hours_and_is_not_said_of_a_study_that_is_to_end() -> None:
    view = View("s", 5, 3, Console(quiet=True))
    assert Stop().seconds_left(view) is None  # nothing is known yet
    view.left.report = 40.0
    view.left.measured("search", 1000.0)
    assert Stop().seconds_left(view) == 5 * 3 * 1000 + 40
    assert Stop(hours=1).seconds_left(view) == pytest.approx(3640, abs=5)
    assert Stop(hours=10).seconds_left(view) == 15_040
    for end in (Stop.pause, Stop.interrupt, lambda stop: stop.end_early("its 1 hours are over")):
        end(stop := Stop(hours=1))
        assert stop.seconds_left(view) is None
    stop.resume()
    assert stop.seconds_left(view) is not None


def test_a_driver_lives_on_where_its_time_left_cannot_be_computed(tmp_path: Path) -> None:
    lock, view = DriverLock(StudyLayout(tmp_path / "s")), View("s", 5, 3, Console(quiet=True))
    view.left.seconds = Mock(side_effect=TypeError)  # type: ignore[method-assign]
    with lock.acquired(), following_orders(lock, view, Stop()):
        first = seen(lock, lambda driver: driver.phase == "running")
        order = lock.ask("pause")
        assert seen(lock, lambda driver: driver.order == order).phase == "pausing"
    assert first.left is None


def seen(lock: DriverLock, is_so: Callable[[Driver], bool]) -> Driver:
    """Who drives the study, as soon as it is so."""
    began = time.monotonic()
    while (driver := lock.driver()) is None or not is_so(driver):
        assert time.monotonic() - began < 60
        time.sleep(0.02)
    return driver


@pytest.mark.heavy
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_a_driver_records_of_its_sessions_whatever_ends_it(end: str, tmp_path: Path) -> None:
    layout = StudyLayout(tmp_path / "s")
    layout.path.mkdir()
    layout.question.touch()
    lock, process = DriverLock(layout), subprocess.Popen([sys.executable, "-c", DRIVER, str(layout.path)])
    try:
        first = seen(lock, lambda driver: driver.phase == "running")
        assert first.left == 40
        lock.ask("pause")
        seen(lock, lambda driver: driver.phase == "paused")
        time.sleep(1.5)
        (before,) = sessions_of(layout)
        assert first.began <= before.began.timestamp() < before.seen.timestamp() < time.time() - 0.4
        resumed = time.time()
        lock.ask("resume")
        seen(lock, lambda driver: driver.phase == "running")
        time.sleep(0.5)
        ended = time.time()
        if end == "kill":
            process.kill()
        else:
            lock.ask("stop")
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert lock.driver() is None
    same, last = sessions_of(layout)
    assert same == before
    assert resumed < last.began.timestamp() <= last.seen.timestamp()
    if end == "kill":
        assert ended - BEAT_SECONDS - 2 < last.seen.timestamp() <= ended
    else:
        assert ended < last.seen.timestamp() < time.time()


def test_a_signal_that_comes_by_two_ways_lets_the_epochs_end_and_a_later_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a wrapper hands on what the whole process group is sent, too."""
    stop, now = Stop(), 100.0
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now)
    with graceful(View("s", 5, 3, Console(quiet=True)), stop):
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            now += 0.5
        assert isinstance(stop.error, Interrupted)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        now += 0.6
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
