"""A large study's table as it was last read and checked, for as long as none of the study's files changes."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException

from trainables.data.cache import cache_folder
from trainables.errors import UserError
from trainables.records.atomic_files import write_atomic

WORTH_SECONDS = 1.0
"""What takes less is read again."""
MOST = 32
"""Tables that are kept, those made last."""
FORMAT = 2
"""A change of the tables' columns, or of how they are made, makes every old one stale."""


def remembered(folder: Path, read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """``read()``, or what it returned when the files of ``folder`` were last as they are now.

    A table is kept below ``$VAE_CACHE_DIR/tables``, where it can be, under a hash of the names, sizes and
    times of change of everything that it is made of.
    """
    try:
        tables = cache_folder() / "tables"
    except UserError:  # there is no home to keep it in
        return read()
    before = stamp(folder)
    table = tables / f"{before}.arrow"
    with suppress(OSError, ArrowException):
        return pd.read_feather(table)
    began = time.monotonic()
    frame = read()
    if time.monotonic() - began > WORTH_SECONDS and stamp(folder) == before:
        with suppress(OSError, ArrowException):
            keep(frame, table)
    return frame


def keep(frame: pd.DataFrame, table: Path) -> None:
    table.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    frame.to_feather(buffer)
    write_atomic(table, buffer.getvalue())
    for old in sorted(table.parent.glob("*.arrow"), key=os.path.getmtime)[:-MOST]:
        old.unlink()


def stamp(folder: Path) -> str:
    """A hash of what the study's own files look like from outside."""
    root = folder.resolve()
    paths = [str(path) for path in sorted(root.glob("study.*"))]
    with suppress(OSError), os.scandir(root / "trials") as trials:
        for trial in sorted(entry.path for entry in trials):
            paths += [f"{trial}/config.json", f"{trial}/metrics.jsonl"]
    seen = hashlib.sha256(f"{FORMAT} {pd.__version__}\n".encode())
    for path in paths:
        with suppress(OSError):  # who reads it will say so
            status = Path(path).stat()
            # the time of change, too: a copy may bring its old time of modification along
            times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
            seen.update(f"{path}\0{status.st_ino} {status.st_size} {times}\n".encode())
    return seen.hexdigest()
