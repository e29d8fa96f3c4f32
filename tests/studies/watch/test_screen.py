"""What is on a terminal after a study was stopped there: nothing of its board."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from support.commands import ROOT, SMALL_STUDY, script
from support.screens import Terminal, screen

from analysis import load_trials
from studies.watch.stopping import _ECHO_SECONDS
from trainables.errors import ExitCode
from trainables.records.trial_folder import TrialFolder
from trainables.training.checkpoint import load_latest

CTRL_C = b"\x03"
NO_ECHO = _ECHO_SECONDS + 0.2  # seconds after which a second signal is one
EPOCHS = 800  # many, but not so many that the command first measures how long they take
STUDY = (*SMALL_STUDY, "--trials", "2", "--epochs", str(EPOCHS), "--no-report", "--out", "s")
# a board without Ray: one trial, that never ends
BOARD = """
import time
from rich.console import Console
from studies.watch.live_view import View
from studies.watch.stopping import Stop, graceful
from trainables.slots.messages import Underway
from trainables.terminal import silent_keys
console = Console()
console.print("before")
view, stop = View("study", 5, 3, console), Stop()
try:
    with silent_keys(), view, graceful(view, stop):
        view.started(0, {"beta": 1.0})
        view.phase("searching")
        while True:
            time.sleep(0.05)
            view.underway(0, Underway(1, 0.5, 1.0, 9.0))
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def terminal(*arguments: str | Path, cwd: Path) -> Iterator[Terminal]:
    found = Terminal(*arguments, cwd=cwd)
    try:
        yield found
    finally:
        found.close()


def is_clean(found: Terminal) -> bool:
    """The cursor and the keys are back, and no key is shown."""
    return found.has_cursor and found.echoes and "^C" not in found.output


def test_the_screen_of_these_tests_is_that_of_a_terminal() -> None:
    assert screen("one\r\ntwo\r\x1b[2K\x1b[1A\x1b[2Kthree\r\n", 80) == ["three"]
    assert screen("\x1b[1mabcd\x1b[0mef\r\n", 4) == ["abcd", "ef"]
    assert screen("ab\rc", 80) == ["cb"]


def wait_for_an_epoch(found: Terminal, folder: Path) -> TrialFolder:
    """The first trial that has one."""
    while not (recorded := sorted(folder.glob("trials/*/metrics.jsonl"))):
        found.read()
        assert found.process.poll() is None, found.output
    return TrialFolder(recorded[0].parent)


SIGNALS: dict[str, Callable[[Terminal], object]] = {
    "Ctrl-C": lambda it: it.press(CTRL_C),
    "SIGTERM": lambda it: it.process.send_signal(signal.SIGTERM),
}


@pytest.mark.parametrize("how", SIGNALS)
def test_a_board_leaves_nothing_on_the_screen(how: str, tmp_path: Path) -> None:
    with terminal("-c", BOARD, cwd=tmp_path) as found:
        found.wait_for("searching")
        assert not found.echoes
        SIGNALS[how](found)
        found.wait_for("stopping after the running epochs; Ctrl-C again stops at once")
        time.sleep(NO_ECHO)
        SIGNALS[how](found)
        assert found.end() == 0
        assert found.screen() == ["before", "interrupted"]
        assert is_clean(found)


def test_a_board_in_the_background_of_a_shell_goes_on(tmp_path: Path) -> None:
    """A terminal stops who changes its keys from there."""
    code = BOARD.replace("while True:", "for _ in range(5):")
    shell = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]], process_group=0).wait())"
    )
    with terminal("-c", shell, code, cwd=tmp_path) as found:
        assert found.end() == 0
        assert found.screen() == ["before", "0"]
        assert is_clean(found)


@pytest.mark.slow
def test_a_study_that_is_stopped_at_once_leaves_a_line_that_says_so_and_no_process(tmp_path: Path) -> None:
    """By Ctrl-C, twice; `tests/integration/test_machines.py` has one that ends in order."""
    with terminal(*STUDY, cwd=tmp_path) as found:
        record = wait_for_an_epoch(found, tmp_path / "s")
        started = psutil.Process(found.process.pid).children(recursive=True)
        for _ in range(2):
            found.press(CTRL_C)
        assert found.end() == ExitCode.INTERRUPTED
        shown = found.screen()
        began = next(at for at, line in enumerate(shown) if line.startswith("Ray dashboard"))
        left = [line.split(":")[0] for line in shown[began:] if not line.startswith("this processor has bfloat16")]
        assert left == ["Ray dashboard", "interrupted"], shown
        assert is_clean(found)
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
    assert set(load_trials(tmp_path / "s")["state"]) == {"INTERRUPTED"}
    # the epochs that were reported are recorded, and the checkpoint to go on from is there
    assert 1 <= len(record.rows()) < EPOCHS
    assert load_latest(record.checkpoints, record.config(), "cpu") is not None


@pytest.mark.slow
def test_a_study_that_is_killed_says_so_and_gives_the_terminal_back(tmp_path: Path) -> None:
    with terminal(*STUDY, cwd=tmp_path) as found:
        wait_for_an_epoch(found, tmp_path / "s")
        started = psutil.Process(found.process.pid).children(recursive=True)
        found.process.kill()
        found.end()
        for _ in range(100):  # a shell that outlives it writes the last
            if "the same command goes on from there" not in found.output:
                found.read()
        assert re.search(
            r"error: the study's process was killed, for want of memory or by somebody, or its Ray cluster is gone\r\n"
            r"the same command goes on from there\r\n$",
            found.output,
        )
        assert is_clean(found)
    status = script("-m", "studies", "status", tmp_path / "s", cwd=ROOT)
    assert status.returncode == 3, status.stderr
    for left in started:  # Ray's own end by themselves, but not soon
        with suppress(psutil.Error):
            left.kill()
