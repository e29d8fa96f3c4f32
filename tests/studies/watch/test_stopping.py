"""What ends a study early."""

from __future__ import annotations

import pytest

from studies.watch.stopping import Stop
from trainables.errors import EndedEarly, UserError


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
