"""Whose folder it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import ray
from support.commands import ROOT, script
from support.small_study import study

from studies.record.driver_lock import DriverLock
from studies.record.study_folder import StudyFolder
from trainables.errors import UserError


def test_a_crash_while_a_study_is_claimed_is_made_good(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    (folder.path / ".study.json.0123456789ab.partial").write_text("{")
    folder.claim(study())
    assert [path.name for path in folder.path.iterdir()] == ["study.json"]


def test_what_was_measured_is_noted_beside_what_others_wrote_and_never_alone(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    folder.note(pack=4)
    assert not folder.layout.question.exists()
    folder.claim(study(), trials=4)
    StudyFolder(folder.path).claim(study(), trials=9)  # meanwhile
    folder.note(pack=4)
    record = json.loads(folder.layout.question.read_text())
    assert (record["trials"], record["pack"], folder.pack) == (9, 4, 4)
    for damaged in (folder.layout.question.read_bytes()[:100], b""):
        folder.layout.question.write_bytes(damaged)
        folder.note(report={"seconds": 1.0, "foreseen": 1.0})
        assert folder.layout.question.read_bytes() == damaged


def test_what_systems_leave_in_a_folder_does_not_fill_it(tmp_path: Path) -> None:
    for name in ("lost+found", ".snapshot", ".Trash-1000", "System Volume Information", "@eaDir", ".DS_Store"):
        (tmp_path / name).mkdir()
    assert StudyFolder(tmp_path).check(study()) == {}
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="is not empty and holds no study"):
        StudyFolder(tmp_path).check(study())


def test_a_study_goes_on_with_the_images_that_it_began_with(tmp_path: Path) -> None:
    """Of one that did not note them, those that it goes on with."""
    folder, before, now = StudyFolder(tmp_path / "s"), {"count": 60, "digest": "a"}, {"count": 80, "digest": "b"}
    folder.path.mkdir()
    assert folder.claim(study())["images"] is None
    assert folder.claim(study(), images=before)["images"] == before
    assert StudyFolder(folder.path).claim(study(), images=before)["images"] == before
    with pytest.raises(UserError, match=r"s began with other images of digits: 60 then, 80 now\nput them back, or use"):
        StudyFolder(folder.path).check(study(), images=now)
    assert StudyFolder(folder.path).check(study(), images=now, fresh=True) == {}


def test_a_study_in_use_and_a_study_json_that_is_damaged_are_refused(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    with DriverLock(folder.layout).acquired():
        folder.claim(study())
        done = script(ROOT / "studies/digits_vae.py", "--out", folder.path, cwd=tmp_path)
        assert done.returncode == 1
        assert f"process {os.getpid()}" in done.stderr
    question = json.loads(folder.layout.question.read_text())
    assert question["versions"]["ray"] == ray.__version__
    folder.layout.question.write_text(folder.layout.question.read_text()[:100])
    with DriverLock(folder.layout).acquired(), pytest.raises(UserError, match=r"study\.json is damaged"):
        folder.claim(study())
    kept = folder.move_aside()
    assert kept is not None
    assert (kept / "study.json").exists()
