"""How a study is run: nothing here changes its question. Fields with a `typer.Option` are options of its command."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typer import Option

from cluster.connect import PATIENCE
from cluster.plan import Node
from studies.study import at_least
from trainables.slots.resources import MOST_IN_TURNS, Placement
from trainables.text import without_passwords

_KINDS = {"ledger": "databases", "checkpoints": "object stores"}
_OBJECT_STORES = re.compile(r"(s3|gs|gcs|abfs|abfss|file)://")


def _holds_credentials(uri: str) -> bool:
    """Whether an object store's URI names more than the store; Azure's container@account is its name."""
    scheme, _, rest = uri.partition("://")
    user = rest.partition("/")[0].rpartition("@")[0]
    is_name = scheme in ("abfs", "abfss") and ":" not in user
    return bool(user and not is_name) or without_passwords(uri) != uri


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where and how wide a study runs; None lets the cluster decide."""

    workers_per_trial: Annotated[int, Option(help="DDP workers of a trial.")] = 1
    max_concurrent: Annotated[
        int | None, Option(help="Trials at once. [default: what the cluster holds, up to a quarter of the trials]")
    ] = None
    gpus_per_worker: Annotated[
        float | None, Option(help="May be a fraction. [default: 1, or less where there are fewer GPUs than workers]")
    ] = None
    pack: Annotated[
        str,
        Option(
            "--pack",
            "--trials-per-gpu",
            metavar="N|auto",
            help="Trials that a process trains in turns; auto: on a GPU what serves it best, measured once; else 1.",
        ),
    ] = "auto"
    final_workers: Annotated[int, Option(help="DDP workers of the last training.")] = 1
    address: Annotated[
        str | None,
        Option(envvar="RAY_ADDRESS", help="A running Ray cluster, host:port or auto. [default: this machine]"),
    ] = None
    trusted_network: Annotated[bool, Option("--trusted-network", help="Join a cluster elsewhere without TLS.")] = False
    patience: Annotated[
        float, Option(help="Seconds until a worker that does not answer, or finds no place, is given up.")
    ] = PATIENCE
    placement: Placement = field(default_factory=Placement)

    def __post_init__(self) -> None:
        at_least(1, workers_per_trial=self.workers_per_trial, max_concurrent=self.max_concurrent)
        at_least(1, final_workers=self.final_workers)
        at_least(0, gpus_per_worker=self.gpus_per_worker)
        if (self.gpus_per_worker or 0) > 1 and self.gpus_per_worker % 1:  # type: ignore[operator]
            raise ValueError(f"gpus_per_worker must be a whole number above 1, got {self.gpus_per_worker:g}")
        if self.pack not in ("auto", *map(str, range(1, MOST_IN_TURNS + 1))):
            raise ValueError(f"--pack must be auto or from 1 to {MOST_IN_TURNS}, got {self.pack!r}")
        if (self.asked_pack or 1) > 1 and self.workers_per_trial > 1:
            raise ValueError(f"--pack must be 1 where a trial has several workers, got {self.pack}")
        if not 1 <= self.patience <= 86_400:
            raise ValueError(f"patience must be from 1 to 86,400 seconds, got {self.patience}")

    @property
    def asked_pack(self) -> int | None:
        """Trials that a process trains in turns; None: to be measured where there is a GPU."""
        return None if self.pack == "auto" else int(self.pack)

    def measures_pack(self, cluster: Sequence[Node]) -> bool:
        """Whether how many trials share a GPU is to be measured: none is asked for, and a process may have a whole one
        to itself."""
        is_whole = self.workers_per_trial == 1 and self.gpus_per_worker in (None, 1)
        return self.asked_pack is None and is_whole and any(node.gpus for node in cluster)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a study may take."""

    hours: Annotated[float | None, Option("--max-hours", help="Hours after which this command ends the study.")] = None
    gpu_hours: Annotated[float | None, Option("--max-gpu-hours", help="GPU hours, in all, after which it ends.")] = None

    def __post_init__(self) -> None:
        for name, value in (("--max-hours", self.hours), ("--max-gpu-hours", self.gpu_hours)):
            if value is not None and not 0 < value < 1e6:
                raise ValueError(f"{name} must be above 0 and below 1,000,000, got {value:g}")


@dataclass(frozen=True, kw_only=True)
class Sinks:
    """Where its trials are shown besides its folder."""

    tensorboard: Annotated[bool, Option("--tensorboard", help="Write event files too, a folder a trial.")] = False
    mlflow: Annotated[str | None, Option(metavar="URI", help="Write MLflow runs too, one a trial, there.")] = None


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where a study keeps what is not in its folder; None keeps it there."""

    ledger: str | None = None  # an Optuna storage's URL
    checkpoints: str | None = None  # a URI in an object store

    @classmethod
    def of(cls, places: Sequence[str]) -> "Storage":
        """Tell them apart by their schemes. Raises: ValueError for two of a kind."""
        found: dict[str, str] = {}
        for place in places:
            if not place.strip():
                raise ValueError(f"--storage must be a database's URL or an object store's, got {place!r}")
            if re.fullmatch(r"(s3|gs|gcs|abfs|abfss)://([/?].*)?", place):
                raise ValueError(f"--storage must name a bucket, such as s3://bucket/path, got {place!r}")
            kind = "checkpoints" if _OBJECT_STORES.match(place) else "ledger"
            if kind in found:
                raise ValueError(
                    f"--storage must name one database and one object store at most, got two {_KINDS[kind]}"
                )
            if kind == "checkpoints" and _holds_credentials(place):
                rule = "--storage must hold no credentials of an object store: each node finds them for itself"
                raise ValueError(f"{rule}; got {without_passwords(place)}")
            found[kind] = place
        return cls(**found)


@dataclass(frozen=True, kw_only=True)
class Options:
    """All of it."""

    data_dir: Path | None = None
    resources: Resources = field(default_factory=Resources)
    budget: Budget = field(default_factory=Budget)
    storage: Storage = field(default_factory=Storage)
    sinks: Sinks = field(default_factory=Sinks)
    fresh: bool = False  # whether an earlier study in the folder is moved aside
    report: bool = True  # whether a report is drawn at the end
    may_download: bool = True  # whether a data set that is not there is to be had now
    is_protocol: bool = False  # whether its configuration is a published one, and nobody is advised to change it
