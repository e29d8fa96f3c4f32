"""A SQLite file that another program holds is waited for as SQLite would, and signals are heard meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.errors import WaitWarning
from trainables.records import patient_sqlite
from trainables.records.patient_sqlite import PatientConnection


@pytest.fixture
def other(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that has the file open, in which there is a table of one row."""
    connection = sqlite3.connect(tmp_path / "it.db", 0, isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE numbers (value)")
    connection.execute("INSERT INTO numbers VALUES (0)")
    yield connection
    connection.close()


def patient(folder: Path, seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(folder / "it.db", seconds, factory=PatientConnection)


def values(connection: sqlite3.Connection) -> list[int]:
    return [value for (value,) in connection.execute("SELECT value FROM numbers ORDER BY value")]


def test_reading_and_writing_wait_for_longer_than_a_try_and_write_once(
    other: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_sqlite, "_TRY_SECONDS", 0.05)
    mine = patient(tmp_path, 20)
    for step in (
        lambda: mine.execute("SELECT * FROM numbers").fetchall(),
        lambda: mine.execute("INSERT INTO numbers VALUES (1)"),
        mine.commit,
        lambda: mine.executemany("INSERT INTO numbers VALUES (?)", iter([(2,), (3,)])),
        mine.commit,
    ):
        # a commit waits for who reads, the rest for who writes
        other.execute("BEGIN" if step == mine.commit else "BEGIN EXCLUSIVE")
        values(other)
        timer = threading.Timer(0.3, other.execute, ["ROLLBACK"])
        timer.start()
        begun = time.monotonic()
        step()
        assert time.monotonic() - begun > 0.2
        timer.join()
    assert values(other) == [0, 1, 2, 3]


def test_a_file_that_stays_held_is_given_up_after_the_whole_patience(other: sqlite3.Connection, tmp_path: Path) -> None:
    other.execute("BEGIN EXCLUSIVE")
    for patience in (0.0, 0.2, 1.2):
        mine, begun = patient(tmp_path, patience), time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            mine.execute("SELECT * FROM numbers")
        assert patience <= time.monotonic() - begun < patience + 1.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait(number: signal.Signals, other: sqlite3.Connection, tmp_path: Path) -> None:
    before = signal.signal(number, signal.default_int_handler)
    other.execute("BEGIN EXCLUSIVE")
    mine, begun = patient(tmp_path, 60), time.monotonic()
    threading.Timer(0.2, os.kill, [os.getpid(), number]).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            mine.execute("INSERT INTO numbers VALUES (1)")
    finally:
        signal.signal(number, before)
    assert time.monotonic() - begun < 5
    other.execute("ROLLBACK")
    mine.rollback()
    assert values(mine) == [0]


def test_a_wait_of_some_seconds_is_told_of_once(
    other: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_sqlite, "_SILENT_SECONDS", 1.0)
    other.execute("BEGIN EXCLUSIVE")
    with warnings.catch_warnings(record=True) as said, pytest.raises(sqlite3.OperationalError):
        patient(tmp_path, 0.8).execute("SELECT * FROM numbers")
    assert not said
    with warnings.catch_warnings(record=True) as said, pytest.raises(sqlite3.OperationalError):
        patient(tmp_path, 3.0).execute("SELECT * FROM numbers")
    (warning,) = said
    assert warning.category is WaitWarning
    text = f"{tmp_path / 'it.db'} is locked: another program holds it; waiting for up to "
    assert str(warning.message).startswith(text)


def test_who_waits_for_this_connection_is_not_waited_for(other: sqlite3.Connection, tmp_path: Path) -> None:
    """Nor does SQLite: neither would ever end."""
    mine, begun = patient(tmp_path, 60), time.monotonic()
    mine.execute("BEGIN")
    values(mine)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO numbers VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("COMMIT")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        mine.execute("INSERT INTO numbers VALUES (2)")
    assert time.monotonic() - begun < 10


def test_another_fault_is_raised_at_once(other: sqlite3.Connection, tmp_path: Path) -> None:
    mine, begun = patient(tmp_path, 60), time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        mine.execute("SELECT * FROM letters")
    assert time.monotonic() - begun < 10
