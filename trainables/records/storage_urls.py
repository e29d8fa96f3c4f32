"""Where a study's Optuna storage is, and whose study in it this is. Passwords stay out of files."""

import os
import re
import sqlite3
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from trainables.errors import UserError
from trainables.records.patient_sqlite import PatientConnection
from trainables.records.study_layout import StudyLayout
from trainables.text import SECRETS

OWNER = "folder"  # the user attribute of an Optuna study that says whose it is: the ``id`` in study.json
READ_SECONDS, WRITE_SECONDS = 30.0, 300.0
"""How long a SQLite ledger that another program holds is waited for: by who looks at it, and by a study that runs."""
_HELD = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_OUT_OF_REACH = ("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_READONLY", "SQLITE_FULL", "SQLITE_NOMEM")
_unmasked: dict[str, str] = {}  # masked URL -> the one with its password, of those that this process has seen


def storage_url(folder: Path, storage: str | None) -> str:
    """The URL of a study's storage: SQLite in its folder, unless ``storage`` names another. Raises: UserError where
    that is no URL, or of a database in memory."""
    if storage is None:
        return _sqlite_url(StudyLayout(folder.resolve()).ledger)
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError) as error:  # the second of its port; it may hold a password, so it is not shown
        shown = "" if "@" in storage else f", got {storage!r}"
        way_out = "such as sqlite:///trials.db or postgresql://user:password@host:5432/name"
        raise UserError(f"--storage must be a database's URL{shown}\n{way_out}") from error
    if url.drivername.startswith("sqlite"):
        if url.database in (None, "", ":memory:"):
            raise UserError(f"--storage must outlive the command, got {storage!r}, which is in memory alone")
        return url.set(database=str(Path(url.database).absolute())).render_as_string()  # relative, it'd be another file
    return storage


def patient(url: str, seconds: float) -> dict[str, Any]:
    """What SQLAlchemy's engine takes to wait for a SQLite file so long, unless the URL itself says how long; other
    databases wait by themselves, and a connection to one that was cut while a trial trained is made anew."""
    if not url.startswith("sqlite"):
        return {"pool_pre_ping": True}
    asked = {} if "timeout" in make_url(url).query else {"timeout": seconds}
    return {"connect_args": {"factory": PatientConnection, **asked}}


def out_of_reach(shown: str, error: BaseException) -> str | None:
    """What is said of a ledger, ``shown`` so, which is whole as far as anybody knows and cannot be had now: another
    program holds it, its disk is full or gone, it may not be opened, it is another version's. None for any other error,
    of SQLite, SQLAlchemy or Optuna."""
    if made := re.search(r"table schema \(set up by optuna ([^)]+)\)", str(error)):
        here = version("optuna")
        return f"{shown} is of Optuna {made[1]}, and Optuna {here} does not read it\ninstall Optuna {made[1]} or newer"
    found: BaseException | None = error
    while found is not None and not isinstance(found, sqlite3.Error):
        if isinstance(found, OperationalError) and not isinstance(found.orig, sqlite3.Error):
            reason = " ".join(str(found.orig).split())
            return f"{shown} does not answer: {reason}\nsee to its database, and run the same command again"
        found = found.__cause__ or found.__context__
    name = getattr(found, "sqlite_errorname", None) or ""
    if name.startswith(_HELD):
        held = f"{shown} is locked: another program holds it, or its file system does not answer"
        return f"{held}\nclose what has it open (a browser of databases, a backup), and run the same command again"
    if name.startswith("SQLITE_IOERR") and "LOCK" in name:
        return (
            f"{shown} cannot be locked: its file system has no locks ({name})\n"
            "put the study's folder on another disk, or its ledger into a database (--storage)"
        )
    if name.startswith(_OUT_OF_REACH) or (name.startswith("SQLITE_IOERR") and name != "SQLITE_IOERR_SHORT_READ"):
        return (
            f"{shown} cannot be had: {found} ({name})\nsee to its disk and its permissions; the file is left as it is"
        )
    return None


def masked(url: str) -> str:
    """A storage's URL as a file may hold it, its password masked, which this process keeps in memory. Raises:
    sqlalchemy.exc.ArgumentError where it is no URL."""
    parts = make_url(url).set(password=None)
    shown = parts.difference_update_query(SECRETS).render_as_string()
    if shown != url:
        _unmasked[shown] = url
    return shown


def unmasked(url: str) -> str:
    """A `masked` URL with the password that this process was given for it, or that $VAE_STORAGE has."""
    for known in os.environ.get("VAE_STORAGE", "").split():
        with suppress(ArgumentError, ValueError):
            masked(known)
    with suppress(ArgumentError, ValueError):
        return _unmasked.get(masked(url), url)
    return url


def _sqlite_url(path: Path) -> str:
    return URL.create("sqlite", database=str(path)).render_as_string()
