"""What a trial trains in: one process, or the process group of a slot's DDP workers; its device and its memory."""

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

Rows = TypeVar("Rows", np.ndarray, Tensor)
_CPU = torch.device("cpu")
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
_TOP_PAD = 256 << 20  # bytes asked for beyond what is needed, whenever the heap grows
_LARGEST = 1 << 30  # bytes of the largest allocation that comes from the heap, and of what it keeps when it is free


def first_device() -> torch.device:
    """This machine's first GPU, or its CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else _CPU


def keep_freed_memory() -> None:
    """Keep what a batch frees for the next batch of the same size, instead of returning it to the kernel and faulting
    it in again, page by page, at every step. Does nothing where the C library is not glibc."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST)
        mallopt(_M_TOP_PAD, _TOP_PAD)


@dataclass(frozen=True)
class World:
    """This process among ``size``, which are a group of ``torch.distributed`` where there are more, computing on
    ``device``."""

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU
    gpus: float = 1.0  # what of its device, if it is a GPU, each process holds

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


ALONE = World()  # this process, on its CPU
