"""What a slot takes of a cluster, and where; needs neither Ray nor torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_IN_TURNS = 32
"""Trainings of one process: each has a CUDA stream of its own, of which torch has so many."""
START_ATTEMPTS = 2  # how often a slot's workers are started before they are given up for lack of room


@dataclass(frozen=True)
class Placement:
    """Which nodes are wanted: those with an accelerator of Ray's types, and with labels."""

    accelerator: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        """As Ray takes it."""
        found: dict[str, Any] = {"accelerator_type": self.accelerator} if self.accelerator else {}
        return found | ({"label_selector": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True)
class SlotResources:
    """What a slot takes: DDP workers, CPUs (also its threads) and GPUs for each of them, and ``pack`` trials, which it
    trains together."""

    workers: int
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    pack: int = 1
    placement: Placement = field(default_factory=Placement)
