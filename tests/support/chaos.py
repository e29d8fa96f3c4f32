"""Kill a study at random, run it again, and compare with the study that nobody touched.

    python tests/support/chaos.py --kills 200 --seed 0

At moments drawn from the seed one process of a study gets SIGKILL; where that ends the study, the same
command runs again, until it ends well. A study takes up to --each kills, one after another; one whose victim
is not there waits for it, or for the next study. With one worker and one trial at a time the tables must then
be equal to the bit, with --concurrent 2 they must hold the same trials, each ended once. The studies run on a
cluster of three nodes of which two train, and which gets a new node for one that was lost; those that lose
the GCS, and with it the whole cluster, on one of their own, as do all with --alone, where no raylet is killed.
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
from collections import deque
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from commands import TIMES, timeless
from processes import process_of, raylet_of

from analysis import load_epochs, load_trials
from cluster.local_cluster import LocalCluster, local_cluster
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

ROOT = Path(__file__).parents[2]
STUDY = (
    "--set",
    "model.width=8",
    "--limit-train",
    "600",
    "--limit-val",
    "100",
    "--epochs",
    "5",
    "--final",
    "1",
    "--final-epochs",
    "5",
    "--no-report",
)
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
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    # a raylet that has lost the GCS would wait a minute for it before it gives up, and the study with it
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}
CORES = os.cpu_count() or 1
"""Of every node: the number of threads changes the last bits."""
PATIENCE = 300.0
"""Seconds without a new epoch after which a study counts as hung."""
SPARE = 3
"""Runs beyond those that a kill may end: on a machine that is busy, Ray may not come up."""


@dataclass
class Kill:
    """One to make: of what, and so many seconds after the study's start or the kill before."""

    number: int
    victim: str
    after: float


@dataclass
class Outcome(Kill):
    """What became of it."""

    study: str
    again: bool
    """Whether the command had to be run again."""
    pause: float | None = None
    """The longest time without a new epoch until the run's end or the next kill, in seconds."""
    difference: str = ""
    """Of the study in the end, which may have taken other kills too."""


class Lab:
    """Where studies are run and killed: a cluster on this machine, or one of their own."""

    def __init__(self, trials: int, concurrent: int, cluster: LocalCluster | None = None) -> None:
        self._trials, self._concurrent, self._cluster = trials, concurrent, cluster

    def start(self, out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, ROOT / "studies/digits_vae.py", *STUDY, "--out", out]
        command += ["--trials", self._trials, "--max-concurrent", self._concurrent]
        if self._cluster:
            command += ["--address", self._cluster.address]
        with out.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, start_new_session=True, env=os.environ | ENVIRONMENT
            )

    def strike(self, study: subprocess.Popen[bytes], kind: str) -> bool:
        """Kill a process of ``study`` of this kind, if there is one now."""
        if kind == "raylet":
            return self._lose_node()
        pids = [node.pid for node in self._cluster.nodes] if self._cluster else [study.pid]
        found = (process_of(pid, VICTIMS[kind]) for pid in pids)
        victim = psutil.Process(study.pid) if kind == "driver" else next(filter(None, found), None)
        if victim is not None:
            victim.kill()
        return victim is not None

    def _lose_node(self) -> bool:
        assert self._cluster
        for node in self._cluster.nodes[1:]:
            if process_of(node.pid, VICTIMS["raylet"]):
                raylet_of(node).kill()
                self._cluster.nodes.remove(node)
                self._cluster.add_node(CORES)
                return True
        return False


def epochs_done(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("trials/*/metrics.jsonl"))


def batter(out: Path, kills: deque[Kill], each: int, lab: Lab, settled: int = 0) -> tuple[list[Outcome], str]:
    """Run a study in ``out`` until it ends well, under as many of ``kills`` as ``each`` says and it meets once it
    has ``settled`` epochs; they, and in words how it ended if not well."""
    made: list[Outcome] = []
    for _ in range(each + SPARE):
        study = lab.start(out)
        began = last = time.monotonic()
        done = epochs_done(out)
        struck: Outcome | None = None
        while study.poll() is None and time.monotonic() - last < PATIENCE:
            now = time.monotonic()
            if (epochs := epochs_done(out)) > done:
                if struck:
                    struck.pause = max(struck.pause or 0.0, now - max(last, began))
                done, last = epochs, now
            due = kills and len(made) < each and epochs >= settled and now - began > kills[0].after
            if due and lab.strike(study, kills[0].victim):
                struck = Outcome(**asdict(kills.popleft()), study=out.name, again=False)
                made.append(struck)
                began = time.monotonic()
            time.sleep(0.05)
        code = ended(study)
        if code == 0:
            return made, ""
        if struck is not None:
            struck.again = True
    return made, f"it did not end well, but with {code}"


def ended(study: subprocess.Popen[bytes]) -> int:
    """The exit status; a study that hangs is killed, with all that it started."""
    code = study.poll()
    with suppress(ProcessLookupError):
        os.killpg(study.pid, signal.SIGKILL)
    study.wait()
    return -99 if code is None else code


def difference(expected: Path, got: Path, concurrent: int) -> str:
    """What a crash changed, in words; empty if nothing."""
    wanted, found = load_trials(expected), load_trials(got)
    if concurrent > 1:
        ends = [sorted(zip(f["number"], f["state"] != "INTERRUPTED", strict=True)) for f in (wanted, found)]
        return "" if ends[0] == ends[1] else f"trials {ends[1]}"
    for name, frames in (("trials", (wanted, found)), ("epochs", (load_epochs(expected), load_epochs(got)))):
        left, right = (f.drop(columns=[*TIMES, "seconds", "cpu_hours", "gpu_hours"], errors="ignore") for f in frames)
        if not left.equals(right):
            same = left.shape == right.shape
            where = left.compare(right).iloc[0].to_dict() if same else f"{len(right)} rows"
            return f"{name} differ: {where}"
    finals = [{it.name: timeless(TrialFolder(it).rows()) for it in StudyLayout(f).finals()} for f in (expected, got)]
    return "" if finals[0] == finals[1] else f"final trainings differ: {finals}"


def main(
    kills: Annotated[int, typer.Option(help="How many in all.")] = 200,
    seed: Annotated[int, typer.Option(help="Of victims and moments.")] = 0,
    each: Annotated[int, typer.Option(help="Kills that one study takes at most.")] = 1,
    trials: Annotated[int, typer.Option(help="Of each study.")] = 7,
    concurrent: Annotated[int, typer.Option(help="Trials at once.")] = 1,
    settled: Annotated[int, typer.Option(help="Epochs that a study has before its first kill.")] = 0,
    latest: Annotated[float, typer.Option(help="Of an untouched study's time, until a kill.")] = 0.5,
    first: Annotated[int, typer.Option(help="Leave out the kills before this one: they were made.")] = 0,
    victim: Annotated[list[str], typer.Option(help="Kill these in turns: " + ", ".join(VICTIMS))] = [],  # noqa: B006
    alone: Annotated[bool, typer.Option("--alone", help="Each study on a cluster of its own.")] = False,
    out: Annotated[Path, typer.Option(help="Where the studies go; emptied first.")] = Path("chaos"),
) -> None:
    """Kill studies and compare; exits with 1 where a kill changed a study."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    draw = random.Random(seed)
    outcomes: list[Outcome] = []
    with nullcontext() if alone else local_cluster([0, CORES, CORES]) as cluster:
        shared = Lab(trials, concurrent, cluster)
        whole = out / "whole"
        began = time.monotonic()
        fault = batter(whole, deque(), 0, shared)[1]
        assert not fault, f"the untouched study: {fault}"
        # a share of what it takes here, so that each study meets one on a machine of any speed
        seconds = latest * (time.monotonic() - began)
        kinds = [victim[it % len(victim)] if victim else draw.choice(list(VICTIMS)) for it in range(kills)]
        planned = [Kill(number, kind, draw.uniform(0.0, seconds)) for number, kind in enumerate(kinds)][first:]
        for place, of_gcs in ((shared, False), (Lab(trials, concurrent), True)):
            waiting = deque(kill for kill in planned if (kill.victim == "GCS" and not alone) == of_gcs)
            while waiting:
                folder = out / f"study-{waiting[0].number:03d}"
                made, fault = batter(folder, waiting, each, place, settled)
                assert made or not fault, f"a study that nobody touched: {fault}"
                changed = fault or difference(whole, folder, concurrent)
                for outcome in made:
                    outcome.difference = changed
                    print(json.dumps({"seed": seed, **asdict(outcome)}), flush=True)
                outcomes += made
                if not changed:
                    shutil.rmtree(folder)
    report(outcomes)
    sys.exit(any(o.difference for o in outcomes))


def report(outcomes: list[Outcome]) -> None:
    """A Markdown table, a line a victim."""
    print("\n| victim | kills | changed the study | command run again | median pause, s |")
    print("|---|---|---|---|---|")
    for kind in VICTIMS:
        mine = [o for o in outcomes if o.victim == kind]
        times = [o.pause for o in mine if o.pause is not None and not o.again]
        median = f"{statistics.median(times):.1f}" if times else "-"
        cells = (len(mine), sum(bool(o.difference) for o in mine), sum(o.again for o in mine), median)
        print(f"| {kind} | " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    typer.run(main)
