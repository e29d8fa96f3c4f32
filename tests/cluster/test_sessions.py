"""What Ray leaves in its temporary folder."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from cluster import sessions

DAYS = 86_400


def session(folder: Path, driver: int, days: float) -> Path:
    path = folder / f"session_2026-01-01_00-00-00_123456_{driver}"
    (path / "sockets").mkdir(parents=True)
    (path / "logs").mkdir()
    (path / "logs/raylet.out").write_text("log")
    for each in (path / "logs", path):
        os.utime(each, (time.time() - days * DAYS,) * 2)
    return path


def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_sessions_that_ended_a_day_ago_go_and_others_stay(tmp_path, monkeypatch):
    own = session(tmp_path, 1, 9)
    of_a_living_driver = session(tmp_path, os.getpid(), 9)
    ended, of_today = session(tmp_path, gone(), 2), session(tmp_path, gone(), 0.5)
    elsewhere = session(tmp_path, gone(), 30)  # in another container, whose processes cannot be seen
    monkeypatch.chdir(elsewhere)  # the path of a socket is short
    (tmp_path / "session_x").mkdir()
    (tmp_path / "something").mkdir()
    (tmp_path / "session_latest").symlink_to(own)
    (tmp_path / "dangling").symlink_to(ended / "file")
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind("sockets/closed")
    with socket.socket(socket.AF_UNIX) as raylet:
        raylet.bind("sockets/raylet")
        raylet.listen()
        monkeypatch.chdir(tmp_path)
        sessions.remove_ended(Path(), own.relative_to(tmp_path))
        assert not ended.exists()
        assert not (tmp_path / "dangling").is_symlink()
        for path in (own, of_a_living_driver, of_today, elsewhere, tmp_path / "session_x", tmp_path / "something"):
            assert path.exists()
        assert (tmp_path / "session_latest").exists()
    sessions.remove_ended(Path(), own.relative_to(tmp_path))
    assert not elsewhere.exists()


def test_a_session_is_removed_whole_and_one_that_is_gone_is_no_error(tmp_path):
    path = session(tmp_path, 1, 0)
    for _ in range(2):
        sessions.remove(path)
    assert list(tmp_path.iterdir()) == []
