"""What is said between the trials of Tune and the slots: jobs one way, news the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainables.config import TrialConfig
from trainables.metrics import Metrics
from trainables.records.object_store import Mirror
from trainables.records.trial_folder import Place

DIED = "its workers died"
"""How the cause of a training's end begins whose reason only the workers' logs know."""


@dataclass(frozen=True)
class Job:
    """One training to do."""

    id: str
    config: TrialConfig
    folder: Path
    data_dir: Path | None
    mirror: Mirror | None = None  # of its checkpoints, where not every node sees the folder
    recorded: int = 0  # epochs that its reader has seen
    assigned: int = 0  # how often its reader has seen it assigned to a slot
    judged: frozenset[int] = frozenset()  # epochs, from 1, after which its reader may end it
    images: Mapping[str, Any] | None = None  # what its study's are known by: see `Dataset.identity`

    def after(self, epochs: int, assignments: int = 0) -> "Job":
        """The same job, of which its reader has seen as many more."""
        return replace(self, recorded=self.recorded + epochs, assigned=self.assigned + assignments)


@dataclass(frozen=True)
class Assignment:
    """A slot has been given a job; after ``waited`` seconds, or None where it had the job before its workers died."""

    places: tuple[Place, ...]
    waited: float | None


@dataclass(frozen=True)
class Underway:
    """How far a job is within an epoch that has not ended. Only people are told: nothing is decided by it."""

    epoch: int  # from 1
    share: float  # of its steps, from 0 to below 1
    seconds: float  # since it began
    images_per_second: float  # since then, over all workers


@dataclass(frozen=True)
class News:
    """A job's rows that its reader has not seen; ``ended`` once no more will come, ``cause`` if it failed."""

    rows: list[Metrics]
    ended: bool = False
    cause: str | None = None
    lost: bool = False  # whether the cause is not the job's own, but that of where it ran, or that no slot is left
    assignments: list[Assignment] = field(default_factory=list)  # those that its reader has not seen
