"""Stopping a study early: by Ctrl-C, by order, because its budget is spent, or because it has no room."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from studies.record.study_folder import StudyFolder
from studies.watch.live_view import View
from studies.watch.prometheus import Meter
from trainables.errors import Early, Interrupted, UserError
from trainables.metrics import Metrics

WATCH_SECONDS = 1.0
"""How often a driver looks for orders, and shows that it lives."""


class Stop:
    """Whether a study is to stop early, and why. Its trials are left as a crash would leave them.

    Args:
        hours: after which it ends, from now on.
        gpu_hours: of training after which it ends.
        spent: seconds of a GPU that its trainings took before.
    """

    def __init__(self, hours: float | None = None, gpu_hours: float | None = None, spent: float = 0.0) -> None:
        self.reason: str | None = None
        self.interrupted = self.ordered = self.paused = self.is_waiting = False
        self.meter = Meter()
        self._hours, self._gpu_hours, self._spent = hours, gpu_hours, spent
        self._began = time.monotonic()

    def interrupt(self) -> None:
        """On behalf of the person at the keyboard."""
        self.reason, self.interrupted = "interrupted", True

    def order(self, reason: str) -> None:
        """End in order; a fault that came before goes first."""
        if self.reason is None or self.paused:
            self.reason, self.ordered, self.paused = reason, True, False

    def pause(self) -> None:
        if self.reason is None:
            self.order("paused")
            self.paused = True

    def resume(self) -> None:
        """After a pause: go on as if nothing had been."""
        self.reason, self.ordered, self.paused = None, False, False

    def spend(self, row: Metrics) -> None:
        """Count what a new epoch cost."""
        self.meter.spend(row)
        self.look()

    @property
    def phase(self) -> str:
        """As `studies.record.study_folder.Driver` has it."""
        if self.paused:
            return "paused" if self.is_waiting else "pausing"
        return "stopping" if self.reason else "running"

    def look(self) -> None:
        """End the study if its budget is spent."""
        if self._hours is not None and time.monotonic() - self._began >= self._hours * 3600:
            self.order(f"its {self._hours:g} hours are over")
        spent = self._spent + self.meter.gpu_seconds
        if self._gpu_hours is not None and spent >= self._gpu_hours * 3600:
            self.order(f"its {self._gpu_hours:g} GPU hours are spent")


@contextmanager
def graceful(view: View, stop: Stop) -> Iterator[None]:
    """The first Ctrl-C lets the running epochs end, the second does not. SIGTERM counts as Ctrl-C."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in signals]

    def first(*_: object) -> None:
        stop.interrupt()
        for number in signals:
            signal.signal(number, signal.default_int_handler)
        # in a thread: the signal may have come in the middle of printing
        text = "stopping after the running epochs; Ctrl-C again stops at once"
        threading.Thread(target=view.phase, args=(text,)).start()

    for number in signals:
        signal.signal(number, first)
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
def watched(folder: StudyFolder, view: View, stop: Stop) -> Iterator[None]:
    """Inside, a thread obeys `python -m studies`, looks at the budget, and shows that this driver lives and
    how far the study is."""

    def watch() -> None:
        with suppress(OSError):  # a folder that has vanished ends the study elsewhere
            what, heard = folder.request()
            match what:
                case "stop" if stop.reason is None or stop.paused:
                    stop.order("it was asked to stop")
                    view.phase("stopping after the running epochs, as asked")
                case "pause" if stop.reason is None:
                    stop.pause()
                    view.phase("pausing after the running epochs, as asked")
            folder.beat(stop.phase, heard)
        before = stop.reason
        stop.look()
        if stop.reason and not before:
            view.phase(f"stopping after the running epochs: {stop.reason}")
        stop.meter.publish(view)

    try:
        with every(WATCH_SECONDS, watch):
            yield
    finally:
        stop.meter.publish(view)


def wait_for_resume(folder: StudyFolder, view: View, stop: Stop) -> None:
    """Wait, with nothing open, until a pause is over.

    Raises:
        KeyboardInterrupt, Early: where the study is to end instead.
    """
    view.pause()
    stop.is_waiting = True
    while stop.paused and not stop.interrupted:
        time.sleep(WATCH_SECONDS / 4)
        if folder.request()[0] != "pause" and stop.paused and not stop.interrupted:
            stop.resume()
    stop.is_waiting = False
    heed(stop)


def heed(stop: Stop) -> None:
    """Raises: KeyboardInterrupt, Early or UserError where the study is to stop."""
    if stop.interrupted:
        raise Interrupted
    if stop.ordered:
        raise Early(stop.reason)
    if stop.reason:
        reason, _, way_out = stop.reason.partition("\n")
        raise UserError(f"the study stopped early: {reason}\n{way_out or 'the same command goes on from there'}")
