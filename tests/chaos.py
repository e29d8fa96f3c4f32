"""Kill a study at random, run it again, and compare with the study that nobody touched.

    python tests/chaos.py --kills 200 --seed 0

One run a kill: the study starts in a new folder; at a moment drawn from the seed one process of it gets
SIGKILL; the same command runs again until it ends well. With one worker and one trial at a time the tables
must be equal to the bit, with --concurrent 2 they must hold the same trials, each ended once.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer

from analysis import load_epochs, load_trials

ROOT = Path(__file__).parent.parent
TIMES = ["images_per_second", "epoch_seconds", "seconds"]
STUDY = (
    "--set", "model.width=8", "--limit-val", "100", "--trials", "7", "--epochs", "3", "--final-epochs", "3",
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
}
PATIENCE = 300.0
"""Seconds after which a study that does not end counts as hung."""


@dataclass
class Outcome:
    """What became of one kill."""

    victim: str
    moment: float
    hit: bool
    runs: int
    seconds_to_next_epoch: float | None
    difference: str


def start(out: Path, concurrent: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, ROOT / "studies/digits_vae.py", *STUDY, "--out", out]
    log = out.with_suffix(".log").open("ab")
    return subprocess.Popen(
        [*map(str, command), "--max-concurrent", str(concurrent)],
        stdout=log, stderr=log, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def victim_of(study: subprocess.Popen[bytes], kind: str) -> psutil.Process | None:
    """A process of ``study`` of this kind, if there is one now."""
    driver = psutil.Process(study.pid)
    if kind == "driver":
        return driver
    for process in driver.children(recursive=True):
        try:
            if VICTIMS[kind] in " ".join(process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


def epochs_done(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("trials/*/metrics.jsonl"))


def one_kill(out: Path, kind: str, moment: float, concurrent: int) -> tuple[bool, int, float | None]:
    """(whether the victim was there, runs that it took, seconds from the kill to the next recorded epoch)."""
    study = start(out, concurrent)
    time.sleep(moment)
    victim = None
    while victim is None and study.poll() is None:  # it may not be there yet
        victim = victim_of(study, kind)
        time.sleep(0.02)
    recovered = None
    if victim is not None:
        before, killed = epochs_done(out), time.monotonic()
        victim.kill()
        while study.poll() is None and time.monotonic() - killed < PATIENCE:
            if recovered is None and epochs_done(out) > before:
                recovered = time.monotonic() - killed
            time.sleep(0.05)
    code = ended(study)
    runs = 1
    while code != 0 and runs < 4:
        code = ended(start(out, concurrent))
        runs += 1
    return victim is not None, runs if code == 0 else -1, recovered


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
            where = left.compare(right).to_dict() if left.shape == right.shape else f"{len(right)} rows"
            return f"{name} differ: {where}"
    return ""


def main(
    kills: Annotated[int, typer.Option(help="How many runs, each with one kill.")] = 200,
    seed: Annotated[int, typer.Option(help="Of victims and moments.")] = 0,
    concurrent: Annotated[int, typer.Option(help="Trials at once.")] = 1,
    victim: Annotated[str | None, typer.Option(help="Kill this alone: " + ", ".join(VICTIMS))] = None,
    out: Annotated[Path, typer.Option(help="Where the studies go; emptied first.")] = Path("chaos"),
) -> None:
    """Kill studies and compare; exits with 1 where a kill changed a study."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    began = time.monotonic()
    assert ended(start(out / "whole", concurrent)) == 0, "the study does not run at all"
    duration = time.monotonic() - began
    print(f"an untouched study takes {duration:.0f} s", flush=True)
    draw = random.Random(seed)
    outcomes = []
    for number in range(kills):
        kind, moment = victim or draw.choice(list(VICTIMS)), draw.uniform(0.1, 1.0) * duration
        folder = out / f"kill-{number:03d}"
        hit, runs, recovered = one_kill(folder, kind, moment, concurrent)
        changed = "it did not end well" if runs < 0 else difference(out / "whole", folder, concurrent)
        outcomes.append(Outcome(kind, moment, hit, runs, recovered, changed))
        print(f"{number:3d} {outcomes[-1]}", flush=True)
        if not changed:
            shutil.rmtree(folder)
    report(outcomes)
    sys.exit(any(o.difference for o in outcomes))


def report(outcomes: list[Outcome]) -> None:
    """A Markdown table, a line a victim."""
    print("\n| victim | kills | missed | changed the study | command run again | median s to next epoch |")
    print("|---|---|---|---|---|---|")
    for kind in VICTIMS:
        mine = [o for o in outcomes if o.victim == kind]
        times = [o.seconds_to_next_epoch for o in mine if o.seconds_to_next_epoch is not None and o.runs == 1]
        median = f"{statistics.median(times):.1f}" if times else "-"
        cells = (
            len(mine), sum(not o.hit for o in mine), sum(bool(o.difference) for o in mine),
            sum(o.runs > 1 for o in mine), median,
        )  # fmt: skip
        print(f"| {kind} | " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    typer.run(main)
