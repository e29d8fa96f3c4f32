"""What a trial trains in: one process, or the process group of a slot's DDP workers; its device and its memory."""

import ctypes
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

Rows = TypeVar("Rows", np.ndarray, Tensor)
Value = TypeVar("Value")
Turns = Generator[bool, None, Value]
"""Work that is done in turns with others', and comes to a value: at each turn it has done, or queued, a part of it
(True), or waits for the device (False)."""

_IDLE_SECONDS = 0.0005
_NO_MEMORY = 2  # cudaErrorMemoryAllocation
_CPU = torch.device("cpu")
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
_TOP_PAD = 256 << 20  # bytes asked for beyond what is needed, whenever the heap grows
_LARGEST = 1 << 30  # bytes of the largest allocation that comes from the heap, and of what it keeps when it is free


def first_device() -> torch.device:
    """This machine's first GPU, or its CPU."""
    if not torch.cuda.is_available():
        return _CPU
    use_gpu(device := torch.device("cuda", 0))
    return device


def use_gpu(device: torch.device) -> None:
    """Let this process compute on a GPU, and the same each time: with algorithms that add up in one order, and a
    workspace of one size for cuBLAS, which reads of it when its first product begins."""
    torch.cuda.set_device(device)
    torch.backends.cudnn.deterministic = True
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def keep_freed_memory() -> None:
    """Keep what a batch frees for the next batch of the same size, instead of returning it to the kernel and faulting
    it in again, page by page, at every step. Does nothing where the C library is not glibc."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST)
        mallopt(_M_TOP_PAD, _TOP_PAD)


class SharedClock:
    """Seconds, each divided among the trainings that take turns in this process: a GPU that a pack keeps busy for an
    hour was held for an hour, and not for an hour by each."""

    def __init__(self) -> None:
        self._seconds, self._since, self._sharers = 0.0, time.perf_counter(), 1

    def __call__(self) -> float:
        """Of one of them, since the beginning."""
        now = time.perf_counter()
        self._seconds += (now - self._since) / self._sharers
        self._since = now
        return self._seconds

    def share(self, count: int) -> None:
        """From now on each is divided among so many."""
        self()
        self._sharers = max(1, count)


@dataclass(frozen=True)
class World:
    """This process among ``size``, which are a group of ``torch.distributed`` where there are more, computing on
    ``device``."""

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU
    gpus: float = 1.0  # what of its device, if it is a GPU, each process holds
    clock: Callable[[], float] = time.perf_counter  # of the seconds that a training costs

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

    def wait(self) -> None:
        """Until its device has done all that is queued there. Raises: torch.AcceleratorError where a GPU is lost."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def put(self, values: Tensor) -> Tensor:
        """A tensor of the host on the device. Nothing waits: a GPU copies from memory that stays in its place."""
        if self.device.type == "cuda":
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def read(self, values: Tensor) -> Turns[np.ndarray]:
        """The sum over all ranks, on the host once it is computed."""
        values = self.sum(values).to("cpu", non_blocking=True)
        if self.device.type == "cuda":
            yield from until_done(torch.cuda.current_stream(self.device).record_event())
        return values.numpy()


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device had no room for what was asked: also where CUDA itself says so, not torch's own memory."""
    by_cuda = isinstance(error, torch.AcceleratorError) and getattr(error, "error_code", None) == _NO_MEMORY
    return by_cuda or isinstance(error, torch.OutOfMemoryError)


def until_done(event: torch.cuda.Event) -> Iterator[bool]:
    """Turns until a GPU has come so far."""
    while not event.query():
        yield False


def finished(turns: Turns[Value]) -> Value:
    """What they come to."""
    while True:
        try:
            rest(next(turns))
        except StopIteration as end:
            value: Value = end.value
            return value


def rest(turn: object) -> None:
    """After a turn that waits, leave the core to others for a moment."""
    if turn is False:
        time.sleep(_IDLE_SECONDS)


ALONE = World()  # this process, on its CPU
