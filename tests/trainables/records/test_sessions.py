"""When drivers trained a study, as it is recorded."""

from __future__ import annotations

import errno
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from trainables.records import sessions
from trainables.records.atomic_files import seal
from trainables.records.sessions import BEAT_SECONDS, SessionLog, sessions_of
from trainables.records.study_layout import StudyLayout

# a driver of half a second between its signs of life
DRIVER = """
import sys, time
from pathlib import Path
from trainables.records import sessions
from trainables.records.study_layout import StudyLayout
sessions.BEAT_SECONDS = 0.5
log = sessions.SessionLog(StudyLayout(Path(sys.argv[1])))
while True:
    log.beat(True)
    print(time.time(), flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def study(tmp_path: Path) -> Path:
    """The file without which a folder is no study's."""
    path = StudyLayout(tmp_path).question
    path.touch()
    return path


def test_a_folder_that_has_vanished_is_not_written_to(study: Path) -> None:
    log = SessionLog(StudyLayout(study.parent))
    log.beat(True)
    (record,) = set(study.parent.iterdir()) - {study}
    record.unlink()
    study.unlink()
    log.beat(False)
    assert not list(study.parent.iterdir())


def about(when: datetime, expected: datetime, seconds: float = 2) -> bool:
    return abs((when - expected).total_seconds()) <= seconds


def test_a_session_is_recorded_while_it_lasts_and_a_pause_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, log = StudyLayout(tmp_path), SessionLog(StudyLayout(tmp_path))
    log.beat(False)
    assert not layout.sessions.exists()
    began = datetime.now()
    log.beat(True)
    (first,) = sessions_of(layout)
    assert first.began == first.seen
    assert about(first.began, began)
    log.beat(True)
    assert sessions_of(layout) == [first]  # the next line is not due
    monkeypatch.setattr(sessions, "BEAT_SECONDS", 0.0)
    time.sleep(0.3)
    log.beat(True)
    (longer,) = sessions_of(layout)
    assert longer.began == first.began
    assert about(longer.seen, datetime.now())
    log.beat(False)
    (paused,) = sessions_of(layout)
    log.beat(False)
    log.beat(True)
    found = sessions_of(layout)
    assert found[0] == paused
    assert len(found) == 2
    assert paused.seen >= longer.seen


def test_a_driver_that_is_killed_was_alive_until_its_last_sign_of_life(tmp_path: Path) -> None:
    """And so it was where its folder was copied to since, where another goes on."""
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout
    beats = [float(driver.stdout.readline()) for _ in range(30)]
    driver.send_signal(signal.SIGKILL)
    beats += [float(line) for line in driver.stdout.read().splitlines()]
    assert driver.wait() == -signal.SIGKILL
    driver.stdout.close()
    (killed,) = sessions_of(StudyLayout(tmp_path))
    assert killed.began.timestamp() <= beats[0]
    assert beats[-1] - 0.5 - 1 < killed.seen.timestamp() < time.time()
    assert (killed.seen - killed.began).total_seconds() > 0.4
    copy = StudyLayout(shutil.copytree(tmp_path, tmp_path / "copy"))
    SessionLog(copy).beat(True)
    found = sessions_of(copy)
    assert found[0] == killed
    assert about(found[1].began, datetime.now())
    assert len(sessions_of(StudyLayout(tmp_path))) == 1


def line(began: str, seen: str) -> bytes:
    return seal({"began": began, "seen": seen}).encode() + b"\n"


def test_times_are_those_of_the_drivers_own_clock_as_the_ledgers_are(tmp_path: Path) -> None:
    layout = StudyLayout(tmp_path)
    east = line("2026-01-02T09:00:00.000+09:00", "2026-01-02T10:30:00.500+09:00")
    back = line("2026-01-01T10:00:00.000+00:00", "2026-01-01T09:00:00.000+00:00")  # a clock that was set
    layout.sessions.write_bytes(east + back)
    first, second = sessions_of(layout)
    assert (first.began, first.seen) == (datetime(2026, 1, 1, 10), datetime(2026, 1, 1, 10))
    assert (second.began, second.seen) == (datetime(2026, 1, 2, 9), datetime(2026, 1, 2, 10, 30, 0, 500_000))


def test_a_history_that_cannot_be_read_now_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system whose server is away for a while: the session begins once it is back."""
    layout, log = StudyLayout(tmp_path), SessionLog(StudyLayout(tmp_path))
    layout.sessions.write_bytes(before := line("2026-01-01T09:00:00.000+00:00", "2026-01-01T10:00:00.000+00:00"))

    for error in (OSError(errno.ESTALE, "Stale file handle"), PermissionError(), ValueError("it is too large")):
        with monkeypatch.context() as patched:
            patched.setattr(sessions, "read_bounded", Mock(side_effect=error))
            with pytest.raises(OSError):  # noqa: PT011 (whatever the system says)
                log.beat(True)
            assert sessions_of(layout) == []
        assert layout.sessions.read_bytes() == before
    log.beat(True)
    assert len(sessions_of(layout)) == 2
    assert layout.sessions.read_bytes().startswith(before)


def test_what_is_damaged_is_left_out_and_the_rest_stays(tmp_path: Path) -> None:
    layout, zero = StudyLayout(tmp_path), datetime(2026, 1, 1)
    assert sessions_of(layout) == []
    whole = [line(*((zero + timedelta(hours=k + part)).isoformat() for part in (0, 0.5))) for k in range(3)]
    layout.sessions.write_bytes(b"".join(whole))
    known, content = sessions_of(layout), layout.sessions.read_bytes()
    assert len(known) == 3
    for bit in random.Random(0).sample(range(8 * len(content)), 300):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        layout.sessions.write_bytes(changed)
        found = sessions_of(layout)
        assert len(found) >= 1
        assert [session for session in found if session not in known] == []
    for length in range(len(content)):
        layout.sessions.write_bytes(content[:length])
        assert sessions_of(layout) == known[: content[:length].count(b"\n")]
    for nonsense in (
        b"\n",
        b"[" * 100_000 + b"\n",
        b"{}\n",
        seal({"began": 3, "seen": None}).encode() + b"\n",
        b"\xff\n",
    ):
        layout.sessions.write_bytes(nonsense + whole[0])
        assert sessions_of(layout) == known[:1]
    layout.sessions.write_bytes(whole[0] + whole[1][:40])  # of a copy that was cut short
    SessionLog(layout).beat(True)
    found = sessions_of(layout)
    assert found[0] == known[0]
    assert len(found) == 2


def test_a_line_is_json_to_read_elsewhere(tmp_path: Path) -> None:
    SessionLog(StudyLayout(tmp_path)).beat(True)
    found = json.loads((tmp_path / "sessions.jsonl").read_text())
    assert datetime.fromisoformat(found["began"]).tzinfo is not None
    assert BEAT_SECONDS == 10
