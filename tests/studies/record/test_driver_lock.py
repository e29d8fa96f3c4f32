"""Who runs a study."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from studies.record.driver_lock import DriverLock
from studies.record.study_folder import StudyFolder
from studies.study import Study
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.records.sessions import Session, sessions_of
from trainables.records.study_layout import StudyLayout

STUDY = Study(name="small", base=TrialConfig(), space={}, trials=1)


def test_a_driver_is_seen_from_its_own_machine_and_from_others(tmp_path: Path) -> None:
    lock = DriverLock(StudyLayout(tmp_path / "s"))
    assert lock.driver() is None
    with lock.acquired():
        driver = lock.driver()
        assert driver is not None
        assert (driver.pid, driver.phase) == (os.getpid(), "starting")
        lock.beat("running", lock.ask("stop"))
        asked = lock.driver()
        assert asked is not None
        assert lock.request() == ("stop", asked.order)
        beat = tmp_path / ".s.driver"
        away = json.loads(beat.read_text()) | {"host": "elsewhere"}
        beat.write_text(json.dumps(away))
        seen = lock.driver()
        assert seen is not None
        assert (seen.host, seen.phase) == ("elsewhere", "running")
        os.utime(beat, (0, 0))  # silent for long
        assert lock.driver() is None
        later = away | {"host": driver.host, "began": driver.began - 3600}  # its pid is another's by now
        beat.write_text(json.dumps(later))
        assert lock.driver() is None
    assert [path.name for path in tmp_path.iterdir() if path.name != ".s.lock"] == ["s"]


def test_a_session_lasts_while_a_driver_trains(tmp_path: Path) -> None:
    """Not before it has a cluster, not in a pause, and not while it closes or reports; another driver adds its own."""
    layout, known = StudyLayout(tmp_path / "s"), list[Session]()
    layout.path.mkdir()
    layout.question.touch()
    for lock in (DriverLock(layout), DriverLock(layout)):
        with lock.acquired():
            assert sessions_of(layout) == known
            for phase in ("running", "pausing", "paused"):
                lock.beat(phase)
            first = sessions_of(layout)
            assert len(first) == len(known) + 1
            lock.beat("paused")
            assert sessions_of(layout) == first
            for phase in ("running", "stopping", "closing", "closing", "reporting"):
                lock.beat(phase)
            both = sessions_of(layout)
            assert both[:-1] == first
        assert sessions_of(layout) == both
        known = both
    assert len(known) == 4


@pytest.mark.parametrize("what", ["a mount", "in a folder of others"])
def test_a_folder_without_a_place_beside_it_holds_its_lock(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.mkdir()
    if what == "a mount":
        monkeypatch.setattr(os.path, "ismount", lambda found: Path(found) == path)
    else:
        monkeypatch.setattr(os, "access", lambda found, _: Path(found) != tmp_path)
    first, second = DriverLock(StudyLayout(path)), DriverLock(StudyLayout(path))
    with first.acquired():
        assert second.driver() == first.driver() is not None
        with pytest.raises(UserError, match="is in use"), second.acquired():
            pass
        assert [each.name for each in tmp_path.iterdir()] == ["out"]
        assert StudyFolder(path).claim(STUDY)["id"]  # it is as good as empty
    assert second.driver() is None


def test_a_lock_stays_as_long_as_its_folder(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "out")
    for _ in range(2):
        with DriverLock(folder.layout).acquired():
            pass
        assert folder.layout.lock.exists()
    with DriverLock(folder.layout).acquired():
        folder.leave()
    assert list(tmp_path.iterdir()) == []
    first, second = DriverLock(folder.layout), DriverLock(folder.layout)
    with first.acquired(), pytest.raises(UserError, match="is in use"), second.acquired():
        pass


def test_a_reader_who_may_not_write_beside_a_study_sees_who_drives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = StudyLayout(tmp_path / "out")
    with DriverLock(layout).acquired():
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert DriverLock(layout).driver() is not None


def test_a_study_that_cannot_be_moved_aside_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = StudyFolder(tmp_path / "out")
    folder.path.mkdir()
    folder.claim(STUDY)

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(UserError, match=r"out cannot be moved aside to out\..*: Device or resource busy\nuse another"):
        folder.move_aside()
