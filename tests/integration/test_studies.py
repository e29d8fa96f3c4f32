"""Whole studies, as a person runs them: real Ray clusters and real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.commands import ROOT, script

from analysis import load_best, load_epochs, load_trials
from analysis.reading.frames import load_repeats
from analysis.statistics.pareto import spread
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.training.checkpoint import load_latest
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
    idle = script(*command, "--out", "s", cwd=tmp_path)
    assert idle.returncode == 0
    assert "Ray dashboard" not in idle.stdout


@pytest.mark.slow
def test_a_killed_study_continues_to_the_same_result(tmp_path: Path) -> None:
    """SIGKILL to the driver, then the same command: with one trial at a time, the same study to the bit."""
    command = [ROOT / "studies/digits_vae.py", *SMALL, "--trials", "7", "--max-concurrent", "1", "--final-epochs", "2"]
    whole = script(*command, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr

    killed = subprocess.Popen(
        [sys.executable, *map(str, command), "--out", "killed"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(list(tmp_path.glob("killed/trials/0003/checkpoints/epoch_*.pt"))) == 0:
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (load_trials(tmp_path / "killed")["state"] == "COMPLETE").all()
    resumed = script(*command, "--out", "killed", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr

    columns = ["number", "state", "beta", "latent_dim", "depth", "epochs", "val_bits_per_dim", "val_rate"]
    expected, got = load_trials(tmp_path / "whole"), load_trials(tmp_path / "killed")
    assert got[columns].equals(expected[columns])
    assert len(load_epochs(tmp_path / "killed")) == expected["epochs"].sum()
    finals = [StudyLayout(tmp_path / name).finals() for name in ("killed", "whole")]
    assert len(finals[0]) in (1, 2, 3)
    configs = [{path.name: TrialFolder(path).config() for path in paths} for paths in finals]
    assert configs[0] == configs[1]
    assert load_best(tmp_path / "killed").sample(1).numpy().shape == (1, 1, 28, 28)

    # a finished study is not run again, a larger budget extends it, another question is refused
    start = time.monotonic()
    again = script(*command, "--out", "whole", cwd=tmp_path)
    assert again.returncode == 0
    assert "Ray dashboard" not in again.stdout, time.monotonic() - start
    more = script(*command, "--out", "whole", "--trials", "8", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    extended = load_trials(tmp_path / "whole")
    assert len(extended) == 8
    assert extended[columns].head(7).equals(expected[columns])
    other = script(*command, "--out", "whole", "--set", "lr=0.5", cwd=tmp_path)
    assert other.returncode == 2
    assert "--set lr: 0.004 in the folder, 0.5 now" in other.stderr
    foreign = script(ROOT / "studies/mnist_vae.py", "--out", "whole", "--set", "dataset=digits", cwd=tmp_path)
    assert foreign.returncode == 2
    assert "holds another study" in foreign.stderr


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_leaves_no_process(tmp_path: Path) -> None:
    """Once; `tests/studies/watch/test_screen.py` presses it twice."""
    command = [
        sys.executable,
        str(ROOT / "studies/digits_vae.py"),
        *SMALL,
        "--out",
        "s",
        "--trials",
        "2",
        "--max-concurrent",
        "1",
        "--epochs",
        "400",
    ]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = TrialFolder(tmp_path / "s/trials/0000")
    while len(record.rows()) < 2:
        assert running.poll() is None
        time.sleep(0.05)
    started = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert "interrupted: s keeps what is done; the same command goes on from there" in output
    assert "stopping after the running epochs" in output
    assert "Traceback" not in output + errors
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
    assert list(load_trials(tmp_path / "s")["state"]) == ["INTERRUPTED"]
    # the epochs that were reported are recorded, and the checkpoint to go on from is there
    assert 2 <= len(record.rows()) < 400
    assert load_latest(record.checkpoints, record.config(), "cpu") is not None


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
