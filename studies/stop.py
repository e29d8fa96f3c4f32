"""Stopping a study early: by Ctrl-C, or because the cluster gives it no room."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from studies.view import View
from trainables.errors import UserError


class Stop:
    """Whether a study is to stop early, and why. Its trials are left as a crash would leave them."""

    reason: str | None = None
    interrupted = False

    def interrupt(self) -> None:
        """On behalf of the person at the keyboard."""
        self.reason, self.interrupted = "interrupted", True


@contextmanager
def graceful(view: View) -> Iterator[Stop]:
    """The first Ctrl-C lets the running epochs end, the second does not. SIGTERM counts as Ctrl-C."""
    stop = Stop()
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
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def heed(stop: Stop) -> None:
    """Raises: KeyboardInterrupt or UserError where the study is to stop."""
    if stop.interrupted:
        raise KeyboardInterrupt
    if stop.reason:
        reason, _, way_out = stop.reason.partition("\n")
        raise UserError(
            f"the study stopped early: {reason}\n{way_out or 'the same command goes on from there'}"
        )
