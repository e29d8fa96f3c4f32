"""Studies on machines as they are: told to end by those who run them, with outputs that nobody reads any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from support.commands import SMALL_STUDY

from analysis import load_trials
from cluster.local_cluster import descendants
from trainables.records.trial_folder import TrialFolder
from trainables.training.checkpoint import load_latest

pytestmark = pytest.mark.slow


@contextmanager
def study(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A study of many short epochs that runs, and none of its processes after the context."""
    command = [sys.executable, *SMALL_STUDY, "--trials", "2", "--epochs", "400", "--no-report", "--out", folder]
    with (folder.parent / "said").open("w") as said:
        process = subprocess.Popen([*map(str, command), *options], stdout=said, stderr=said, text=True, process_group=0)
    try:
        yield process
    finally:
        for each in descendants(process.pid):
            with suppress(psutil.Error):
                each.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize("everyone", [False, True], ids=["its process group", "each of its processes"])
def test_sigterm_to_all_of_a_study_ends_it_as_ctrl_c(everyone: bool, tmp_path: Path) -> None:
    """A shell and Slurm send it to the group, systemd to each process of the unit. What is done is kept, and no
    process is left; `tests/studies/watch/test_screen.py` has what is left on a terminal."""
    said = tmp_path / "said"
    with study(tmp_path / "run") as process:
        wait_for(lambda: "epoch 1" in said.read_text())
        started = descendants(process.pid)
        if everyone:
            for each in reversed(descendants(process.pid)):
                each.terminate()
        else:
            os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 130, said.read_text()
        _, alive = psutil.wait_procs(started, timeout=30)
        assert alive == []
    output = said.read_text()
    assert "stopping after the running epochs" in output
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith("interrupted: ")
    assert output.splitlines()[-1].endswith(" keeps what is done; the same command goes on from there")
    assert set(load_trials(tmp_path / "run")["state"]) == {"INTERRUPTED"}
    record = TrialFolder(tmp_path / "run/trials/0000")
    assert 1 <= len(record.rows()) < 400
    assert load_latest(record.checkpoints, record.config(), "cpu") is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["gcs_server", "raylet"])
def test_ctrl_c_while_ray_starts_is_not_lost(kind: str, number: signal.Signals, tmp_path: Path) -> None:
    """Nor what ends a whole process group, for which Ray has a handler of its own."""
    said = tmp_path / "said"
    with study(tmp_path / "run") as process:
        wait_for(lambda: any(each.name() == kind for each in descendants(process.pid)))
        if number == signal.SIGTERM:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(60) == 130, said.read_text()
    assert "Traceback" not in said.read_text()
    assert said.read_text().splitlines()[-1].startswith("interrupted: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_the_starting_dashboard_too_is_an_interrupt(number: signal.Signals, tmp_path: Path) -> None:
    """As soon as it has processes of its own, the dashboard ends of what its group is sent, and Ray's start with it."""
    said = tmp_path / "said"
    with study(tmp_path / "run") as process:
        wait_for(lambda: any(map(_is_dashboard_with_children, descendants(process.pid))))
        os.killpg(process.pid, number)
        assert process.wait(30) == 130, said.read_text()  # Ray itself would wait for a minute
    lines = [line for line in said.read_text().splitlines() if not line.startswith("stopping after")]
    assert len(lines) == 1
    assert lines[0].startswith("interrupted: ")


def _is_dashboard_with_children(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(part.endswith("dashboard/dashboard.py") for part in process.cmdline()) and bool(process.children())
    return False
