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
    """The first Ctrl-C lets the running epochs end, the second does not."""
    stop = Stop()
    before = signal.getsignal(signal.SIGINT)

    def first(*_: object) -> None:
        stop.interrupt()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # in a thread: the signal may have come in the middle of printing
        text = "stopping after the running epochs; Ctrl-C again stops at once"
        threading.Thread(target=view.phase, args=(text,)).start()

    signal.signal(signal.SIGINT, first)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def heed(stop: Stop) -> None:
    """Raises: KeyboardInterrupt or UserError where the study is to stop."""
    if stop.interrupted:
        raise KeyboardInterrupt
    if stop.reason:
        raise UserError(f"the study stopped early: {stop.reason}\nthe same command goes on from there")
