"""A trial's folder: what it was asked, what it reported, its checkpoints.

config.json      the TrialConfig                       written once, before the first epoch
metrics.jsonl    a line an epoch                       appended by the driver alone
checkpoints/     see `trainables.checkpoint`           written by the trial's rank 0
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from trainables.config import TrialConfig, explain
from trainables.errors import UserError
from trainables.files import write_atomic


class TrialFolder:
    """One trial's records under ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.safetensors"
        self._config = self.path / "config.json"
        self._metrics = self.path / "metrics.jsonl"

    def create(self, config: TrialConfig) -> None:
        """Write the config; a no-op where the same is there already."""
        content = config.model_dump_json(indent=2) + "\n"
        if not self._config.exists() or self._config.read_text() != content:
            write_atomic(self._config, content)

    def config(self) -> TrialConfig:
        """Raises: UserError where there is none, or it is none."""
        try:
            return TrialConfig.model_validate_json(self._config.read_text())
        except FileNotFoundError as error:
            raise UserError(f"no trial at {self.path}: {self._config.name} is missing") from error
        except ValidationError as error:
            raise UserError(f"{self._config} is not a trial's config: {explain(error)}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self._config} cannot be read: {error}") from error

    def holds(self, config: TrialConfig) -> bool:
        """Whether this is a trial of ``config``."""
        try:
            return self.config() == config
        except UserError:
            return False

    def rows(self) -> list[dict[str, float]]:
        """One dictionary a reported epoch, in order; a line torn by a crash is not a row."""
        return self._whole_lines()[0]

    def append(self, row: dict[str, float]) -> None:
        """Record an epoch. Epochs already recorded are left alone: training is deterministic."""
        rows, length = self._whole_lines()
        if row["epoch"] <= len(rows):
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with self._metrics.open("ab") as file:
            file.truncate(length)
            file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _whole_lines(self) -> tuple[list[dict[str, float]], int]:
        """The rows up to the first line that is not the next epoch, and the bytes they take."""
        rows: list[dict[str, float]] = []
        length = 0
        content = self._metrics.read_bytes() if self._metrics.exists() else b""
        for line in content.splitlines(keepends=True):
            try:
                row = json.loads(line)
                whole = line.endswith(b"\n") and row["epoch"] == len(rows) + 1
            except (ValueError, TypeError, KeyError):
                whole = False
            if not whole:
                break
            rows.append(row)
            length += len(line)
        return rows, length

    def drop_states(self) -> None:
        """Forget how to go on with a finished trial: its best weights stay."""
        for state in self.checkpoints.glob("epoch_*.pt"):
            state.unlink(missing_ok=True)
