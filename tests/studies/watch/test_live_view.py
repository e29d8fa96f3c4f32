"""What a person watches."""

from __future__ import annotations

import re
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import create_trial
from rich.console import Console

from studies.record.front import Front
from studies.watch import live_view, time_left
from studies.watch.live_view import View
from trainables.metrics import Metrics
from trainables.slots.messages import Underway

PARAMETERS = {"beta": 0.8312, "model.latent_dim": 16, "model.depth": 1}
FRONT = Front([3, 5, 12], (1.2, 31.2), 12, True, 8.21, 754.22, PARAMETERS, 1234.2, 10, 0.021, False)


def row(epoch: int, bits: float = 2.5, seconds: float = 2.0) -> Metrics:
    measured = {"val_bits_per_dim": bits, "val_rate": 1.0, "val_distortion": 731.5}
    return {"epoch": epoch, **measured, "images_per_second": 100.0, "epoch_seconds": seconds}


def board(view: View, console: Console) -> list[str]:
    with console.capture() as shown:
        console.print(view._board())
    return shown.get().splitlines()


def watched(width: int, has_front: bool = True, height: int = 50) -> tuple[View, Console]:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    return View("s", 5, 3, console, "rate_distortion" if has_front else "bits_per_dim"), console


def lines(**fields: Any) -> tuple[View, StringIO]:
    """Where there is no terminal."""
    shown = StringIO()
    return View("s", 5, 3, Console(file=shown, width=80), **fields), shown


def test_the_view_counts_what_prometheus_is_told() -> None:
    view = View("s", 5, 3, Console(quiet=True))
    view.known({"COMPLETE": 1, "RUNNING": 1}, None)
    view.started(1, {"beta": 1.0})
    view.reported(1, row(1))
    assert view.counts() == {"complete": 1, "pruned": 0, "failed": 0, "running": 1}
    assert (view.lowest_bits(), view.images_per_second()) == (2.5, 100.0)
    view.ended(1, "pruned")
    assert view.counts() == {"complete": 1, "pruned": 1, "failed": 0, "running": 0}


def test_images_per_second_are_known_within_the_first_epoch() -> None:
    view, console = watched(120)
    view.started(1, PARAMETERS)
    view.started("final training of trial 0", {**PARAMETERS, "epochs": 40}, (), "finals", 40)
    assert "- images/s" in board(view, console)[3]
    view.underway(1, Underway(1, 0.5, 30.0, 41.0))
    view.underway("final training of trial 0", Underway(1, 0.01, 30.0, 3.0))
    view.underway(7, Underway(1, 0.5, 30.0, 999.0))  # one that has ended
    assert view.images_per_second() == 44.0
    shown = board(view, console)
    assert "44 images/s" in shown[3]
    assert any("trial 1" in line and " 0.50/3 " in line and " 41 " in line for line in shown)
    assert any("final training of trial 0" in line and " 0.01/40 " in line and " 3 " in line for line in shown)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("has_front", [True, False])
def test_a_board_breaks_no_word_and_no_number(width: int, has_front: bool) -> None:
    view, console = watched(width, has_front)
    view.front, view.left.report = (FRONT, 40.0) if has_front else (None, 0.0)
    view.started(123, PARAMETERS, [row(1), row(2)])
    view.started("final training of trial 12", PARAMETERS, [row(1)], "finals", 100)
    view.underway("final training of trial 12", Underway(2, 0.456, 30.0, 12_345.0))
    shown = board(view, console)
    assert all(len(line) == width for line in shown)
    text = "\n".join(shown)
    assert "…" not in text
    for part in ("trial 123", "2/3", "100", "beta 0.831", "latent_dim 16"):
        assert part in text
    for part in ("final training of trial 12", "1.46/100", "12,345"):
        assert part in text
    values = ("1.00", "731.50", "1,234", "2.1%", "754.22", "trial 12:", "with the report") if has_front else ("2.5000",)
    assert [value for value in values if value not in text] == []


def test_a_low_terminal_has_room_for_what_runs_before_its_parameters() -> None:
    shown = {}
    for height in (20, 50):
        view, console = watched(80, height=height)
        for number in range(6):
            view.started(number, PARAMETERS)
        shown[height] = sum("latent_dim 16" in line for line in board(view, console))
    assert shown == {20: 0, 50: 6}


def test_a_study_of_two_objectives_shows_its_front_and_another_its_best() -> None:
    view, console = watched(120)
    view.started(1, PARAMETERS)
    view.reported(1, row(1))
    assert any("front  - (no trial is complete yet)" in line for line in board(view, console))
    view.grows(FRONT)
    shown = "\n".join(board(view, console))
    assert "3 trials, rate 1.2 to 31.2 nats; area 1,234 nats², 2.1% of it by the last 10 trials" in shown
    assert "knee   trial 12: rate 8.21 nats, distortion 754.22 nats; beta 0.831  latent_dim 16  depth 1" in shown
    assert "best so far" not in shown
    view, console = watched(120, has_front=False)
    view.started(1, PARAMETERS)
    view.reported(1, row(1))
    shown = "\n".join(board(view, console))
    assert "best so far  2.5000 bits/dim  trial 1" in shown
    assert "front" not in shown


def test_a_study_of_multi_rate_networks_shows_what_it_minimises_and_prometheus_bits() -> None:
    shown = StringIO()
    view = View("s", 5, 3, Console(file=shown, width=100), "multi_rate")
    view.known({"COMPLETE": 1}, (1.5, create_trial(value=1.5)), 2.25)
    assert view.lowest_bits() == 2.25
    view.started(1, {"lr": 0.001})
    view.reported(1, row(1, bits=2.5) | {"val_relative_loss": 1.23})
    view.reported(1, row(2, bits=2.0) | {"val_relative_loss": 1.24})
    text = "\n".join(board(view, Console(width=100)))
    assert "best so far  relative loss 1.230  trial 1  lr 0.001" in text
    assert re.search(r"relative\s.*\n.*loss\s", text)
    assert " 1.240 " in text
    assert view.lowest_bits() == 2.0
    view.ended(1, "complete")
    assert "trial 1 epoch 1: relative loss 1.230, rate 1.00 nats, 100 images/s" in shown.getvalue()
    assert "trial 1 complete after epoch 2: best relative loss 1.230\n" in shown.getvalue()
    assert "bits" not in text + shown.getvalue()


def test_lines_tell_of_a_front_when_it_changes() -> None:
    view, shown = lines(objective="rate_distortion")
    for _ in range(2):
        view.grows(FRONT)
    text = shown.getvalue()
    assert text.count("front of 3 trials, rate 1.2 to 31.2 nats; area") == 1
    assert text.count("knee trial 12: rate 8.21 nats") == 1


def test_lines_tell_of_a_long_epoch_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    for module in (live_view, time_left):
        monkeypatch.setattr(module, "time", clock)
    view, shown = lines()
    view.started(1, PARAMETERS)
    for second in range(300):
        clock.now = second
        view.underway(1, Underway(1, second / 400, second, 41.0))
    told = [line for line in shown.getvalue().splitlines() if "epoch 1:" in line]
    assert told[0] == "[0:01:00] trial 1 epoch 1: 15% trained, 41 images/s"
    assert [line.split("]")[0] for line in told] == ["[0:01:00", "[0:02:00", "[0:03:00", "[0:04:00"]
    for epoch in range(2, 5):  # each of 40 s
        view.reported(1, row(epoch))
        for second in range(40):
            clock.now += 1
            view.underway(1, Underway(epoch + 1, second / 40, second, 41.0))
    assert "epoch 3:" in shown.getvalue()
    assert shown.getvalue().count("trained") == len(told)


def test_the_time_left_has_what_comes_after_the_search_and_the_report() -> None:
    view, shown = lines()
    view.left.report = 90.0
    view.left.plan("finals", 2, 30)
    view.started(1, PARAMETERS)
    view.reported(1, row(1, seconds=60.0))
    view.ended(1, "complete")
    assert shown.getvalue().splitlines()[-1].endswith("1 of 5 trials done, about 1:01:30 left, with the report")
    assert view.seconds_left() == pytest.approx(3690, abs=1)
