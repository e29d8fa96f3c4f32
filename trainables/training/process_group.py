"""The process group a trial trains in: one process, or the DDP workers of a slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

Rows = TypeVar("Rows", np.ndarray, Tensor)


CPU = torch.device("cpu")


def first_device() -> torch.device:
    """This machine's first GPU, or its CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else CPU


@dataclass(frozen=True)
class World:
    """This process among ``size``, computing on ``device``."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    gpus: float = 1.0
    """What of its device, if it is a GPU, each process holds."""

    @classmethod
    def current(cls, device: torch.device | str = "cpu", gpus: float = 1.0) -> World:
        """The initialised ``torch.distributed`` group, or a world of one."""
        device = torch.device(device)
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size(), device, gpus)
        return cls(device=device, gpus=gpus)

    def cost(self, seconds: float) -> dict[str, float]:
        """What its processes hold for so long: ``cpu_seconds`` of cores and ``gpu_seconds`` of GPUs."""
        gpus = self.gpus if self.device.type == "cuda" else 0.0
        processes = self.size * seconds
        return {"cpu_seconds": processes * torch.get_num_threads(), "gpu_seconds": processes * gpus}

    def share(self, rows: Rows) -> Rows:
        """This rank's contiguous part of a global batch; parts differ by one row at most."""
        start, stop = (len(rows) * r // self.size for r in (self.rank, self.rank + 1))
        return rows[start:stop]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, in place: reduce sums and counts, then divide once."""
        if self.size > 1:
            dist.all_reduce(values)
        return values
