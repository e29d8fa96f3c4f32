"""Whole studies, as a person runs them: real Ray clusters and real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import ROOT, script

from analysis import load_trials
from analysis.reading.frames import load_repeats
from analysis.statistics.pareto import spread
from trainables.records.trial_folder import TrialFolder
from trainables.training.loop import fit
from trainables.training.trial import load_pixels

SMALL = ("--set", "model.width=4", "--limit-train", "200", "--limit-val", "50", "--epochs", "3", "--no-report")


@pytest.mark.slow
def test_trials_of_the_front_are_repeated_with_other_seeds_whatever_is_killed(tmp_path: Path) -> None:
    command = [ROOT / "studies/digits_vae.py", *SMALL, "--trials", "4", "--final-epochs", "0", "--seeds", "2"]
    killed = subprocess.Popen(
        [sys.executable, *map(str, command), "--out", "s"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("s/repeats/*/02/metrics.jsonl")):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = len(load_repeats(tmp_path / "s"))
    done = script(*command, "--out", "s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials, repeats = load_trials(tmp_path / "s"), load_repeats(tmp_path / "s")
    front = trials[trials["front"]]
    chosen = spread(front["val_rate"].to_numpy(), front["val_distortion"].to_numpy(), 3)
    best = sorted(front["number"].iloc[chosen])
    assert repeats["number"].tolist() == sorted(best * 2)
    assert before < len(repeats)
    assert set(repeats["state"]) == {"COMPLETE"}
    assert repeats["val_bits_per_dim"].nunique() == len(repeats)
    # an oracle: the same config, trained here
    config = TrialFolder(tmp_path / f"s/trials/{best[0]:04d}").config()
    again = config.of_repeat(2)
    assert again == config.replace({"seed": again.seed})
    rows = [epoch.metrics for epoch in fit(again, *load_pixels(again, None, "cpu"))]
    assert repeats["val_bits_per_dim"][1] == pytest.approx(again.best_row(rows)["val_bits_per_dim"], rel=1e-5)
    # a finished study is not run again, and another question is refused
    idle = script(*command, "--out", "s", cwd=tmp_path)
    assert idle.returncode == 0
    assert "Ray dashboard" not in idle.stdout
    other = script(*command, "--out", "s", "--set", "lr=0.5", cwd=tmp_path)
    assert other.returncode == 2
    assert "--set lr: 0.004 in the folder, 0.5 now" in other.stderr
    foreign = script(ROOT / "studies/mnist_vae.py", "--out", "s", "--set", "dataset=digits", cwd=tmp_path)
    assert foreign.returncode == 2
    assert "holds another study" in foreign.stderr


@pytest.mark.slow
def test_a_study_whose_trials_all_fail_ends_says_why_and_keeps_its_slots(tmp_path: Path) -> None:
    diverge = ("--set", "lr=1e30", "--set", "grad_clip=1e30")
    done = script(ROOT / "studies/digits_vae.py", *SMALL, *diverge, "--trials", "3", "--out", "bad", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no trial of bad completed (3 failed)" in done.stderr
    assert "the first cause: non-finite at epoch 1" in done.stderr
    assert done.stdout.count("trial 1 failed: non-finite at epoch 1") == 1
    assert "Traceback" not in done.stdout + done.stderr
    frame = load_trials(tmp_path / "bad")
    assert list(frame["state"]) == ["FAIL"] * 3
    assert frame["cause"].str.startswith("non-finite at epoch 1: ").all()
