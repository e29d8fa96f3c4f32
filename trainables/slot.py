"""Slots: long-lived Ray Train runs whose DDP workers serve trial after trial from a mailbox.

A stock `TorchTrainer.fit()` takes many seconds to bring its workers up and down; a slot pays that once a
study. `Slots` opens them, `Mailbox` holds the jobs, `serve` is what each worker runs.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from trainables.config import TrialConfig
from trainables.loop import Metrics, NonFiniteError
from trainables.records import TrialFolder
from trainables.train import train
from trainables.world import World

MAX_DEATHS = 3
"""A job whose workers die this often without a new epoch between is at fault itself."""
VERDICT_SHARE = 0.1
"""How long a worker waits to hear whether its trial is pruned, as a share of the epoch's time."""
IDLE_SECONDS = 10.0
"""An idle slot's ranks meet this often, far below the process group's own time-out."""


@dataclass(frozen=True)
class Job:
    """One trial to train."""

    id: str
    config: TrialConfig
    folder: Path
    data_dir: Path | None
    recorded: int = 0
    """Epochs the driver has recorded already."""


@dataclass(frozen=True)
class SlotResources:
    """What a slot takes: DDP workers, and CPUs (also its threads) and GPUs for each of them."""

    workers: int
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0


@dataclass(frozen=True)
class News:
    """A job's rows that its reader has not seen; ``ended`` once no more will come, ``cause`` if it failed."""

    rows: list[Metrics]
    ended: bool
    cause: str | None


@dataclass
class _Entry:
    job: Job
    slot: str | None = None
    rows: list[Metrics] = field(default_factory=list)
    judged: int = 0
    deaths: int = 0
    cancelled: bool = False
    ended: bool = False
    cause: str | None = None


class Mailbox:
    """Jobs on their way to slots and reports on their way back; asyncio, so that no call blocks another."""

    def __init__(self, slots: list[str]) -> None:
        self._entries: dict[str, _Entry] = {}
        self._queue: deque[str] = deque()
        self._slots = set(slots)
        self._closed = False
        self._changed = asyncio.Condition()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, ready: Callable[[], bool], timeout: float | None = None) -> None:
        async with self._changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(ready), timeout)

    async def submit(self, job: Job) -> None:
        """Queue a job. One that is known already goes on as it is: its reader was restarted."""
        known = self._entries.get(job.id)
        if known is not None and not (known.ended and known.cancelled):
            return
        self._entries[job.id] = _Entry(job)
        self._queue.append(job.id)
        if not self._slots:
            self._end(job.id, "no slot is left to run it")
        await self._notify()

    async def take(self, slot: str) -> Job | str:
        """The next job for a slot, "idle" after a while without one, "close" at the end.

        A slot that asks while it has a job lost its workers: it gets the same job again.
        """
        for entry in self._entries.values():
            if entry.slot == slot and not entry.ended:
                entry.deaths += 1
                if entry.deaths < MAX_DEATHS and not entry.cancelled:
                    return replace(entry.job, recorded=entry.job.recorded + len(entry.rows))
                self._end(entry.job.id, f"its workers died {entry.deaths} times without a new epoch")
                await self._notify()
        await self._wait(lambda: bool(self._queue) or self._closed, IDLE_SECONDS)
        if self._queue:
            entry = self._entries[self._queue.popleft()]
            entry.slot = slot
            return entry.job
        return "close" if self._closed else "idle"

    async def report(self, job_id: str, row: Metrics) -> bool:
        """An epoch's row; answers whether to go on.

        Waits for the reader's verdict up to VERDICT_SHARE of the epoch's time: a poor trial ends here where
        epochs are long, and none waits where they are short (it may then train an epoch too many).
        """
        entry = self._entries[job_id]
        entry.rows.append(row)
        entry.deaths = 0
        await self._notify()
        patience = VERDICT_SHARE * row["epoch_seconds"]
        await self._wait(lambda: entry.judged >= len(entry.rows) or entry.cancelled, patience)
        return not entry.cancelled

    async def finish(self, job_id: str, cause: str | None) -> None:
        """The job ended in its slot; ``cause`` says why if it failed."""
        self._end(job_id, cause)
        await self._notify()

    def _end(self, job_id: str, cause: str | None) -> None:
        entry = self._entries[job_id]
        if not entry.ended:
            entry.ended, entry.cause, entry.slot = True, cause, None

    async def news(self, job_id: str, seen: int) -> News:
        """Waits for rows after the first ``seen``, which the reader lets stand; or for an end, or a while."""
        entry = self._entries[job_id]
        entry.judged = seen
        await self._notify()
        await self._wait(lambda: len(entry.rows) > seen or entry.ended, IDLE_SECONDS)
        return News(entry.rows[seen:], entry.ended, entry.cause)

    async def cancel(self, job_id: str) -> None:
        """Stop a job at its next epoch; its slot takes the next one then."""
        entry = self._entries[job_id]
        entry.cancelled = True
        if job_id in self._queue:
            self._queue.remove(job_id)
            self._end(job_id, None)
        await self._notify()

    async def lose(self, slot: str, cause: str) -> None:
        """A slot is gone for good: its job goes back to the queue, or fails if no slot is left."""
        self._slots.discard(slot)
        for job_id, entry in self._entries.items():
            if entry.slot == slot and not entry.ended:
                entry.slot = None
                entry.job = replace(entry.job, recorded=entry.job.recorded + len(entry.rows))
                self._queue.appendleft(job_id)
        if not self._slots:
            while self._queue:
                self._end(self._queue.popleft(), cause)
        await self._notify()

    async def close(self) -> None:
        """No more jobs: slots end when they are idle."""
        self._closed = True
        await self._notify()


def serve(slot: dict[str, Any]) -> None:
    """What every worker of a slot runs: take a job, train it, report, until the mailbox closes."""
    mailbox, threads = slot["mailbox"], slot["threads"]
    torch.set_num_threads(threads)
    device = ray.train.torch.get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    world = World.current(device)
    # control messages travel over gloo, whatever the gradients use
    control: Any = dist.new_group(backend="gloo") if world.size > 1 else None

    def ask_rank_0(question: Callable[[], Any]) -> Any:
        answer = [question() if world.rank == 0 else None]
        if control is not None:
            dist.broadcast_object_list(answer, src=0, group=control)
        return answer[0]

    while True:
        job = ask_rank_0(lambda: ray.get(mailbox.take.remote(slot["name"])))
        if job == "close":
            return
        if job != "idle":
            serve_job(job, world, mailbox, ask_rank_0)


def tell(mailbox: Any, job_id: str, row: Metrics) -> bool:
    return ray.get(mailbox.report.remote(job_id, row))


def serve_job(job: Job, world: World, mailbox: Any, ask_rank_0: Callable[[Callable[[], Any]], Any]) -> None:
    cause = None
    try:
        with closing(train(job.config, TrialFolder(job.folder), job.data_dir, world, job.recorded)) as rows:
            for row in rows:
                if not ask_rank_0(partial(tell, mailbox, job.id, row)):
                    break
    except NonFiniteError as error:
        cause = str(error)
    except Exception as error:
        traceback.print_exc()
        cause = f"{type(error).__name__}: {error}"
        if world.size > 1:
            # the other ranks may wait in a collective for ever: let Train restart the group. The trial ends
            # if the fault was its own; if a peer died, it goes on from its checkpoint
            if not lost_a_peer(error):
                ray.get(mailbox.finish.remote(job.id, cause))
            raise
    # the next trial must find nothing of this one
    gc.collect()
    if world.device.type == "cuda":
        torch.cuda.empty_cache()
    ask_rank_0(lambda: ray.get(mailbox.finish.remote(job.id, cause)))


def lost_a_peer(error: Exception) -> bool:
    """Whether a collective broke under this rank; gloo says so in a plain RuntimeError's text alone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )


class Slots:
    """A context of ``count`` open slots around one mailbox; leaving it lets running jobs end.

    Args:
        name: of the Ray Train runs, unique in the cluster.
        count: trials that may run at once.
        resources: of each slot.
        storage: a folder every node sees, for Ray Train's own files.
    """

    def __init__(self, name: str, count: int, resources: SlotResources, storage: Path) -> None:
        names = [f"{name}-{index}" for index in range(count)]
        self._resources, self._storage = resources, storage
        self._abandoned = False
        self.mailbox: Any = ray.remote(num_cpus=0)(Mailbox).options(max_concurrency=1000).remote(names)
        self._threads = [threading.Thread(target=self._open, args=(slot,), daemon=True) for slot in names]

    def __enter__(self) -> Slots:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # Ray goes down next, the slots with it: a thread that called Ray then would end the process
            self._abandoned = True
            return
        ray.get(self.mailbox.close.remote())
        for thread in self._threads:
            thread.join()

    def _open(self, slot: str) -> None:
        resources = self._resources
        per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            per_worker["GPU"] = resources.gpus_per_worker
        # NCCL wants a GPU a rank; fractions of one, and CPUs, take gloo
        backend = "nccl" if resources.gpus_per_worker >= 1 else "gloo"
        try:
            ray.train.torch.TorchTrainer(
                serve,
                train_loop_config={
                    "name": slot,
                    "mailbox": self.mailbox,
                    "threads": resources.cpus_per_worker,
                },
                torch_config=ray.train.torch.TorchConfig(backend=backend),
                scaling_config=ray.train.ScalingConfig(
                    num_workers=resources.workers,
                    use_gpu=resources.gpus_per_worker > 0,
                    resources_per_worker=per_worker,
                ),
                run_config=ray.train.RunConfig(
                    name=slot,
                    storage_path=str(self._storage),
                    failure_config=ray.train.FailureConfig(max_failures=-1),
                ),
            ).fit()
        except Exception as error:
            if self._abandoned:
                return
            cause = f"slot {slot} was lost: {str(error).strip().splitlines()[-1]}"
            self.mailbox.lose.remote(slot, cause)
