"""A study's Optuna storage, read by someone who does not trust it."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from analysis.reading.optuna_private import stored_trials
from analysis.reading.validation import LARGEST, Question
from trainables.errors import UserError
from trainables.objective import OBJECTIVES
from trainables.records.patient_sqlite import PatientConnection
from trainables.records.storage_urls import OWNER, READ_SECONDS, out_of_reach, patient, unmasked
from trainables.records.study_layout import StudyLayout
from trainables.space import extremes

# what Optuna and SQLAlchemy let through where a ledger's cells are not what they wrote
_DAMAGE = (RuntimeError, ValueError, LookupError, TypeError, AssertionError, ArithmeticError, ImportError)


def read_ledger(layout: StudyLayout, question: Question) -> list[FrozenTrial]:
    """All trials of the study's Optuna storage by number, which is opened for reading alone; none of a study that was
    ended while this was made, which its command makes to the end. Raises: UserError where it is missing, torn, or
    another study's; or holds what no study of ours writes."""
    shown, has_begun = "its storage", bool(layout.trial_folders())
    try:
        url = question.storage
        if not url or make_url(url).drivername.startswith("sqlite"):
            path = Path((url and make_url(url).database) or layout.ledger)
            shown = str(path)
            url = _opened_by(path, layout.path, has_begun)
        trials = _read(unmasked(url), question, shown, has_begun) if url else []
    except (optuna.exceptions.OptunaError, SQLAlchemyError, sqlite3.Error, *_DAMAGE) as error:
        cut = Path(f"{shown}-journal").exists() or Path(f"{shown}-wal").exists()
        fault = out_of_reach(shown, error)
        if fault and ("is locked" in fault or not cut):
            raise UserError(fault) from error
        if cut:  # whole, but for a reader who may not write beside it
            rest = "its last write was cut short, or is in a file beside it that cannot be taken in here"
            may_write = os.access(layout.path, os.W_OK)
            elsewhere = "copy the folder to where it can be written, and ask there"
            way_out = "the study's command, run again, mends it" if may_write else elsewhere
            raise UserError(f"{shown} cannot be read: {rest}\n{way_out}") from error
        # the error's own text may hold the storage's password
        way_out = "restore it from a copy; where there is none, the study's command starts over with --fresh"
        raise UserError(f"{shown} is damaged: it is not a whole Optuna ledger\n{way_out}") from error
    if {trial.number for trial in trials} != set(range(len(trials))):
        raise UserError(f"{shown} must number its trials from 0 without a gap")
    for trial in trials:
        if fault := _fault_of(trial, question):
            raise UserError(f"{shown} is not this study's ledger: trial {trial.number} {fault}")
    return sorted(trials, key=lambda trial: trial.number)


def _opened_by(path: Path, folder: Path, has_begun: bool) -> str:
    """The URL that opens a SQLite ledger for reading alone; empty of one that is still to be made. Raises: UserError
    where it is missing, or computes something; sqlite3.Error where it is no database."""
    if not path.is_file():
        if has_begun or os.path.lexists(path):
            raise UserError(f"{folder} is not a study's folder: {path.name} is missing\nrestore it")
        return ""
    mode = "mode=ro" + "&immutable=1" * _is_at_rest(path)
    uri = f"file:{quote(os.fsencode(path.resolve()))}?{mode}"
    with closing(sqlite3.connect(uri, READ_SECONDS, uri=True, factory=PatientConnection)) as ledger:
        _refuse_programs(ledger, path)
        # what Optuna makes last, before a study, is its version
        has_version = ledger.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
        is_made = has_version and ledger.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
    # quoted twice: SQLAlchemy reads the URL, then SQLite the path in it
    quoted = quote(quote(os.fsencode(path.resolve())))
    return f"sqlite:///file:{quoted}?{mode}&uri=true" if is_made or has_begun else ""


def _is_at_rest(path: Path) -> bool:
    """Whether a SQLite file that another program has left in WAL mode (where its header has a 2) must be read as one
    that nobody writes: SQLite would make files beside it, which is not allowed here, and a writer would have."""
    with path.open("rb") as file:
        is_wal = file.read(20)[18:] == b"\2\2"
    return is_wal and not Path(f"{path}-wal").exists() and not os.access(path.parent, os.W_OK)


def _read(url: str, question: Question, shown: str, has_begun: bool) -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(url, patient(url, READ_SECONDS), skip_table_creation=True)
    try:
        names = [study.study_name for study in storage.get_all_studies()]
        set_aside = [name for name in names if re.fullmatch(rf"{re.escape(question.name)}-\d{{8}}-\d{{6}}", name)]
        for name in [name for name in names if name == question.name] + set_aside:
            study_id = storage.get_study_id_from_name(name)
            owner = storage.get_study_user_attrs(study_id).get(OWNER)
            if owner == question.id:
                return stored_trials(storage, study_id)
            if owner is None and not has_begun and not stored_trials(storage, study_id):  # it is given one last
                return []
        if question.name in names:
            raise UserError(f"{shown} holds a study {question.name!r} of another folder")
        if has_begun:
            raise UserError(f"{shown} holds no study named {question.name!r}, as study.json says\nrestore it")
        return []
    finally:
        storage.engine.dispose()


def _refuse_programs(ledger: sqlite3.Connection, path: Path) -> None:
    """Refuse a SQLite file that computes something when it is read: Optuna's is of plain tables. Raises: UserError
    where it has a view, a trigger, a virtual table or a computed column; sqlite3.Error where it is no database."""
    for kind, name, text in ledger.execute("SELECT type, name, sql FROM sqlite_master"):
        columns = ledger.execute("SELECT hidden FROM pragma_table_xinfo(?)", (name,))
        plain = kind == "index" or (kind == "table" and not any(hidden for (hidden,) in columns))
        if not plain or "virtual" in str(text).lower():
            raise UserError(f"{path} must hold plain tables alone, as Optuna makes them, found {name!r:.80}")


def _fault_of(trial: FrozenTrial, question: Question) -> str:
    """What a trial has that the ledger cannot have written, in words; empty if nothing."""
    told = trial.values or []
    if trial.state == TrialState.COMPLETE and not (
        len(told) == len(OBJECTIVES[question.objective]) and all(map(_is_number, told))
    ):
        return f"is complete with the value {trial.values!r:.80}"
    for path, distribution in question.space.items():
        if path not in trial.params:
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                return f"has no {path}"
            continue
        value, among = trial.params[path], extremes(distribution)
        if isinstance(distribution, CategoricalDistribution):
            fits = value in among
        else:
            fits = _is_number(value) and among[0] <= value <= among[1]
        if not fits:
            return f"has {path} = {value!r:.80}, which is not in the space"
    return ""


def _is_number(value: object) -> bool:
    """Whether a driver could have written it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
