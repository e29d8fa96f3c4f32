"""How far a long piece of work is."""

from __future__ import annotations

import re
import time
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from analysis import progress
from analysis.progress import Expected, progress_bar


def test_what_is_left_is_as_expected_or_what_its_steps_say_where_that_is_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    expected = Expected(40.0)
    assert (expected.left, str(expected)) == (40, "report in about 0:00:40")
    clock.now += 30
    expected.share = 0.9
    assert expected.left == 10
    clock.now += 30
    expected.share = 0.75
    assert expected.left == pytest.approx(60 / 3)
    expected.share = 1.0
    assert expected.left == 1


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_shows_what_is_left_where_there_is_a_terminal(is_terminal: bool) -> None:
    shown, expected = StringIO(), Expected(75.0)
    console = Console(file=shown, force_terminal=is_terminal, width=100)
    with progress_bar(console, expected) as show:
        show("drawing the study", 0.25)
    assert expected.share == 0.25
    assert ("report in about 0:01:15" in shown.getvalue()) == is_terminal


def test_a_step_that_takes_long_is_told_of_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a log, where no bar is seen."""
    monkeypatch.setattr(progress, "_FIRST_LINE", 0.0)
    monkeypatch.setattr(progress, "_LOOK", 0.01)
    shown = StringIO()
    with progress_bar(Console(file=shown, width=100), Expected(75.0)) as show:
        show("the inference gap", 0.25)
        for _ in range(1000):
            if shown.getvalue():
                break
            time.sleep(0.01)
    assert re.fullmatch(r"25%, the inference gap; report in about 0:01:1[0-5]\n", shown.getvalue())
