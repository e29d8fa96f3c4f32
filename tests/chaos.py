"""Kill a study at random, run it again, and compare with the study that nobody touched.

    python tests/chaos.py --kills 200 --seed 0

One run a kill: the study starts in a new folder; at a moment drawn from the seed one process of it gets
SIGKILL; the same command runs again until it ends well. With one worker and one trial at a time the tables
must be equal to the bit, with --concurrent 2 they must hold the same trials, each ended once. For "raylet",
the study runs on a cluster of a head and two more nodes, and loses the node that trains.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from processes import process_of

from analysis import load_epochs, load_trials
from cluster.local import LocalCluster, local_cluster

ROOT = Path(__file__).parent.parent
TIMES = ["images_per_second", "epoch_seconds", "seconds"]
STUDY = (
    "--set", "model.width=8", "--limit-val", "100", "--trials", "7", "--epochs", "5", "--final-epochs", "5",
    "--no-report",
)  # fmt: skip
VICTIMS = {
    # what is killed, and how its process is recognised among the study's descendants
    "driver": "",
    "Train worker": "RayTrainWorker",
    "Train controller": "TrainController",
    "mailbox": "ray::Mailbox",
    "Tune actor": "ImplicitFunc",
    "GCS": "gcs_server",
    "raylet": "RayTrainWorker",
}
CORES = os.cpu_count() or 1
"""Of every node: the number of threads changes the last bits."""
PATIENCE = 300.0
"""Seconds after which a study that does not end counts as hung."""


@dataclass
class Outcome:
    """What became of one kill."""

    victim: str
    moment: float
    hit: bool
    runs: int
    pause: float | None
    """The longest time without a new epoch from the kill to the end of that run, in seconds."""
    difference: str


class Lab:
    """Where studies are run and killed: a cluster on this machine, or one of their own."""

    def __init__(self, concurrent: int, cluster: LocalCluster | None = None) -> None:
        self.concurrent, self._cluster = concurrent, cluster

    def start(self, out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, ROOT / "studies/digits_vae.py", *STUDY, "--out", out]
        command += ["--max-concurrent", self.concurrent]
        if self._cluster:
            command += ["--address", self._cluster.address]
        with out.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip

    def victim(self, study: subprocess.Popen[bytes], kind: str) -> psutil.Process | None:
        """A process of ``study`` of this kind, if there is one now."""
        if kind == "driver":
            return psutil.Process(study.pid)
        if kind != "raylet":
            pids = [node.pid for node in self._cluster.nodes] if self._cluster else [study.pid]
            return next(filter(None, (process_of(pid, VICTIMS[kind]) for pid in pids)), None)
        assert self._cluster
        for node in self._cluster.nodes[1:]:
            if process_of(node.pid, VICTIMS[kind]):
                return self._cluster.raylet(node)
        return None


@contextmanager
def lab(kind: str, shared: Lab) -> Iterator[Lab]:
    """Where a victim of this kind is killed: the shared cluster, unless that would go down with it."""
    if kind == "GCS":
        yield Lab(shared.concurrent)
    elif kind == "raylet":
        with local_cluster([0, CORES, CORES]) as cluster:
            yield Lab(shared.concurrent, cluster)
    else:
        yield shared


def epochs_done(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("trials/*/metrics.jsonl"))


def one_kill(out: Path, kind: str, moment: float, lab: Lab) -> tuple[bool, int, float | None]:
    """(whether the victim was there, runs that it took, `Outcome.pause`)."""
    study = lab.start(out)
    time.sleep(moment)
    victim = None
    while victim is None and study.poll() is None:  # it may not be there yet
        victim = lab.victim(study, kind)
        time.sleep(0.02)
    pauses = []
    if victim is not None:
        victim.kill()
        done, since = epochs_done(out), time.monotonic()
        while study.poll() is None and time.monotonic() - since < PATIENCE:
            if (now := epochs_done(out)) > done:
                pauses.append(time.monotonic() - since)
                done, since = now, time.monotonic()
            time.sleep(0.05)
    code = ended(study)
    runs = 1
    while code != 0 and runs < 4:
        code = ended(lab.start(out))
        runs += 1
    return victim is not None, runs if code == 0 else -1, max(pauses, default=None)


def ended(study: subprocess.Popen[bytes]) -> int:
    """The exit status; a study that hangs is killed, with all that it started."""
    try:
        code = study.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        code = -99
    with suppress(ProcessLookupError):
        os.killpg(study.pid, signal.SIGKILL)
    return code


def difference(expected: Path, got: Path, concurrent: int) -> str:
    """What a crash changed, in words; empty if nothing."""
    wanted, found = load_trials(expected), load_trials(got)
    if concurrent > 1:
        ends = [sorted(zip(f["number"], f["state"] != "RUNNING", strict=True)) for f in (wanted, found)]
        return "" if ends[0] == ends[1] else f"trials {ends[1]}"
    for name, frames in (("trials", (wanted, found)), ("epochs", (load_epochs(expected), load_epochs(got)))):
        left, right = (f.drop(columns=TIMES, errors="ignore") for f in frames)
        if not left.equals(right):
            same = left.shape == right.shape
            where = left.compare(right).iloc[0].to_dict() if same else f"{len(right)} rows"
            return f"{name} differ: {where}"
    return ""


def main(
    kills: Annotated[int, typer.Option(help="How many runs, each with one kill.")] = 200,
    seed: Annotated[int, typer.Option(help="Of victims and moments.")] = 0,
    concurrent: Annotated[int, typer.Option(help="Trials at once.")] = 1,
    first: Annotated[int, typer.Option(help="Leave out the runs before this one: they were made.")] = 0,
    victim: Annotated[str | None, typer.Option(help="Kill this alone: " + ", ".join(VICTIMS))] = None,
    out: Annotated[Path, typer.Option(help="Where the studies go; emptied first.")] = Path("chaos"),
) -> None:
    """Kill studies and compare; exits with 1 where a kill changed a study."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with local_cluster([CORES]) as cluster:
        shared = Lab(concurrent, cluster)
        began = time.monotonic()
        assert ended(shared.start(out / "whole")) == 0, "the study does not run at all"
        duration = time.monotonic() - began
        print(f"an untouched study takes {duration:.0f} s", file=sys.stderr)
        draw = random.Random(seed)
        outcomes = []
        for number in range(kills):
            kind, moment = victim or draw.choice(list(VICTIMS)), draw.uniform(0.1, 1.0) * duration
            if number < first:
                continue
            folder = out / f"kill-{number:03d}"
            with lab(kind, shared) as place:
                hit, runs, pause = one_kill(folder, kind, moment, place)
            changed = "it did not end well" if runs < 0 else difference(out / "whole", folder, concurrent)
            outcomes.append(Outcome(kind, moment, hit, runs, pause, changed))
            print(json.dumps({"number": number, "seed": seed, **asdict(outcomes[-1])}), flush=True)
            if not changed:
                shutil.rmtree(folder)
    report(outcomes)
    sys.exit(any(o.difference for o in outcomes))


def report(outcomes: list[Outcome]) -> None:
    """A Markdown table, a line a victim."""
    print("\n| victim | kills | missed | changed the study | command run again | median pause, s |")
    print("|---|---|---|---|---|---|")
    for kind in VICTIMS:
        mine = [o for o in outcomes if o.victim == kind]
        times = [o.pause for o in mine if o.pause is not None and o.runs == 1]
        median = f"{statistics.median(times):.1f}" if times else "-"
        cells = (
            len(mine), sum(not o.hit for o in mine), sum(bool(o.difference) for o in mine),
            sum(o.runs > 1 for o in mine), median,
        )  # fmt: skip
        print(f"| {kind} | " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    typer.run(main)
