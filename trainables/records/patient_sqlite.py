"""A SQLite file that another program may hold for a while."""

import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from trainables.errors import WaitWarning

_TRY_SECONDS = 0.5  # that SQLite waits inside a call, in which Python answers no signal
_SILENT_SECONDS = 5.0
_Result = TypeVar("_Result")


class PatientConnection(sqlite3.Connection):
    """Waits as long for a file that is locked as its ``timeout`` in seconds says, and a Ctrl-C ends that; after the
    first seconds, a `WaitWarning` says that it waits."""

    def __init__(self, database: str, timeout: float = 5.0, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, min(timeout, _TRY_SECONDS), *args, **kwargs)
        self._patience = timeout

    def cursor(self, factory: Any = None) -> Any:
        """A cursor that waits, too."""
        return super().cursor(factory or _PatientCursor)

    def execute(self, *args: Any) -> Any:
        """As the parent's, in such a cursor."""
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """As the parent's, in such a cursor."""
        return self.cursor().executemany(*args)

    def commit(self) -> None:
        """Commit."""
        self.patiently(super().commit)

    def patiently(self, step: Callable[[], _Result]) -> _Result:
        """What ``step`` returns, which is tried again while another program holds the file. Raises:
        sqlite3.OperationalError where it holds it longer."""
        began, changes, is_said = time.monotonic(), self.total_changes, False
        while True:
            tried = time.monotonic()
            try:
                return step()
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                # SQLite does not wait for who waits for this connection itself
                has_waited = now - tried >= min(self._patience, _TRY_SECONDS) / 2
                if not (is_busy and has_waited and self.total_changes == changes) or now - began >= self._patience:
                    raise
            if not is_said and now - began >= _SILENT_SECONDS:
                is_said = True
                (_, _, path) = self.execute("PRAGMA database_list").fetchone()
                left = self._patience - (now - began)
                text = f"{path} is locked: another program holds it; waiting for up to {left:.0f} s more"
                warnings.warn(WaitWarning(text), stacklevel=2)


class _PatientCursor(sqlite3.Cursor):
    connection: PatientConnection

    def execute(self, sql: str, parameters: Any = ()) -> "_PatientCursor":
        return self.connection.patiently(lambda: super(_PatientCursor, self).execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any]) -> "_PatientCursor":
        rows = list(parameters)
        return self.connection.patiently(lambda: super(_PatientCursor, self).executemany(sql, rows))
