"""A trial's folder: what it was asked, what it reported, its checkpoints.

config.json      the TrialConfig                       written once, before the first epoch
images.json      what its images are known by          the same, where no study's record says so
metrics.jsonl    a line an epoch                       appended by the driver alone
failed.json      why it failed                         where no ledger says so
workers.log      where it ran, and its workers' logs   a line a worker, whenever a slot takes it
checkpoints/     see `trainables.training.checkpoint`           written by the trial's rank 0"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainables.config import TrialConfig
from trainables.errors import UserError, not_a_record, reason_of
from trainables.records.atomic_files import PARTIAL, read_bounded, seal, unseal, write_atomic

BEST = "best.safetensors"  # the best epoch's weights, in ``checkpoints``
METRICS = "metrics.jsonl"
_TIME = "%Y-%m-%dT%H:%M:%S%z"
STATES = "epoch_*.pt"  # names of the states to go on from, in ``checkpoints``


@dataclass(frozen=True)
class Place:
    """Where a rank of a slot runs, and the file that its output goes to."""

    rank: int
    host: str
    node: str
    pid: int
    log: str


class TrialFolder:
    """One trial's records under ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / BEST
        self._config = self.path / "config.json"
        self._images = self.path / "images.json"
        self.metrics = self.path / METRICS
        self._failed = self.path / "failed.json"
        self._workers = self.path / "workers.log"
        self._appended: tuple[int, int] | None = None  # epochs and bytes of the metrics, as of the last `append`

    def create(self, config: TrialConfig) -> None:
        """Write the config; a no-op where the same is there already."""
        if not self.holds(config):
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomic(self._config, seal(config.model_dump(mode="json"), indent=2) + "\n")

    def keep_images(self, images: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write what its images are known by, unless that is there already; returns what is. Raises: UserError where
        that cannot be read."""
        try:
            if not self._images.exists():
                write_atomic(self._images, seal(dict(images), indent=2) + "\n")
            found: Mapping[str, Any] = unseal(read_bounded(self._images))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{self._images} is damaged: {error}\nrestore it") from error
        return found

    def config(self) -> TrialConfig:
        """Raises: UserError where there is none, or it is none."""
        try:
            return TrialConfig.of_record(unseal(read_bounded(self._config)))
        except FileNotFoundError as error:
            raise UserError(f"no trial at {self.path}: {self._config.name} is missing\nrestore it") from error
        except ValidationError as error:
            raise UserError(not_a_record(self._config, "a trial's config", error, "leave out its folder")) from error
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{self._config} is damaged: {error}\nrestore it") from error

    def holds(self, config: TrialConfig) -> bool:
        """Whether this is a trial of ``config``."""
        return self._whole_config() == config

    def is_of_another(self, config: TrialConfig) -> bool:
        """Whether there is a config here, and not ``config``. One that a crash kept from being written is nobody's."""
        return self._whole_config() not in (None, config)

    def _whole_config(self) -> TrialConfig | None:
        try:
            return self.config()
        except UserError:
            return None

    def rows(self) -> list[dict[str, float]]:
        """One dictionary a reported epoch, in order; what a crash tore off at the end is no row. Raises UserError where
        a line before the end is damaged: what follows it cannot be vouched for."""
        return self._whole_lines()[0]

    def append(self, row: dict[str, float]) -> bool:
        """Record an epoch, and say whether it is new. One that is recorded is left alone: training is deterministic.
        The file is read at the first call, and again where its length is not what this object left: another process
        wrote there, or what it wrote was torn off. Raises UserError as `rows` does."""
        size = self.metrics.stat().st_size if self.metrics.exists() else 0
        if self._appended is None or self._appended[1] != size:
            rows, length = self._whole_lines()
            self._appended = len(rows), length
        epochs, length = self._appended
        if row["epoch"] <= epochs:
            return False
        line = seal(row).encode() + b"\n"
        self._appended = None  # until it is known to be there as a whole
        with self.metrics.open("ab") as file:
            file.truncate(length)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._appended = epochs + 1, length + len(line)
        return True

    def _whole_lines(self) -> tuple[list[dict[str, float]], int]:
        """The rows, and the bytes they take; a line without its end is the rest of a crash."""
        try:
            content = read_bounded(self.metrics)
        except FileNotFoundError:
            return [], 0
        except (OSError, ValueError) as error:
            fault = f"{self.metrics} cannot be read: {reason_of(error)}"
            raise UserError(f"{fault}\nrestore it, or its permissions") from error
        whole = content[: content.rfind(b"\n") + 1]
        return [self._parsed(number, line) for number, line in enumerate(whole.splitlines(), start=1)], len(whole)

    def _parsed(self, number: int, line: bytes) -> dict[str, float]:
        """The row of a line, counted from 1. Raises: UserError where it is damaged."""
        try:
            row: dict[str, float] = unseal(line)
            if row["epoch"] != number:
                raise ValueError(f"it is epoch {row['epoch']!r:.40}")
        except (ValueError, KeyError, RecursionError) as error:
            raise UserError(
                f"line {number} of {self.metrics} is damaged: {error}\n"
                "restore it; the folder of a trial that has not ended may be removed, to train it again"
            ) from error
        return row

    def note(self, places: Iterable[Place]) -> None:
        """Record where it is trained from now on. Raises: OSError."""
        now = datetime.now().astimezone().strftime(_TIME)  # C's time(), in time.strftime, lags behind by some ms
        line = "{} rank {}: process {} on {}, node {}, log {}\n"
        if lines := [line.format(now, it.rank, it.pid, it.host, it.node, it.log) for it in places]:
            with self._workers.open("a", encoding="utf-8") as file:
                file.writelines(lines)

    def taken_up(self) -> list[datetime]:
        """When its training began, or began anew, as `note` was told: in the driver's local time, without a zone, as
        Optuna's times are. What is no such line is left out."""
        found = []
        with suppress(OSError, ValueError):
            for line in read_bounded(self._workers).decode(errors="replace").splitlines():
                when, _, rest = line.partition(" ")
                with suppress(ValueError):
                    if rest.startswith("rank 0:"):
                        found.append(datetime.strptime(when, _TIME).replace(tzinfo=None))
        return found

    def fail(self, cause: str) -> None:
        """Record that the training failed, for one that is in no ledger."""
        write_atomic(self._failed, seal({"cause": cause}) + "\n")

    def cause(self) -> str | None:
        """What `fail` was told; None where it was not. Raises: UserError where the file is damaged."""
        try:
            return str(unseal(read_bounded(self._failed))["cause"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, RecursionError) as error:
            raise UserError(f"{self._failed} is damaged: {error}\nremove it, to train again") from error

    def drop_states(self) -> None:
        """Forget how to go on with a finished trial, and what crashes left half written."""
        for state in (*self.checkpoints.glob(STATES), *self.path.rglob(PARTIAL)):
            state.unlink(missing_ok=True)
