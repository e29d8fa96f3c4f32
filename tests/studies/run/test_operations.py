"""Looking at a study and steering it from outside its driver; budgets, and what happens at its end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import torch
from support.commands import ROOT, SMALL_STUDY, script, timeless
from support.processes import process_of

from analysis import load_trials
from analysis.figures.registry import StudyContext, study_figures
from analysis.reading.study_record import read_study
from studies.__main__ import app
from trainables.errors import UserError
from trainables.records.sessions import BEAT_SECONDS, sessions_of
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.training.trial import train

EPOCHS = 40


STUDY = (
    *SMALL_STUDY,
    "--trials",
    "2",
    "--epochs",
    str(EPOCHS),
    "--final-epochs",
    "0",
    "--max-concurrent",
    "1",
    "--no-report",
)


def operate(what: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studies", what, str(folder), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def until(ready: Callable[[], object], process: subprocess.Popen[str], seconds: float = 300) -> None:
    began = time.monotonic()
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - began < seconds
        time.sleep(0.05)


def epochs(folder: Path) -> int:
    return sum(len(TrialFolder(path).rows()) for path in folder.glob("trials/[0-9]*"))


@pytest.mark.slow
def test_a_study_is_watched_paused_resumed_stopped_and_finished(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its result is what it would have been, and each step has the exit code that its documentation says. Commands
    whose turn is not urgent are typed in this process."""
    folder = tmp_path / "s"

    def typed(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = app([words[0], str(folder), *words[1:]], standalone_mode=False) or 0
        return code, capsys.readouterr().out

    command = [sys.executable, *map(str, STUDY), "--out", str(folder)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    until(lambda: epochs(folder) > 2, first)
    code, said = typed("status")
    assert code == 4
    assert f"running: process {first.pid} on " in said
    assert typed("pause")[0] == 0
    done = epochs(folder)
    code, said = typed("status", "--json")
    assert code == 5
    found = json.loads(said)
    assert (found["driver"]["phase"], found["planned"], found["is_finished"]) == ("paused", 2, False)
    assert sum(found["counts"].values()) == len(list(folder.glob("trials/[0-9]*")))
    assert epochs(folder) == done  # nothing trains
    assert process_of(first.pid, "RayTrainWorker") is None  # the cluster is free
    second = script(*STUDY, "--out", folder, cwd=tmp_path)
    assert second.returncode == 1
    assert f"process {first.pid} on " in second.stderr
    (before_the_pause,) = sessions_of(StudyLayout(folder))
    assert typed("resume")[0] == 0
    assert typed("pause")[0] == 0  # at once: what was paused before is no answer
    assert json.loads(typed("status", "--json")[1])["driver"]["phase"] == "paused"
    assert process_of(first.pid, "RayTrainWorker") is None
    assert typed("resume")[0] == 0
    until(lambda: epochs(folder) > done, first)

    stopped = operate("stop", folder)
    assert stopped.returncode == 0, stopped.stderr
    output = first.communicate(timeout=60)[0]
    assert first.returncode == 3, output
    assert "the study ended early: it was asked to stop; the same command goes on from there" in output
    code, said = typed("status")
    assert code == 3
    assert "not running" in said
    for what in ("pause", "resume", "stop"):
        with pytest.raises(UserError, match=f"nobody runs {folder}"):
            typed(what)

    sessions = sessions_of(StudyLayout(folder))
    assert len(sessions) == 3  # two pauses
    assert sessions[0] == before_the_pause
    assert all(one.began < one.seen <= other.began for one, other in pairwise(sessions))

    assert not (load_trials(folder)["state"] == "COMPLETE").all()
    last = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert last.returncode == 0, last.stdout + last.stderr
    assert len(sessions_of(StudyLayout(folder))) == 4
    timeline = StudyContext(read_study(folder)).of(study_figures()["timeline"])
    assert timeline.is_recorded
    code, said = typed("status", "--json")
    assert code == 0
    finished = json.loads(said)
    trials = load_trials(folder)
    torch.set_num_threads(os.cpu_count() or 1)  # as the one trial at a time has, for equality to the bit
    for number in range(2):
        record = TrialFolder(folder / f"trials/{number:04d}")
        rows = record.rows()
        alone = list(train(record.config(), TrialFolder(tmp_path / f"alone{number}"), None))
        assert timeless(rows) == timeless(alone[: len(rows)])
        cores = sum(row["cpu_seconds"] for row in rows) / 3600
        assert trials["cpu_hours"][number] == pytest.approx(cores)
    assert finished["cpu_hours"] == pytest.approx(trials["cpu_hours"].sum())
    assert finished["gpu_hours"] == 0

    would = typed("prune-checkpoints", "--keep", "1", "--dry-run")[1]
    assert len(list(folder.rglob("best.safetensors"))) == 2
    pruned = operate("prune-checkpoints", folder, "--keep", "1")
    assert pruned.returncode == 0, pruned.stderr
    assert would.removeprefix("would remove") == pruned.stdout.removeprefix("removed")
    front = trials[trials["front"]].sort_values("val_rate")["number"].tolist()
    assert [path.parents[1].name for path in folder.rglob("best.safetensors")] == [f"{front[len(front) // 2]:04d}"]


@pytest.mark.slow
def test_a_study_whose_raylet_is_gone_says_so(tmp_path: Path) -> None:
    """Ray ends its driver without a word; `tests/studies/watch/test_screen.py` kills the driver."""
    folder = tmp_path / "s"
    command = [
        *map(str, STUDY),
        "--epochs",
        "800",
        "--out",
        str(folder),
    ]  # with more it would measure how long it takes
    study = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
    )
    until(lambda: epochs(folder) > 1, study)
    raylet, driver = process_of(study.pid, "raylet/raylet"), psutil.Process(study.pid)
    assert raylet is not None
    rest, began = driver.children(recursive=True), driver.create_time()
    killed = time.time()
    raylet.kill()
    output = study.communicate(timeout=120)[0]  # its last word too: that has the same pipe
    assert study.returncode not in (0, 3)
    assert re.search(
        r"error: the study('s process was killed, .* or its Ray cluster| stopped early: Ray's node .*) is gone\n"
        r"the same command goes on from there\n$",
        output,
    )
    assert operate("status", folder).returncode == 3
    (session,) = sessions_of(StudyLayout(folder))  # as far as the last sign of life
    assert began < session.began.timestamp() <= session.seen.timestamp()
    # a driver whose raylet is gone may live on until it notices
    assert killed - session.seen.timestamp() < BEAT_SECONDS + 5
    for left in rest:  # Ray's own end by themselves, but not soon
        with suppress(psutil.Error):
            left.kill()


@pytest.mark.slow
def test_a_budget_of_hours_ends_a_study_in_order_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """15 s are enough for two trials of so many epochs on no machine."""
    command = (*STUDY, "--out", tmp_path / "s", "--epochs", "100000")
    done = script(*command, "--max-hours", str(15 / 3600), cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the study ended early: its 0.00416667 hours are over" in done.stdout
    assert "Traceback" not in done.stderr
    assert operate("status", tmp_path / "s").returncode == 3


def test_what_cannot_be_done_is_said_in_short(tmp_path: Path) -> None:
    """As a process of its own; `test_wrong_commands` has the others."""
    done = subprocess.run(
        [sys.executable, "-m", "studies", "status", "nowhere"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: STUDY must be a folder, got 'nowhere'")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
