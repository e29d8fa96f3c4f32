"""Who runs a study: one driver at a time, seen from any machine, and what is asked of it from there."""

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from trainables.errors import UserError
from trainables.records.atomic_files import write_atomic
from trainables.records.driver import Driver, driver_of, own_place
from trainables.records.sessions import SessionLog
from trainables.records.study_layout import StudyLayout


class DriverLock:
    """The files beside a study's folder, where its driver and who asks something of it meet."""

    def __init__(self, layout: StudyLayout) -> None:
        self._layout, self._sessions = layout, SessionLog(layout)

    @contextmanager
    def acquired(self) -> Iterator[None]:
        """One driver at a time; the lock goes with the process that has it. Raises: UserError where another driver is
        at work, or the folder cannot be written."""
        path = self._layout.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._layout.lock)
            lock.acquire(timeout=0)
            self._layout.request.unlink(missing_ok=True)  # of an earlier driver
            self.beat("starting")
        except Timeout as error:
            raise self._in_use(self.driver()) from error
        except (OSError, NotImplementedError) as error:  # the second of a file system without locks
            fault = f"{path} must be a folder that can be written: {getattr(error, 'strerror', None) or error}"
            way_out = "let this user write there" if self._layout.question.exists() else "use another --out"
            raise UserError(f"{fault}\n{way_out}") from error
        try:
            yield
        finally:
            with suppress(OSError):
                self._layout.driver.unlink(missing_ok=True)
                self._layout.request.unlink(missing_ok=True)
                if not path.exists():  # a study that could not begin leaves nothing behind
                    Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def refuse_in_use(self) -> None:
        """Raises: UserError where a driver is at work. Nothing is locked."""
        if driver := self.driver():
            raise self._in_use(driver)

    def _in_use(self, driver: Driver | None) -> UserError:
        who = f"process {driver.pid} on {driver.host}" if driver else "another process"
        if driver and driver.phase == "reporting":
            return UserError(f"{self._layout.path} is in use: {who} draws its report\nwait for it")
        return UserError(f"{self._layout.path} is in use: {who} runs this study\nwait for it, or stop it")

    def beat(self, phase: str, order: str = "", left: float | None = None) -> None:
        """Show that this process drives the study, and what it is at; and record that it trains, if it does. Raises:
        OSError."""
        began = psutil.Process().create_time()
        driver = Driver(os.getpid(), socket.gethostname(), began, phase, order, left, own_place())
        write_atomic(self._layout.driver, json.dumps(asdict(driver)))
        self._sessions.beat(driver.is_training and phase != "starting")

    def driver(self) -> Driver | None:
        """Who drives the study now: see `trainables.records.driver.driver_of`."""
        return driver_of(self._layout)

    def ask(self, what: str) -> str:
        """Ask the driver to "pause", to "resume" or to "stop"; returns the order's name. Raises: OSError."""
        order = uuid.uuid4().hex[:12]
        write_atomic(self._layout.request, f"{what} {order}")
        return order

    def request(self) -> tuple[str, str]:
        """What `ask` asked of the driver, and the order's name; empty where nothing. Raises: OSError."""
        with suppress(FileNotFoundError):
            what, _, order = self._layout.request.read_text("utf-8").strip().partition(" ")
            return what, order
        return "", ""
