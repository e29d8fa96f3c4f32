"""One damaged record is one trial's; a ledger that cannot be had now is no damaged one."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from optuna.exceptions import StorageInternalError
from support.analysis_fixture import BASE, SIX, build_study, write_ledger

from analysis import load_epochs, load_repeats, load_trials
from analysis.reading import ledger as reading
from analysis.reading.best_runs import ranked_runs
from analysis.reading.choice import choose
from analysis.reading.study_record import read_study
from studies.record import ledger as writing
from studies.record.ledger import Ledger
from studies.study import Study
from trainables.errors import StudyWarning, UserError
from trainables.records.storage_urls import out_of_reach


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def _emptied(path: Path) -> None:
    path.write_bytes(b"\n" * path.stat().st_size)


def _unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n")


def _removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json"])
@pytest.mark.parametrize("tear", [_flipped, _emptied, _unreadable, _cut, _removed])
def test_a_torn_record_leaves_out_its_trial_alone(name: str, tear: Callable[[Path], None], tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    whole, epochs, best = load_trials(folder), load_epochs(folder), ranked_runs(folder)[0]
    torn = folder / "trials" / f"{best.number:04d}" / name
    tear(torn)
    with pytest.warns(StudyWarning, match=rf"trial {best.number} is left out: .*{torn.name}") as said:
        trials = load_trials(folder)
    assert "\n" in str(said[0].message)  # the way out
    others = whole["number"] != best.number
    measured = [column for column in whole if column not in ("excess", "front")]  # which are of all trials together
    pd.testing.assert_frame_equal(trials.loc[others, measured], whole.loc[others, measured])
    row = trials[~others].iloc[0]
    assert (row["state"], row["epochs"], bool(row["front"])) == ("COMPLETE", 0, False)
    assert pd.isna(row["val_bits_per_dim"])
    with warnings.catch_warnings(action="ignore", category=StudyWarning):
        assert best.number not in [run.number for run in ranked_runs(folder)]
        assert choose(folder).run.number != best.number
        assert len(load_epochs(folder)) == len(epochs) - len(epochs[epochs["number"] == best.number])


def test_a_trial_in_the_folder_of_another_is_left_out_alone(tmp_path: Path) -> None:
    """As a synchronisation may leave it: each file is whole."""
    folder = build_study(tmp_path / "study")
    first, second = (folder / "trials" / name for name in ("0000", "0001"))
    for name in ("config.json", "metrics.jsonl"):
        (second / name).write_bytes((first / name).read_bytes())
    said = rf"trial 1 is left out: {second} and the study's ledger contradict each other: .*\nrestore the one or"
    with pytest.warns(StudyWarning, match=said):
        trials = load_trials(folder)
    assert [row.epochs > 0 for row in trials.itertuples()][:2] == [True, False]


def test_a_ledger_of_a_newer_library_is_not_called_damaged(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    with sqlite3.connect(folder / "study.db") as ledger:
        ledger.execute("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
        ledger.execute("UPDATE version_info SET library_version = '9.0.0'")
    said = rf"{folder / 'study.db'} is of Optuna 9.0.0, and Optuna 5\S+ does not read it\ninstall Optuna 9.0.0 or newer"
    with pytest.raises(UserError, match=said):
        load_trials(folder)
    with pytest.raises(UserError, match=said):
        Ledger(Study(name="digits_vae", base=BASE, space={}, trials=1), f"sqlite:///{folder / 'study.db'}")


def test_a_final_training_that_is_torn_is_left_out(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", final_bits=[4.0, 3.9])
    _flipped(folder / "trials/final/metrics.jsonl")
    with pytest.warns(StudyWarning, match=r"final is left out: line \d of .* is damaged"):
        runs = ranked_runs(folder)
    assert runs
    assert not any(run.is_final for run in runs)


def test_a_study_without_any_record_that_can_be_read_is_refused(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    for path in folder.glob("trials/*/metrics.jsonl"):
        _flipped(path)
    with pytest.raises(UserError, match=r"line \d of .*0000/metrics\.jsonl is damaged"):
        load_trials(folder)


def held(path: Path, seconds: float) -> threading.Thread:
    """Another program that has a SQLite file for itself, for so long from now on."""
    begun = threading.Event()

    def hold() -> None:
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            begun.set()
            time.sleep(seconds)
            other.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    return thread


def test_a_busy_ledger_is_waited_for(tmp_path: Path) -> None:
    build_study(tmp_path / "study")
    expected = [trial.number for trial in read_study(tmp_path / "study").trials]
    other = held(tmp_path / "study/study.db", 1.0)
    assert [trial.number for trial in read_study(tmp_path / "study").trials] == expected
    other.join()


@pytest.mark.parametrize("is_driver", [False, True], ids=["a reader", "a driver"])
def test_ctrl_c_is_heard_while_a_busy_ledger_is_waited_for(is_driver: bool, tmp_path: Path) -> None:
    path = build_study(tmp_path / "study") / "study.db"
    study = Study(name="digits_vae", base=BASE, space={}, trials=1)
    other, begun = held(path, 4.0), time.monotonic()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        Ledger(study, f"sqlite:///{path}") if is_driver else read_study(path.parent)
    assert time.monotonic() - begun < 3.0
    other.join()
    assert len(load_trials(path.parent)) == len(SIX)


@pytest.mark.heavy
def test_a_command_says_that_it_waits_and_hears_what_ends_it(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    with sqlite3.connect(folder / "study.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        command = [sys.executable, "-m", "studies", "status", str(folder), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            warned = process.stderr.readline()
            assert "study.db is locked: another program holds it; waiting for up to" in warned
            begun = time.monotonic()
            process.terminate()
            output, said = process.communicate(timeout=60)
        assert time.monotonic() - begun < 5
    # the line stands there twice where the signal came while it was written
    assert (process.returncode, output, said.removeprefix(warned)) == (130, "", "interrupted\n")


@pytest.mark.heavy
def test_a_ledger_that_stays_busy_is_called_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_study(tmp_path / "study")
    monkeypatch.setattr(reading, "READ_SECONDS", 0.1)
    monkeypatch.setattr(writing, "WRITE_SECONDS", 0.1)
    path = tmp_path / "study/study.db"
    url = f"sqlite:///{path}"
    study = Study(name="other", base=BASE, space={}, trials=1)
    other = held(path, 3.0)
    with pytest.raises(UserError, match=r"study\.db is locked: another program holds it") as error:
        load_trials(tmp_path / "study")
    assert "restore" not in str(error.value)
    with pytest.raises(UserError, match=r"study\.db is locked: another program holds it"):
        Ledger(study, url)
    other.join()
    assert len(load_trials(tmp_path / "study")) == len(SIX)
    mine = Ledger(study, url)
    other = held(path, 2.0)
    with pytest.raises(StorageInternalError) as failed:  # whose own words are of invalid data
        mine.ask()
    assert "is locked" in str(out_of_reach("it", failed.value))
    other.join()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_ledger_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    write_ledger(tmp_path / "study", SIX)
    (tmp_path / "study/study.db").chmod(0)
    with pytest.raises(UserError, match=r"study\.db cannot be had: unable to open") as error:
        load_trials(tmp_path / "study")
    assert "restore" not in str(error.value)


def test_what_a_reader_cannot_take_in_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build_study(tmp_path / "study")
    (folder / "study.db-wal").write_bytes(b"of the last write")

    def refused(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("unable to open database file")  # where it may not write beside it
        error.sqlite_errorname = "SQLITE_CANTOPEN"
        raise error

    monkeypatch.setattr(reading, "_refuse_programs", refused)
    with pytest.raises(UserError, match=r"study\.db cannot be read: its last write .*\n.*run again, mends it") as error:
        load_trials(folder)
    assert "whole" not in str(error.value)


@pytest.mark.heavy
def test_a_trial_whose_folder_may_not_be_entered_is_left_out(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    program = "import sys, analysis; print(analysis.load_trials(sys.argv[1]).val_rate.isna().tolist())"
    command = [*(rights if os.getuid() == 0 else []), sys.executable, "-c", program, str(folder)]
    before = load_trials(folder).val_rate.isna().tolist()
    (folder / "trials/0000").chmod(0)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        (folder / "trials/0000").chmod(0o700)
    assert done.stdout == f"{[True, *before[1:]]}\n"
    assert not before[0]
    assert "trial 0 is left out: " in done.stderr
    assert "Permission denied" in done.stderr


@pytest.mark.heavy
def test_what_another_program_left_in_wal_mode_is_read_where_nothing_may_be_written(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    with closing(sqlite3.connect(folder / "study.db")) as browser:
        browser.execute("PRAGMA journal_mode=wal")
    may = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"] if os.getuid() == 0 else []
    command = [*may, sys.executable, "-c", "import sys, analysis; print(len(analysis.load_trials(sys.argv[1])))"]
    folder.chmod(0o500)
    try:
        done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    finally:
        folder.chmod(0o700)
    assert (done.stdout, done.stderr) == (f"{len(SIX)}\n", "")
    assert not [*folder.glob("study.db-*")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SQLITE_BUSY_RECOVERY", "is locked"),
        ("SQLITE_PROTOCOL", "is locked"),
        ("SQLITE_IOERR_READ", "cannot be had"),
        ("SQLITE_IOERR_LOCK", "its file system has no locks"),
        ("SQLITE_IOERR_CHECKRESERVEDLOCK", "its file system has no locks"),
        ("SQLITE_FULL", "cannot be had"),
        ("SQLITE_IOERR_SHORT_READ", ""),
        ("SQLITE_CORRUPT", ""),
        ("SQLITE_NOTADB", ""),
        ("SQLITE_ERROR", ""),
    ],
)
def test_only_what_is_damaged_is_called_so(name: str, said: str) -> None:
    cause = sqlite3.OperationalError("why")
    cause.sqlite_errorname = name
    error = RuntimeError("of a library")
    error.__cause__ = cause
    assert said in (out_of_reach("it", error) or "")
    assert bool(out_of_reach("it", error)) == bool(said)


def test_a_study_below_a_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9 100%25")
    build_study(tmp_path / "study").rename(folder)
    assert len(load_trials(folder)) == len(SIX)
    assert not len(load_repeats(folder))
