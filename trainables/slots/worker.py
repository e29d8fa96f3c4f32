"""What each DDP worker of a slot runs: it takes jobs from the mailbox, trains them, and reports."""

import gc
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import ray.util
import torch
import torch.distributed as dist

from trainables.errors import UserError
from trainables.records.trial_folder import Place, TrialFolder
from trainables.slots.messages import Job, Underway
from trainables.slots.resources import SlotResources
from trainables.training.loop import NonFiniteError, Track, alike
from trainables.training.process_group import World
from trainables.training.trial import Training, next_rows

_TELL_SECONDS = 1.0  # how often a worker says how far it is within an epoch


def run_worker(slot: dict[str, Any]) -> None:
    """Train the jobs of a slot, a dictionary of ``name mailbox resources``, until the mailbox closes."""
    import torch._dynamo  # the first optimiser would, for a second, while the next slot already opens

    resources: SlotResources = slot["resources"]
    torch.set_num_threads(resources.cpus_per_worker)
    device = ray.train.torch.get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    group = ray.train.get_context()
    world = World(group.get_world_rank(), group.get_world_size(), device, resources.gpus_per_worker)
    worker = _Worker(slot["name"], slot["mailbox"], resources.pack, world)
    while worker.take():
        worker.train()


@dataclass
class _Active:
    """A job that this worker trains; ``alone`` once training it beside others went wrong."""

    job: Job
    training: Training
    alone: bool = False


class _Worker:
    """One rank of a slot, with the jobs that it trains: up to ``pack``."""

    def __init__(self, slot: str, mailbox: Any, pack: int, world: World) -> None:
        self._slot, self._mailbox, self._pack, self._world = slot, mailbox, pack, world
        self._active: dict[str, _Active] = {}
        self._again: list[Job] = []
        self._unclean = False
        self._places = [here := _this_place(world.rank)] * world.size
        self._control: Any = None
        if world.size > 1:
            # control messages travel over gloo, whatever the gradients use
            self._control = dist.new_group(backend="gloo")
            dist.all_gather_object(self._places, here, self._control)

    def _ask(self, method: str, *calls: tuple[Any, ...]) -> Any:
        """What the mailbox answers rank 0 to each of the calls of a method, told to every rank."""
        answers: list[Any] = [None]
        if self._world.rank == 0:
            ask = getattr(self._mailbox, method)
            answers = [ray.get([ask.remote(self._slot, *call) for call in calls])]
        if self._control is not None:
            dist.broadcast_object_list(answers, src=0, group=self._control)
        return answers[0]

    def take(self) -> bool:
        """Take what jobs there are, and wait for one where there is none; False at the end."""
        if self._unclean:
            self._clean()
        while self._again:
            self._begin(self._again.pop(), alone=True)
        while len(self._active) < self._pack:
            active = frozenset(self._active)
            (job,) = self._ask("take", (active, tuple(self._places)))
            if isinstance(job, str):
                return job != "close" or bool(active)
            self._begin(job)
        return True

    def _clean(self) -> None:
        """Let go of what ended trials leave: the next must find nothing of them."""
        torch.compiler.reset()
        gc.collect()
        if not self._active and not gc.get_freeze_count():
            gc.freeze()  # the libraries' 400,000 objects need not be searched after each trial
        if self._world.device.type == "cuda":
            torch.cuda.empty_cache()
        self._unclean = False

    def _begin(self, job: Job, alone: bool = False) -> None:
        try:
            folder = TrialFolder(job.folder)
            if job.mirror is None and not folder.holds(job.config):
                raise UserError(f"{job.folder} must be a folder that every node sees; this node does not")
            beside = [each.training for each in self._active.values() if each.job.data_dir == job.data_dir]
            training = Training(job.config, folder, job.data_dir, self._world, beside, job.mirror)
        except Exception as error:
            self._fail(job, error)
            return
        self._active[job.id] = _Active(job, training, alone)
        unseen = training.run.history[job.recorded :]
        if not all(self._ask("report", (job.id, row))[0] for row in unseen) or training.run.is_done:
            self._finish(job)

    def train(self) -> None:
        """An epoch more of every job, those together whose configs are alike."""
        groups: dict[str, list[_Active]] = {}
        for each in self._active.values():
            groups.setdefault(each.job.id if each.alone else alike(each.job.config), []).append(each)
        for group in groups.values():
            self._train_together(group)

    def _train_together(self, group: list[_Active]) -> None:
        try:
            rows = next_rows([each.training for each in group], self._track(group))
        except Exception as error:
            if len(group) == 1:
                self._fail(group[0].job, error)
                return
            # whose fault it was, each shows when it goes on alone, from its checkpoint
            traceback.print_exc()
            for each in group:
                del self._active[each.job.id]
                self._again.append(each.job)
            self._unclean = True
            return
        trained = [(each, row) for each, row in zip(group, rows, strict=True) if isinstance(row, dict)]
        verdicts = self._ask("report", *((each.job.id, row) for each, row in trained))
        for (each, _), goes_on in zip(trained, verdicts, strict=True):
            if not goes_on or each.training.run.is_done:
                self._finish(each.job)
        for each, row in zip(group, rows, strict=True):
            if isinstance(row, NonFiniteError):
                self._finish(each.job, str(row))

    def _track(self, group: list[_Active]) -> Track:
        """What passes an epoch's steps on, and tells the mailbox of them; of all ranks the first's. It waits for no
        answer, and no collective of the others waits for it."""
        if self._world.rank:
            return iter
        jobs = {each.job.id: each.training.run for each in group}

        def tell(done: int, seconds: float) -> None:
            told = {
                job_id: Underway(len(run.history) + 1, done / run.steps, seconds, done * run.batch / seconds)
                for job_id, run in jobs.items()
            }
            with suppress(ray.exceptions.RayError):
                self._mailbox.tell.remote(self._slot, told)

        return lambda steps: told_of(steps, tell)

    def _fail(self, job: Job, error: Exception) -> None:
        traceback.print_exc()
        # no data, no shared folder, a full disk: not the trial's fault, which goes on when that is mended
        lost = isinstance(error, UserError | OSError)
        cause = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        if self._world.size > 1:
            # the other ranks may wait in a collective for ever: let Train restart the group. The trial ends
            # if the fault was its own; if a peer died, it goes on from its checkpoint
            if not _lost_a_peer(error):
                ray.get(self._mailbox.finish.remote(self._slot, job.id, cause, lost))
            raise error
        self._finish(job, cause, lost)

    def _finish(self, job: Job, cause: str | None = None, lost: bool = False) -> None:
        self._active.pop(job.id, None)
        self._unclean = True
        self._ask("finish", (job.id, cause, lost))


def told_of(steps: Iterable[int], tell: Callable[[int, float], None]) -> Iterator[int]:
    """Pass steps on, and ``tell`` every second how many are done, and how many seconds after the first began. Reads the
    clock once a step and asks nothing of the device, on which steps that count as done may still be queued."""
    began = told = time.monotonic()
    for done, step in enumerate(steps):
        now = time.monotonic()
        if now - told >= _TELL_SECONDS:
            told = now
            tell(done, now - began)
        yield step


def _this_place(rank: int) -> Place:
    """Where this rank runs, and where its log is."""
    context = ray.get_runtime_context()
    log = ""
    with suppress(OSError):  # only Linux says what a process writes to
        log = str(Path("/proc/self/fd/1").readlink())
    return Place(rank, ray.util.get_node_ip_address(), context.get_node_id(), os.getpid(), log)


def _lost_a_peer(error: Exception) -> bool:
    """Whether a collective broke under this rank; gloo says so in a plain RuntimeError's text alone."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
