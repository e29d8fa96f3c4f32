"""What trainings with other seeds gave, and their records."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.analysis_fixture import BASE, SIX, build_study, record
from support.study_cases import repeat

from analysis.reading.frames import load_repeats
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder


def test_repeats_are_read_and_those_of_another_config_left_out(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    assert len(load_repeats(folder)) == 0
    repeat(folder, 4, [2.41, 2.43])
    failed = TrialFolder(StudyLayout(folder).repeat(4, 3))
    failed.create(BASE.of_trial(4, SIX[4].params).of_repeat(3))
    failed.fail("the loss is nan")
    TrialFolder(StudyLayout(folder).repeat(0, 1)).create(BASE.of_trial(0, SIX[0].params).of_repeat(1))
    record(TrialFolder(StudyLayout(folder).repeat(1, 1)), BASE, [1.0, 1.0, 1.0])  # another's
    (folder / "repeats" / "0004" / "4x").mkdir()
    found = load_repeats(folder)
    assert found["number"].tolist() == [4, 4, 4]
    assert found["repeat"].tolist() == [1, 2, 3]
    assert found["state"].tolist() == ["COMPLETE", "COMPLETE", "FAIL"]
    assert found["val_bits_per_dim"].tolist()[:2] == [2.41, 2.43]
    assert found["cause"][2] == "the loss is nan"
    assert found["seed"].nunique() == 3
    assert found.dtypes.equals(load_repeats(build_study(tmp_path / "none")).dtypes)


def test_the_cause_of_a_failed_repeat_is_whole_or_refused(tmp_path: Path) -> None:
    failed = TrialFolder(tmp_path)
    assert failed.cause() is None
    failed.fail("the loss is nan")
    whole = (tmp_path / "failed.json").read_bytes()
    for length in range(len(whole) - 1):  # the last byte ends the line
        (tmp_path / "failed.json").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"failed\.json is damaged"):
            failed.cause()
    (tmp_path / "failed.json").write_bytes(whole)
    assert failed.cause() == "the loss is nan"
