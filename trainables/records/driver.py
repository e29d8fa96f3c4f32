"""Who runs a study now, as the file beside its folder tells it to whoever reads the study."""

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field, TypeAdapter

from trainables.records.atomic_files import read_bounded
from trainables.records.study_layout import StudyLayout

_BEAT_SECONDS = 60.0  # a driver on another machine that was silent for so long counts as gone


@dataclass(frozen=True)
class Driver:
    """The process that runs a study."""

    pid: Annotated[int, Field(gt=0, lt=2**31)]
    host: str
    began: float  # when, in seconds since 1970; a later process may have the same pid
    phase: str  # "starting", "running", "pausing", "paused", "stopping", "closing" or "reporting"
    order: str = ""  # the last that it has read: see `studies.record.driver_lock.DriverLock.ask`
    left: float | None = None  # seconds that it still takes, its report among them; None while that is not known
    place: str = ""  # where its pid is a process: see `own_place`; of an older version nowhere

    @property
    def is_training(self) -> bool:
        """Whether the trials that have not ended run: a pause interrupts them, and nothing trains after all has."""
        return self.phase not in ("paused", "closing", "reporting")


_DRIVER = TypeAdapter(Driver)


def own_place() -> str:
    """What tells the processes of this machine and this container from those of others that bear the same name; empty
    where the system does not say."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def driver_of(layout: StudyLayout) -> Driver | None:
    """Who drives a study now, seen from this machine or another one; None where nobody does."""
    path = layout.driver
    if path.is_symlink() or not path.is_file():  # whoever reads a study does not trust what lies beside it
        return None
    try:
        driver = _DRIVER.validate_json(read_bounded(path), strict=True)
        silent = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    if driver.host != socket.gethostname() or driver.place not in ("", own_place()):
        return driver if silent < _BEAT_SECONDS else None
    with suppress(psutil.Error):
        process = psutil.Process(driver.pid)
        if abs(process.create_time() - driver.began) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return driver
    return None
