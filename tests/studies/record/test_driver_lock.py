"""Who runs a study."""

from __future__ import annotations

import json
import os
from pathlib import Path

from studies.record.driver_lock import DriverLock
from trainables.records.study_layout import StudyLayout


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
