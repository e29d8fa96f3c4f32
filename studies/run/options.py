"""How a study is run: nothing here changes its question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.connect import PATIENCE
from studies.study import at_least
from trainables.slots.resources import Placement
from trainables.text import without_passwords


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where and how wide a study runs; None lets the cluster decide."""

    address: str | None = None
    workers_per_trial: int = 1
    max_concurrent: int | None = None
    gpus_per_worker: float | None = None
    trials_per_gpu: str | None = None
    """A number, or "auto" to measure how many the GPU's memory holds."""
    pack: int = 1
    placement: Placement = field(default_factory=Placement)
    trusted_network: bool = False
    """Whether a cluster may be joined in the clear from afar."""
    final_workers: int = 1
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        at_least(1, workers_per_trial=self.workers_per_trial, max_concurrent=self.max_concurrent)
        at_least(1, final_workers=self.final_workers, pack=self.pack)
        at_least(0, gpus_per_worker=self.gpus_per_worker)
        if self.pack > 1 and self.workers_per_trial > 1:
            raise ValueError(f"pack must be 1 where a trial has several workers, got {self.pack}")
        if self.trials_per_gpu is not None:
            if self.gpus_per_worker is not None:
                raise ValueError("trials_per_gpu and gpus_per_worker say the same: give one of them")
            if not (self.trials_per_gpu == "auto" or self.trials_per_gpu.isdecimal()):
                raise ValueError(f"trials_per_gpu must be a number or auto, got {self.trials_per_gpu!r}")
            if self.trials_per_gpu != "auto":
                at_least(1, trials_per_gpu=int(self.trials_per_gpu))
        if not 1 <= self.patience <= 86_400:
            raise ValueError(f"patience must be from 1 to 86,400 seconds, got {self.patience}")

    def share_of_gpu(self) -> float | None:
        """What of a GPU a worker takes, as far as the options say."""
        if self.trials_per_gpu is None or self.trials_per_gpu == "auto":
            return self.gpus_per_worker
        return 1 / max(1, int(self.trials_per_gpu) // self.pack)


@dataclass(frozen=True, kw_only=True)
class Sinks:
    """Where its trials are shown besides its folder; ``mlflow`` is a tracking URI."""

    tensorboard: bool = False
    mlflow: str | None = None

    def __bool__(self) -> bool:
        return self.tensorboard or self.mlflow is not None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a study may take: hours of this command, and hours of a GPU over all its trainings."""

    hours: float | None = None
    gpu_hours: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("--max-hours", self.hours), ("--max-gpu-hours", self.gpu_hours)):
            if value is not None and not 0 < value < 1e6:
                raise ValueError(f"{name} must be above 0 and below 1,000,000, got {value:g}")


OBJECT_STORES = re.compile(r"(s3|gs|gcs|abfs|abfss|file)://")


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where a study keeps what is not in its folder; None keeps it there."""

    ledger: str | None = None
    """An Optuna storage's URL."""
    checkpoints: str | None = None
    """A URI in an object store."""

    @classmethod
    def of(cls, places: Sequence[str]) -> Storage:
        """Tell them apart by their schemes. Raises: ValueError for two of a kind."""
        found: dict[str, str] = {}
        for place in places:
            kind = "checkpoints" if OBJECT_STORES.match(place) else "ledger"
            if kind in found:
                raise ValueError(f"--storage must name one database and one object store at most, got two {kind}")
            if kind == "checkpoints" and ("@" in place or without_passwords(place) != place):
                raise ValueError(
                    "--storage must hold no credentials of an object store: each node finds them for itself; "
                    f"got {without_passwords(place)}"
                )
            found[kind] = place
        return cls(**found)


@dataclass(frozen=True, kw_only=True)
class Options:
    """All of it, as a command line has it."""

    data_dir: Path | None = None
    resources: Resources = field(default_factory=Resources)
    budget: Budget = field(default_factory=Budget)
    storage: Storage = field(default_factory=Storage)
    sinks: Sinks = field(default_factory=Sinks)
    fresh: bool = False
    """Whether an earlier study in the folder is moved aside."""
