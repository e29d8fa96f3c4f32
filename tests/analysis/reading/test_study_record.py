"""What is no whole study is refused, by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution, distribution_to_json
from support.analysis_fixture import BASE, SIX, metrics, write_ledger

from analysis import load_trials
from analysis.reading.study_record import read_study
from analysis.reading.validation import read_epochs
from trainables.errors import UserError
from trainables.records.atomic_files import seal, unseal
from trainables.records.trial_folder import TrialFolder

BETA = distribution_to_json(FloatDistribution(0.5, 2))


@pytest.mark.parametrize("file", ["study.json", "study.db", "."])
def test_what_is_missing_is_named(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    if file != ".":
        write_ledger(folder, SIX)
        (folder / "trials" / "0000").mkdir(parents=True)
        (folder / file).unlink()
    with pytest.raises(UserError, match=re.escape(str(folder))) as error:
        load_trials(folder)
    assert file == "." or file in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a database" * 99, None])
def test_a_torn_ledger_is_refused(content: bytes | None, tmp_path: Path) -> None:
    write_ledger(tmp_path / "study", SIX)
    (tmp_path / "study" / "trials" / "0000").mkdir(parents=True)
    path = tmp_path / "study" / "study.db"
    path.write_bytes(path.read_bytes()[:20_000] if content is None else content)
    with pytest.raises(UserError, match="not a whole Optuna ledger"):
        load_trials(tmp_path / "study")


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", 3), ("base", {"beta": -1}), ("space", {"model.detph": None}), ("space", 7), ("base", None)],
)
def test_a_strange_study_json_is_refused(field: str, value: object, tmp_path: Path) -> None:
    write_ledger(tmp_path / "study", SIX)
    path = tmp_path / "study" / "study.json"
    path.write_text(seal(unseal(path.read_text()) | {field: value}))
    with pytest.raises(UserError, match=r"study\.json is not a study's"):
        load_trials(tmp_path / "study")


def test_another_study_s_ledger_is_refused_and_a_foreign_record_too(tmp_path: Path) -> None:
    write_ledger(tmp_path / "a", SIX, name="a")
    write_ledger(tmp_path / "b", SIX, name="b")
    (tmp_path / "a" / "study.db").write_bytes((tmp_path / "b" / "study.db").read_bytes())
    (tmp_path / "a" / "trials" / "0000").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no study named 'a'"):
        load_trials(tmp_path / "a")
    record = TrialFolder(tmp_path / "b" / "trials" / "0000")
    record.path.mkdir(parents=True)
    record.append({"epoch": 1, "loss": 0.5})
    with pytest.raises(UserError, match="must have a number"):
        load_trials(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("val_active_units", 3.5, "a whole number val_active_units, got 3.5"),
        ("val_active_units", True, "a whole number val_active_units, got True"),
        ("val_rate", "3", "a number val_rate, got '3'"),
        ("val_rate", 1e19, r"a number val_rate, got 1e\+19"),
        ("val_rate", None, "a number val_rate, got None"),
        ("gpu_seconds", -1, "a number gpu_seconds of at least 0, got -1"),
    ],
)
def test_what_no_epoch_measured_is_named(name: str, value: object, rule: str, tmp_path: Path) -> None:
    record = TrialFolder(tmp_path)
    for epoch in (1, 2):
        row = metrics(epoch, 3.0, BASE)
        record.append(row | {name: value} if epoch == 2 else row)  # type: ignore[dict-item]
    with pytest.raises(UserError, match=rf"metrics\.jsonl is not a trial's record: epoch 2 must have {rule}$"):
        read_epochs(record)


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ({"id": ...}, "it has no 'id'"),
        ({"name": 3}, "name must be text, got 3"),
        ({"storage": 3}, "storage must be text, got 3"),
        ({"base": {"beta": -1}}, "base.beta must be at least 0, got -1"),
        ({"space": {"beta": "x"}}, "space.beta: .*"),
        ({"space": {"model.detph": BETA}}, "'model.detph' is no field of ModelConfig"),
        ({"space": {"model.latent_dim": BETA}}, "model.latent_dim must be a whole number, got .*"),
    ],
)
def test_what_is_strange_in_study_json_is_named(field: dict[str, object], fault: str, tmp_path: Path) -> None:
    write_ledger(tmp_path / "study", SIX)
    path = tmp_path / "study" / "study.json"
    values = unseal(path.read_text()) | field
    path.write_text(seal({name: value for name, value in values.items() if value is not ...}))
    with pytest.raises(UserError, match=rf"study\.json is not a study's: {fault}\nrestore it"):
        read_study(tmp_path / "study")


@pytest.mark.parametrize(
    ("field", "named"), [({"ema": 0.9}, "base.ema = 0.9"), ({"definitions": 3}, "base.definitions = 3")]
)
def test_what_a_newer_version_wrote_is_not_called_damaged(field: dict[str, object], named: str, tmp_path: Path) -> None:
    write_ledger(tmp_path / "study", SIX)
    path = tmp_path / "study" / "study.json"
    values = unseal(path.read_text())
    path.write_text(seal(values | {"base": values["base"] | field}))
    said = (
        rf"study\.json must be of this version or an older one, which know no {named}\nupdate, or give another folder"
    )
    with pytest.raises(UserError, match=said):
        read_study(tmp_path / "study")
