"""A study that the code of version 0.1 wrote is read as that code read it, and what a record lacks is unknown."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support.commands import ROOT

from analysis import load_best, load_epochs, load_repeats, load_trials
from analysis.reading.best_runs import ranked_runs
from analysis.reading.study_record import read_study
from trainables.errors import StudyWarning
from trainables.metrics import EPOCH
from trainables.records.atomic_files import seal, unseal

WRITTEN = ROOT / "tests/fixtures/version_1"
RECORDED = [metric.name for metric in EPOCH if metric.since in ("", "0.1.0")]
"""What its epochs hold."""
LATER = [metric.name for metric in EPOCH if metric.since == "0.1.0"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(WRITTEN, tmp_path / "version_1")


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change each line of a sealed file, or the whole of one."""
    documents = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    lines = []
    for text in documents:
        values = unseal(text)
        change(values)
        lines.append(seal(values))
    path.write_text("\n".join(lines) + "\n")


def test_its_frames_hold_what_they_held() -> None:
    trials, epochs = load_trials(WRITTEN), load_epochs(WRITTEN)
    assert trials["state"].tolist() == ["COMPLETE"] * 5 + ["PRUNED"] * 3 + ["INTERRUPTED"]
    assert trials["epochs"].tolist() == [4, 4, 4, 4, 4, 2, 2, 2, 1]
    assert trials["best_epoch"].tolist() == trials["epochs"].tolist()
    first = trials.iloc[1]
    assert (first["val_bits_per_dim"], first["seconds"]) == (5.870539995165539, 0.30247490399989374)
    assert (first["cpu_hours"], first["gpu_hours"]) == (0.0001680416133332743, 0)
    assert (first["latent_dim"], first["depth"], first["val_active_units"]) == (3, 1, 3)
    assert len(epochs) == 27
    assert (epochs["train_loss"][0], epochs["epoch"][26]) == (961.1285196940104, 1)
    assert [name for name in epochs if name in {metric.name for metric in EPOCH}] == [metric.name for metric in EPOCH]
    assert [metric.name for metric in EPOCH if epochs[metric.name].notna().all()] == RECORDED


def test_its_best_runs_and_repeats_are_found() -> None:
    runs = ranked_runs(WRITTEN)
    assert [run.label for run in runs] == ["final", "trial 2", "trial 1", "trial 3", "trial 0", "trial 4"]
    assert (runs[0].stem, runs[0].best["val_bits_per_dim"]) == ("final_epoch_0005", 5.808090620175442)
    repeats = load_repeats(WRITTEN)
    assert repeats["number"].tolist() == [1, 2, 3]
    assert repeats["seed"].tolist() == [100_004, 100_005, 100_006]
    assert set(repeats["state"]) == {"COMPLETE"}
    assert repeats["val_rate"][0] == 10.238462944030761
    model = load_best(WRITTEN)
    assert (model.config.latent_dim, model.config.depth, model.config.width) == (3, 1, 4)
    total = sum(parameter.double().sum().item() for parameter in model.parameters())
    assert total == pytest.approx(56.280399282211874)
    assert torch.isfinite(model.sample(2, 0)).all()


@pytest.mark.parametrize("name", LATER)
def test_a_metric_that_was_added_later_is_unknown_where_a_record_lacks_it(folder: Path, name: str) -> None:
    trials, epochs = load_trials(folder), load_epochs(folder)
    rewrite(folder / "trials/0001/metrics.jsonl", lambda row: row.pop(name) if row["epoch"] > 1 else None)
    rewrite(folder / "trials/0002/metrics.jsonl", lambda row: row.pop(name))
    lacking = load_epochs(folder)
    unknown = (epochs["number"] == 2) | ((epochs["number"] == 1) & (epochs["epoch"] > 1))
    assert lacking[name].isna().tolist() == unknown.tolist()
    assert lacking.dtypes.equals(epochs.dtypes)
    pd.testing.assert_frame_equal(lacking.drop(columns=name), epochs.drop(columns=name))
    hours = name.replace("seconds", "hours")
    assert load_trials(folder)[hours].isna().tolist() == [number in (1, 2) for number in range(9)]
    pd.testing.assert_frame_equal(load_trials(folder).drop(columns=hours), trials.drop(columns=hours))
    held = read_study(folder).hours[name == "gpu_seconds"]
    assert held == pytest.approx(epochs.loc[~unknown, name].sum() / 3600)


def test_a_metric_that_every_record_has_had_is_missed(folder: Path) -> None:
    rewrite(folder / "trials/0001/metrics.jsonl", lambda row: row.pop("val_rate"))
    with pytest.warns(StudyWarning, match="trial 1 is left out: .* epoch 1 must have a number val_rate, got None"):
        assert load_trials(folder)["val_rate"].isna()[1]


def test_a_field_of_the_config_that_was_added_later_has_its_default(folder: Path) -> None:
    trials = load_trials(folder)

    def older(config: dict[str, Any]) -> None:
        del config["compile"], config["precision"]

    rewrite(folder / "study.json", lambda question: older(question["base"]))
    for path in folder.glob("*/*/**/config.json"):
        rewrite(path, older)
    study = read_study(folder)
    assert (study.base.compile, study.base.precision) == (None, "float32")
    pd.testing.assert_frame_equal(load_trials(folder), trials)
    assert ranked_runs(folder)[0].config.precision == "float32"
    assert len(load_repeats(folder)) == 3
    assert load_best(folder).config.latent_dim == 3
