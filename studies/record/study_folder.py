"""A study's folder: whose it is, what was asked there, and that one driver at a time writes in it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from studies.record.ledger import same_question
from studies.study import Study
from trainables.errors import UserError
from trainables.records.atomic_files import PARTIAL, seal, unseal, write_atomic
from trainables.records.object_store import Mirror
from trainables.records.storage_urls import masked, unmasked
from trainables.records.trial_folder import TrialFolder
from trainables.text import SECRETS, without_passwords

PACKAGES = ("ray", "torch", "torchvision", "optuna", "numpy", "pandas", "scikit-learn")
ANSWER_SECONDS = 10.0
"""How long a command may take to say what this machine is."""
BEAT_SECONDS = 60.0
"""A driver on another machine that was silent for so long counts as gone."""


@dataclass(frozen=True)
class Driver:
    """The process that runs a study, whether it is "starting", "running", "pausing", "paused" or "stopping",
    and the last order that it has heard."""

    pid: int
    host: str
    began: float
    """When, in seconds since 1970; a later process may have the same pid."""
    phase: str
    heard: str = ""


class StudyFolder:
    """Paths of one study under ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()  # a link to a folder is that folder: one lock
        self.question = self.path / "study.json"
        self.trials = self.path / "trials"
        self.final = self.trials / "final"
        self.next_final = self.trials / "final.next"  # takes the place of the final training when it is done
        self.tensorboard = self.path / "tensorboard"
        self.ray = self.path / ".ray"
        # beside the folder, not in it: --fresh moves the folder aside under the lock
        self._lock, self._driver, self._request = (
            self.path.with_name(f".{self.path.name}.{what}") for what in ("lock", "driver", "request")
        )

    def trial(self, number: int) -> Path:
        return self.trials / f"{number:04d}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One driver at a time; the lock goes with the process that holds it.

        Raises:
            UserError: where another driver is at work, or the folder cannot be written.
        """
        lock = FileLock(self._lock)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
            self._request.unlink(missing_ok=True)  # of an earlier driver
            self.beat("starting")
        except Timeout as error:
            driver = self.driver()
            who = f"process {driver.pid} on {driver.host}" if driver else "another process"
            raise UserError(f"{self.path} is in use: {who} runs this study\nwait for it, or stop it") from error
        except OSError as error:
            raise UserError(f"{self.path} must be a folder that can be written: {error.strerror}") from error
        try:
            yield
        finally:
            with suppress(OSError):
                self._driver.unlink(missing_ok=True)
                self._request.unlink(missing_ok=True)
            lock.release()

    def beat(self, phase: str, heard: str = "") -> None:
        """Show that this process drives the study, and what it is at. Raises: OSError."""
        began = psutil.Process().create_time()
        driver = Driver(os.getpid(), socket.gethostname(), began, phase, heard)
        write_atomic(self._driver, json.dumps(asdict(driver)))

    def driver(self) -> Driver | None:
        """Who drives the study now, seen from this machine or another one; None where nobody does."""
        try:
            driver = Driver(**json.loads(self._driver.read_text()))
            silent = time.time() - self._driver.stat().st_mtime
        except (OSError, ValueError, TypeError):
            return None
        if driver.host != socket.gethostname():
            return driver if silent < BEAT_SECONDS else None
        with suppress(psutil.Error):
            process = psutil.Process(driver.pid)
            if abs(process.create_time() - driver.began) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return driver
        return None

    def request(self) -> tuple[str, str]:
        """What `ask` asked of the driver, and the order's name; empty where nothing. Raises: OSError."""
        with suppress(FileNotFoundError):
            what, _, order = self._request.read_text().strip().partition(" ")
            return what, order
        return "", ""

    def ask(self, what: str) -> str:
        """Ask the driver to "pause", to "resume" or to "stop"; returns the order's name. Raises: OSError."""
        order = uuid.uuid4().hex[:12]
        write_atomic(self._request, f"{what} {order}")
        return order

    def claim(
        self, study: Study, storage: str | None = None, checkpoints: str | None = None, **facts: Any
    ) -> dict[str, Any]:
        """Write the study's question, or check that the folder's is the same; ``facts`` are rewritten.

        Returns what is in study.json then: ``id`` and ``created`` for good, and the ``storage`` and the
        ``checkpoints`` of the first command where this one names none. A password is in none of them.

        Raises:
            UserError: where the folder holds another study, or a file that is no study's.
        """
        asked = study.question()
        lasting = {
            "id": uuid.uuid4().hex,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "storage": storage and masked(storage),
            "checkpoints": checkpoints,
        }
        if self.question.exists():
            try:
                found = unseal(self.question.read_bytes())
                known = {key: found[key] for key in asked}
                asked_now = lasting
                lasting = {key: found.get(key) if key == "checkpoints" else found[key] for key in lasting}
                lasting["storage"] = lasting["storage"] and masked(lasting["storage"])
            except (ValueError, KeyError, RecursionError) as error:
                raise UserError(
                    f"{self.question} is damaged: {error}\nrestore it, or use another --out, or --fresh"
                ) from error
            if differences := same_question(known, asked):
                raise UserError(
                    f"{self.path} holds another study: {'; '.join(differences)}\n"
                    "use another --out, or --fresh to move that study aside"
                )
            for key in ("storage", "checkpoints"):
                if asked_now[key] not in (None, lasting[key]):
                    raise UserError(
                        f"--storage must be the one that {self.path} began with, "
                        f"{lasting[key] or 'its own folder'}\nuse another --out, or --fresh"
                    )
        elif any(not path.match(PARTIAL) for path in self.path.iterdir()):
            raise UserError(f"{self.path} is not empty and holds no study\nuse another --out")
        record = asked | lasting | facts | provenance()
        for partial in self.path.glob(PARTIAL):
            partial.unlink()
        write_atomic(self.question, seal(record, indent=2) + "\n")
        return record

    def _recorded(self) -> dict[str, Any]:
        """What study.json says; nothing where it is missing or damaged."""
        try:
            return unseal(self.question.read_bytes())
        except (OSError, ValueError):
            return {}

    def storage(self) -> str | None:
        """The storage that the study began with, if it is not the folder's own."""
        url = self._recorded().get("storage")
        return url and unmasked(url)

    def mirror(self, path: Path) -> Mirror | None:
        """Where the checkpoints of what trains in ``path`` are kept, if not there."""
        record = self._recorded()
        if not record.get("checkpoints"):
            return None
        owner = f"{record['name']}-{record['id'][:8]}"
        return Mirror(record["checkpoints"], f"{owner}/{path.relative_to(self.path)}")

    def fetch_best(self, record: TrialFolder) -> None:
        """Bring the weights of a training that has ended here, if they are elsewhere. Raises: OSError."""
        if mirror := self.mirror(record.path):
            record.checkpoints.mkdir(exist_ok=True)
            mirror.pull(record.checkpoints, "best.safetensors")

    def drop_states(self, record: TrialFolder) -> None:
        """Forget how to go on with a training that has ended. Raises: OSError."""
        if mirror := self.mirror(record.path):
            mirror.remove("epoch_*.pt")
        record.drop_states()

    def forget(self) -> None:
        """Undo `claim`, before a trial was begun."""
        for name in ("study.json", "study.db", "study.db-journal"):
            (self.path / name).unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Remove the folder where nothing is in it."""
        with suppress(OSError):
            self.path.rmdir()

    def move_aside(self) -> Path | None:
        """Keep what is there under another name, and start over; None where there is nothing."""
        if not self.question.exists():
            return None
        kept = self.path.with_name(f"{self.path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        self.path.rename(kept)
        self.path.mkdir()
        return kept


def provenance() -> dict[str, Any]:
    """Command, versions, commit and machine, for the record."""
    return {
        "directory": str(Path.cwd()),
        "command": without_passwords(shlex.join(["python", *without_secrets(sys.argv)])),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
        "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "gpus": gpus()},
    }


def without_secrets(arguments: list[str]) -> list[str]:
    """A command line without the passwords of its URLs, and without --on-finish, which may hold any."""
    shown = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        if "--on-finish" in (before, option, argument):
            continue
        if "://" in value:
            with suppress(ArgumentError):
                url = make_url(value)
                value = masked(value) if url.password or set(SECRETS) & set(url.query) else value
        shown.append(f"{option}{equals}{value}")
    return shown


def gpus() -> list[str]:
    """The names of this machine's NVIDIA GPUs. torch would take a second to import, and memory on each."""
    return said_by("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()


def git_commit() -> str | None:
    """The project's commit, marked where files differ from it; None outside git, or without it."""
    root = str(Path(__file__).parents[2])
    return said_by("git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12") or None


def said_by(*command: str) -> str:
    """What a command prints; nothing where it fails, hangs, or is not there."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
