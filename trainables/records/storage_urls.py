"""Where a study's Optuna storage is, and whose study in it this is. Passwords stay out of files."""

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.text import SECRETS

OWNER = "folder"  # the user attribute of an Optuna study that says whose it is: the ``id`` in study.json
_unmasked: dict[str, str] = {}  # masked URL -> the one with its password, of those that this process has seen


def storage_url(folder: Path, storage: str | None) -> str:
    """The URL of a study's storage: SQLite in its folder, unless ``storage`` names another. Raises: UserError where
    that is no URL, or of a database in memory."""
    if storage is None:
        return _sqlite_url(StudyLayout(folder.resolve()).ledger)
    try:
        url = make_url(storage)
    except ArgumentError as error:
        raise UserError(f"--storage must be a database's URL, got {storage!r}") from error
    if url.drivername.startswith("sqlite"):
        if url.database in (None, "", ":memory:"):
            raise UserError(f"--storage must outlive the command, got {storage!r}, which is in memory alone")
        return _sqlite_url(Path(url.database).absolute())  # relative, it would be another file elsewhere
    return storage


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
        with suppress(ArgumentError):
            masked(known)
    with suppress(ArgumentError):
        return _unmasked.get(masked(url), url)
    return url


def _sqlite_url(path: Path) -> str:
    return URL.create("sqlite", database=str(path)).render_as_string()
