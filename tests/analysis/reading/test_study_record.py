"""What is no whole study is refused, by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.analysis_fixture import SIX, write_ledger

from analysis import load_trials
from trainables.errors import UserError
from trainables.records.atomic_files import seal, unseal
from trainables.records.trial_folder import TrialFolder


@pytest.mark.parametrize("file", ["study.json", "study.db", "."])
def test_what_is_missing_is_named(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    if file != ".":
        write_ledger(folder, SIX)
        (folder / file).unlink()
    with pytest.raises(UserError, match=re.escape(str(folder))) as error:
        load_trials(folder)
    assert file == "." or file in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a database" * 99, None])
def test_a_torn_ledger_is_refused(content: bytes | None, tmp_path: Path) -> None:
    write_ledger(tmp_path / "study", SIX)
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
    with pytest.raises(UserError, match="holds no study named 'a'"):
        load_trials(tmp_path / "a")
    record = TrialFolder(tmp_path / "b" / "trials" / "0000")
    record.path.mkdir(parents=True)
    record.append({"epoch": 1, "loss": 0.5})
    with pytest.raises(UserError, match="must have a number"):
        load_trials(tmp_path / "b")
