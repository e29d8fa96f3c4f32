"""Frames against what was put into the folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from support.analysis_fixture import BASE, SIX, Made, build_study, metrics

from analysis import load_epochs, load_trials


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("six") / "study", final_bits=[2.6, 2.4, 2.35, 2.37])


def test_a_row_a_trial_holds_what_was_recorded(six: Path) -> None:
    trials = load_trials(six)
    assert trials["number"].tolist() == list(range(6))
    assert trials["state"].tolist() == ["INTERRUPTED" if made.state == "RUNNING" else made.state for made in SIX]
    assert trials["beta"].tolist() == [made.params["beta"] for made in SIX]
    assert trials["latent_dim"].tolist() == [made.params["model.latent_dim"] for made in SIX]
    assert trials["epochs"].tolist() == [len(made.bits) for made in SIX]
    assert trials["best_epoch"].fillna(0).tolist() == [2, 3, 1, 0, 3, 1]
    first = metrics(2, 2.5, BASE.replace(SIX[0].params))
    for name in ("val_bits_per_dim", "val_nelbo", "val_rate", "val_distortion", "val_mse", "val_active_units"):
        assert trials[name][0] == first[name]
    assert trials["seconds"][0] == 4.5
    assert (trials["cpu_hours"][0], trials["gpu_hours"][0]) == (9 / 3600, 4.5 / 3600)
    assert trials["cause"][3] == "non-finite <script>"
    assert trials.loc[3, ["val_nelbo", "best_epoch", "seconds"]].isna().all()


def test_dtypes_are_the_documented_ones_even_of_an_empty_study(six: Path, tmp_path: Path) -> None:
    empty = load_trials(build_study(tmp_path / "empty", trials=[]))
    assert len(empty) == 0
    pd.testing.assert_series_equal(empty.dtypes, load_trials(six).dtypes)
    assert str(empty["latent_dim"].dtype) == "Int64"
    states = ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "INTERRUPTED", "WAITING"]
    assert list(empty["state"].cat.categories) == states
    assert len(load_epochs(tmp_path / "empty")) == 0


def test_a_row_a_trial_and_epoch(six: Path) -> None:
    epochs = load_epochs(six)
    assert len(epochs) == sum(len(made.bits) for made in SIX)
    fourth = epochs[epochs["number"] == 4]
    assert fourth["val_bits_per_dim"].tolist() == list(SIX[4].bits)
    assert fourth["epoch"].tolist() == [1, 2, 3]
    assert {"beta", "latent_dim", "depth", "state", "train_loss", "sigma"} <= set(epochs)


def test_other_searched_paths_are_columns_and_fixed_axes_are_the_base_s(tmp_path: Path) -> None:
    space = {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "optimizer": CategoricalDistribution(["adam", "adamw"]),
        "epochs": IntDistribution(1, 5),
    }
    made = Made("COMPLETE", {"lr": 0.002, "optimizer": "adamw", "epochs": 2}, [3.0, 2.9])
    folder = build_study(tmp_path / "study", [made], space=space)
    trials = load_trials(folder)
    assert trials[["lr", "optimizer", "param.epochs", "epochs"]].iloc[0].tolist() == [0.002, "adamw", 2, 2]
    epochs = load_epochs(folder)
    assert epochs.columns.is_unique
    assert epochs[["epoch", "lr", "epoch.lr"]].to_numpy().tolist() == [[1, 0.002, 0.001], [2, 0.002, 0.001]]
    assert trials[["beta", "latent_dim", "depth"]].iloc[0].tolist() == [1.0, 8, 0]


def test_a_waiting_trial_has_no_parameters_yet(tmp_path: Path) -> None:
    trials = load_trials(build_study(tmp_path / "study", [Made("WAITING", {}), SIX[0]]))
    assert trials.loc[0, ["beta", "latent_dim", "depth", "val_nelbo"]].isna().all()
    assert trials.loc[1, "latent_dim"] == 8


def test_the_frames_import_little() -> None:
    heavy = "[name for name in ('umap', 'plotly', 'ray', 'sklearn') if name in sys.modules]"
    code = f"import sys, analysis; analysis.load_trials; print({heavy})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
