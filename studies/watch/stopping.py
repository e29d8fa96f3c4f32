"""Stopping a study early: by Ctrl-C, by order, because its budget is spent, or because it has no room."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from studies.record.driver_lock import DriverLock
from studies.watch.live_view import View
from studies.watch.prometheus import Meter
from trainables.errors import EndedEarly, Interrupted, UserError
from trainables.interrupts import ENDING
from trainables.metrics import Metrics

_ECHO_SECONDS = 1.0  # in which a signal may come by another way, too: a wrapper hands on what its whole group is sent
_WATCH_SECONDS = 1.0  # how often a driver looks for orders, and shows that it lives


class Stop:
    """Whether a study is to stop early, and why: for one, in ``hours`` from now, or after ``gpu_hours`` of training, of
    which ``spent`` seconds were before. Its trials are left as a crash would leave them."""

    def __init__(self, hours: float | None = None, gpu_hours: float | None = None, spent: float = 0.0) -> None:
        self.error: EndedEarly | Interrupted | UserError | None = None  # to end with, once the running epochs have
        self.paused = self.is_waiting = False
        self.meter = Meter()
        self._hours, self._gpu_hours, self._spent = hours, gpu_hours, spent
        self._began = time.monotonic()

    def interrupt(self) -> None:
        """Stop on behalf of the person at the keyboard."""
        self.error, self.paused = Interrupted(), False

    def fail(self, reason: str) -> None:
        """Stop for a fault that is no training's own; one that came before goes first."""
        what, _, way_out = reason.partition("\n")
        text = f"the study stopped early: {what}\n{way_out or 'the same command goes on from there'}"
        self.error = self.error or UserError(text)

    def end_early(self, reason: str) -> None:
        """End in order; a fault that came before goes first."""
        if self.error is None or self.paused:
            self.error, self.paused = EndedEarly(reason), False

    def pause(self) -> None:
        """End in order, for a while."""
        if self.error is None:
            self.end_early("paused")
            self.paused = True

    def resume(self) -> None:
        """Go on after a pause as if nothing had been."""
        self.error, self.paused = None, False

    def spend(self, row: Metrics) -> None:
        """Count what a new epoch cost."""
        self.meter.spend(row)
        self.check_budget()

    @property
    def phase(self) -> str:
        """As `studies.record.driver_lock.Driver` has it."""
        if self.paused:
            return "paused" if self.is_waiting else "pausing"
        return "stopping" if self.error else "running"

    def seconds_left(self, view: View) -> float | None:
        """Until the trainings have ended, at the latest by the budget of hours, and the report is drawn; None while
        that is not known, and once the study is to stop or to pause."""
        if self.error:
            return None
        hours = math.inf if self._hours is None else self._hours
        end = max(0.0, hours * 3600 - (time.monotonic() - self._began))
        with suppress(Exception):  # of numbers that another thread changes; a driver is alive without them
            left = view.seconds_left()
            return left and min(left, end + view.left.report)
        return None

    def check_budget(self) -> None:
        """End the study if its budget is spent."""
        if self._hours is not None and time.monotonic() - self._began >= self._hours * 3600:
            self.end_early(f"its {self._hours:g} hours are over")
        spent = self._spent + self.meter.gpu_seconds
        if self._gpu_hours is not None and spent >= self._gpu_hours * 3600:
            self.end_early(f"its {self._gpu_hours:g} GPU hours are spent")

    def check(self) -> None:
        """Raises: KeyboardInterrupt, EndedEarly or UserError where the study is to stop."""
        if self.error:
            raise self.error


@contextmanager
def graceful(view: View, stop: Stop) -> Iterator[None]:
    """The first Ctrl-C lets the running epochs end, the second does not. What else ends a command (`ENDING`) counts as
    Ctrl-C, unless it is an echo of the first, or ignored, as a hang-up under nohup."""
    signals = [it for it in (signal.SIGINT, *ENDING) if it is signal.SIGINT or signal.getsignal(it) != signal.SIG_IGN]

    def first(*_: object) -> None:
        stop.interrupt()
        came = time.monotonic()

        def again(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGINT or time.monotonic() - came > _ECHO_SECONDS:
                signal.default_int_handler(number, frame)

        for number in signals:
            signal.signal(number, again)
        # in a thread: the signal may have come in the middle of printing
        text = "stopping after the running epochs; Ctrl-C again stops at once"
        threading.Thread(target=view.phase, args=(text,)).start()

    before = [signal.signal(number, first) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def every(seconds: float, step: Callable[[], None]) -> Iterator[None]:
    """Inside, a thread takes a step every so often."""
    ended = threading.Event()

    def steps() -> None:
        while not ended.wait(seconds):
            step()

    thread = threading.Thread(target=steps, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def following_orders(lock: DriverLock, view: View, stop: Stop) -> Iterator[None]:
    """Inside, a thread obeys `python -m studies`, watches the budget, and shows how this driver and its study are; it
    is a session: see `trainables.records.sessions`."""

    def watch() -> None:
        with suppress(OSError):  # a folder that has vanished ends the study elsewhere
            what, order = lock.request()
            match what:
                case "stop" if stop.error is None or stop.paused:
                    stop.end_early("it was asked to stop")
                    view.phase("stopping after the running epochs, as asked")
                case "pause" if stop.error is None:
                    stop.pause()
                    view.phase("pausing after the running epochs, as asked")
            lock.beat(stop.phase, order, stop.seconds_left(view))
        before = stop.error
        stop.check_budget()
        if stop.error and not before:
            view.phase(f"stopping after the running epochs: {stop.error}")
        stop.meter.publish(view)

    try:
        watch()  # a session begins before its first trial
        with every(_WATCH_SECONDS, watch):
            yield
    finally:
        stop.meter.publish(view)
        with suppress(OSError):
            lock.beat("closing")


def wait_for_resume(lock: DriverLock, view: View, stop: Stop) -> None:
    """Wait, with nothing open, until a pause is over, or raise what ends the study instead: see `Stop.check`."""
    view.pause()
    stop.is_waiting = True
    while stop.paused:
        time.sleep(_WATCH_SECONDS / 4)
        if lock.request()[0] != "pause" and stop.paused:
            stop.resume()
    stop.is_waiting = False
    stop.check()
