"""The command line of a single model, as a person runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from support.commands import ROOT, script

from main import find_folder
from trainables.config import TrialConfig
from trainables.records.atomic_files import seal, unseal
from trainables.records.trial_folder import TrialFolder
from trainables.training.checkpoint import load_weights

FAST = ("--dataset", "digits", "--latent_dim", "4", "--limit_train", "200", "--limit_val", "20")


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_a_training_from_before_a_field_was_added_is_found(tmp_path: Path) -> None:
    """Under whatever hash its folder has; another config never shares one."""
    config = TrialConfig(dataset="digits")
    new = find_folder(tmp_path, config)
    assert not new.path.exists()
    older = TrialFolder(tmp_path / "digits_vae_latent32_depth0_0ldh45")
    older.create(config)
    sealed = older.path / "config.json"
    sealed.write_text(seal({k: v for k, v in unseal(sealed.read_text()).items() if k != "compile"}))
    assert find_folder(tmp_path, config).path == older.path
    for other in (config.replace({"lr": 0.5}), config.replace({"epochs": config.epochs + 1})):
        assert find_folder(tmp_path, other).path not in (older.path, new.path)


@pytest.mark.slow
def test_a_model_is_trained_drawn_and_continued(tmp_path: Path) -> None:
    command = (ROOT / "main.py", "--model", "VAE", *FAST, "--vae_mode", "pp", "--epochs", "2", "--visualize")
    done = script(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "bits_per_dim" in done.stdout
    folder = TrialFolder(only(tmp_path, "models/VAE/digits_vae_latent4_depth1_*"))
    assert len(folder.rows()) == 2
    model, metrics = load_weights(folder.best)
    assert (model.config.depth, model.config.latent_dim) == (1, 4)
    figures = {}
    for kind in ("recon", "pca", "umap", "interp", "noise"):
        path = only(tmp_path, f"visu/digits_vae/{kind}/*_epoch_{int(metrics['epoch']):04d}.png")
        figures[kind] = Image.open(path).convert("L")
        assert min(figures[kind].size) > 200
        low, high = figures[kind].getextrema()
        assert high - low > 100, kind
    assert only(tmp_path, "visu/digits_vae/loss_*_epoch_*.png").stat().st_size > 5000

    again = script(*command[:-1], cwd=tmp_path)
    assert again.returncode == 0
    assert "holds 2 of 2 epochs" in again.stdout


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "main.py"), *FAST, "--epochs", "400"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("models/VAE/*/checkpoints/epoch_0002.*.pt")):
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    assert running.stdout
    output = next(line for line in running.stdout if "interrupted" in line)
    running.send_signal(signal.SIGTERM)  # once more changes nothing
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    (folder,) = tmp_path.glob("models/VAE/*")
    assert f"interrupted: {folder.relative_to(tmp_path)} keeps what is done; the same command goes on" in output
    assert "Traceback" not in errors
    folder = TrialFolder(only(tmp_path, "models/VAE/*"))
    assert 1 <= len(folder.rows()) < 400
    assert json.loads((folder.path / "config.json").read_text())["epochs"] == 400


def test_a_wrong_request_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """As a process of its own; `test_wrong_commands` has the others."""
    done = script(ROOT / "main.py", "--dataset", "digits", "--latent_dim", "0", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: --latent_dim must be at least 1, got 0\n")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
