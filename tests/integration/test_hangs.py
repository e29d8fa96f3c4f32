"""What stops answering, has no room, or loses its disk: the study recovers or ends with the reason, in time,
and the same command takes it up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.commands import ROOT, SMALL_STUDY, script
from support.processes import is_gone, process_of, raylet_of

from analysis import load_trials
from cluster.local_cluster import LocalCluster, local_cluster
from trainables.records.trial_folder import TrialFolder

pytestmark = [pytest.mark.slow, pytest.mark.alone]

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
    "--patience",
    "8",
)


class Running:
    """A study in a process of its own, in ``folder``."""

    def __init__(self, folder: Path, *options: str | Path) -> None:
        self.folder = folder
        self.options = (*STUDY, "--out", folder, *options)
        self.start()

    def start(self) -> None:
        """Run its command, once more where it has ended."""
        self.process = subprocess.Popen(
            [sys.executable, *map(str, self.options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder.parent,
        )

    def part(self, kind: str) -> psutil.Process:
        """Its process of this kind."""
        found = process_of(self.process.pid, kind)
        assert found is not None
        return found

    def epochs(self) -> int:
        return sum(len(TrialFolder(path).rows()) for path in self.folder.glob("trials/[0-9]*"))

    def until(self, ready: Callable[[], object], seconds: float = 240) -> None:
        began = time.monotonic()
        while not ready():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() - began < seconds
            time.sleep(0.05)

    def trains(self) -> None:
        """Wait for epochs to come in."""
        before = self.epochs()
        self.until(lambda: self.epochs() > before + 1)

    def ends(self, seconds: float = 200) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=seconds)
        assert "Traceback" not in output, output
        return self.process.returncode, output

    def goes_on(self) -> None:
        """The same command finishes the study."""
        done = script(*self.options, cwd=self.folder.parent)
        assert done.returncode == 0, done.stdout + done.stderr
        assert is_whole(self.folder)


def is_whole(folder: Path) -> bool:
    trials = load_trials(folder)
    return list(trials["state"]) == ["COMPLETE"] * 2 and list(trials["epochs"]) == [EPOCHS] * 2


def test_who_stops_answering_is_replaced_or_ends_the_study_as_does_a_folder_that_vanishes(tmp_path: Path) -> None:
    """A worker is replaced, and the study goes on; without its mailbox or its folder it ends with the reason."""
    study = Running(tmp_path / "s")
    study.trains()
    worker = study.part("RayTrainWorker")
    worker.send_signal(signal.SIGSTOP)
    study.until(lambda: process_of(study.process.pid, "RayTrainWorker") not in (None, worker))
    study.trains()
    assert is_gone(worker)
    mailbox = study.part("ray::Mailbox")
    mailbox.send_signal(signal.SIGSTOP)
    code, output = study.ends()
    assert code == 1, output
    assert "the study stopped early: the mailbox did not answer for 8 s" in output
    assert is_gone(mailbox)

    study.start()
    study.trains()
    study.folder.rename(tmp_path / "elsewhere")
    code, output = study.ends()
    assert code == 1, output
    assert "the study stopped early" in output
    assert not (study.folder / "trials").exists()
    if study.folder.exists():
        study.folder.rmdir()
    (tmp_path / "elsewhere").rename(study.folder)
    study.goes_on()


def node_at_work(cluster: LocalCluster) -> subprocess.Popen[bytes] | None:
    """The node of a Train worker, if there is one."""
    return next((n for n in cluster.nodes[1:] if process_of(n.pid, "RayTrainWorker")), None)


def test_nodes_that_leave_are_survived_and_without_room_the_study_says_so(tmp_path: Path) -> None:
    with local_cluster([0, 1, 1]) as cluster:
        study = Running(tmp_path / "s", "--address", cluster.address)
        for _ in range(2):
            study.until(lambda: node_at_work(cluster))
            study.trains()
            node = node_at_work(cluster)
            assert node is not None
            raylet_of(node).kill()
            study.until(lambda left=node: node_at_work(cluster) is not left)  # type: ignore[misc]
        code, output = study.ends()
        assert code == 1, output
        assert "the study stopped early: slot " in output
        assert "the same command goes on from there" in output
        cluster.add_node(1)
        study.goes_on()


def test_a_cluster_that_is_in_use_is_one_clear_error_and_its_user_leaves_nothing(tmp_path: Path) -> None:
    with local_cluster([1]) as cluster:
        first = Running(tmp_path / "first", "--address", cluster.address, "--epochs", "100000")
        first.trains()
        second = Running(tmp_path / "second", "--address", cluster.address)
        code, output = second.ends()
        assert code == 1, output
        assert "could not be opened" in output
        first.process.send_signal(signal.SIGINT)
        code, output = first.ends()
        assert code == 130, output
        left = script(ROOT / "tests/support/leftovers.py", cluster.address, cwd=tmp_path)
        assert left.stdout.split() == ["0", "actors,", "0", "placement", "groups"], left.stderr + left.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small tmpfs, and not in every container")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_stops_the_study_and_loses_nothing(small_disk: Path) -> None:
    study = Running(small_disk / "s")
    study.trains()
    ballast = small_disk / "ballast"
    fill(ballast)
    code, output = study.ends()
    assert code == 1, output
    assert "No space left on device" in output or "disk is full" in output, output
    ballast.unlink()
    study.goes_on()
