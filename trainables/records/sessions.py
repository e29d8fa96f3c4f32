"""When drivers trained a study, as its folder tells: sessions.jsonl, a sealed line a session, which lasts from when its
driver has a cluster until that is given back, for a pause or for good. The last line is rewritten while the session
lasts, so that of a driver that is killed it is known until when it lived, in a copy of the folder too."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from trainables.records.atomic_files import read_bounded, seal, unseal, write_atomic
from trainables.records.study_layout import StudyLayout

BEAT_SECONDS = 10.0  # by which a session that was cut short may have lasted longer than its line says


@dataclass(frozen=True)
class Session:
    """In the local time of its driver, without a zone, as Optuna's times are."""

    began: datetime
    seen: datetime  # when it ended, or its driver was last seen alive


def sessions_of(layout: StudyLayout) -> list[Session]:
    """All that are recorded, by when they began; none of a folder of before there were any. What is no such line, or
    damaged, is left out."""
    lines = b""
    with suppress(OSError):
        lines = _whole(layout)
    return sorted(_parsed(lines), key=lambda session: session.began)


def _parsed(lines: bytes) -> Iterator[Session]:
    for line in lines.splitlines():
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            values = unseal(line)
            began, seen = (datetime.fromisoformat(values[key]).replace(tzinfo=None) for key in ("began", "seen"))
            yield Session(began, max(began, seen))  # by a clock that was set


def _whole(layout: StudyLayout) -> bytes:
    """The file up to the end of its last line; nothing where there is none. Raises: OSError where it cannot be read: it
    must not be written anew then."""
    try:
        content = read_bounded(layout.sessions)
    except FileNotFoundError:
        return b""
    except ValueError as error:  # larger than any
        raise OSError(str(error)) from error
    return content[: content.rfind(b"\n") + 1]


class SessionLog:
    """Records the sessions of this process."""

    def __init__(self, layout: StudyLayout) -> None:
        self._layout = layout
        self._before = b""  # the lines of other sessions
        self._began: datetime | None = None  # of the one that lasts
        self._told = 0.0  # when its line was last written

    def beat(self, is_training: bool) -> None:
        """The driver lives: a session begins, lasts or, where the driver trains no more, ends. Raises: OSError."""
        now, is_new = datetime.now().astimezone(), self._began is None
        if (is_new and not is_training) or not self._layout.question.is_file():  # the folder may have vanished
            return
        if is_new:
            self._before = _whole(self._layout)  # where that is not known, the next beat begins it
            self._began = now
        elif is_training and time.monotonic() - self._told < BEAT_SECONDS:
            return
        times = {"began": self._began, "seen": now}
        line = seal({key: it.isoformat(timespec="milliseconds") for key, it in times.items() if it})
        write_atomic(self._layout.sessions, self._before + line.encode() + b"\n")
        self._told = time.monotonic()
        if not is_training:
            self._began = None
