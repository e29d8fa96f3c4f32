"""What ends a command while a Ray cluster starts, which these tests do without."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from cluster import connect

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@pytest.mark.parametrize("number", ENDING)
def test_what_fails_after_a_signal_is_that_signal(number: signal.Signals) -> None:
    """One of Ray's processes may have heard it as well."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        _start(number, _fail)
    assert signal.getsignal(number) is before
    with pytest.raises(RuntimeError):
        _start(None, _fail)


@pytest.mark.parametrize("number", ENDING)
def test_a_start_that_does_not_end_after_a_signal_is_interrupted(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_HELD_SECONDS", 1)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _start(number, _lose_one_interrupt)
    assert time.monotonic() - begun < 10


def test_a_start_without_a_signal_is_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_HELD_SECONDS", 0)
    _start(None, lambda: time.sleep(2.5))


def _start(number: signal.Signals | None, start: Callable[[], None]) -> None:
    """What stands for Ray's start, which a signal comes in at first."""
    with connect._signals_held():
        if number:
            os.kill(os.getpid(), number)
        start()


def _fail() -> None:
    raise RuntimeError("Failed to start the dashboard, return code 15")


def _lose_one_interrupt() -> None:
    """As one is lost that comes in the middle of a fork."""
    with suppress(KeyboardInterrupt):
        _sleep_for_a_minute()
    _sleep_for_a_minute()


def _sleep_for_a_minute() -> None:
    for _ in range(600):  # as Ray waits for its dashboard
        time.sleep(0.1)
