"""What each DDP worker of a slot runs: it takes jobs from the mailbox, trains them, and reports."""

import gc
import math
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
from trainables.metrics import Metrics
from trainables.records.trial_folder import Place, TrialFolder
from trainables.slots.messages import Job, Underway
from trainables.slots.resources import SlotResources
from trainables.training.checkpoint import Snapshot
from trainables.training.loop import Epoch, NonFiniteError, Run, Track
from trainables.training.process_group import SharedClock, World, is_out_of_memory, rest, use_gpu
from trainables.training.trial import Training

_TELL_SECONDS = 1.0  # how often a worker says how far it is within an epoch
_ASK_SECONDS = 0.5  # how often one with room for more asks for jobs while it trains
_WRITERS = 4  # threads that write checkpoints


def run_worker(slot: dict[str, Any]) -> None:
    """Train the jobs of a slot, a dictionary of ``name mailbox resources``, until the mailbox closes."""
    import torch._dynamo  # the first optimiser would, for a second, while the next slot already opens

    resources: SlotResources = slot["resources"]
    torch.set_num_threads(resources.cpus_per_worker)
    device = ray.train.torch.get_device()
    if device.type == "cuda":
        use_gpu(device)
    group = ray.train.get_context()
    clock = SharedClock()
    world = World(group.get_world_rank(), group.get_world_size(), device, resources.gpus_per_worker, clock)
    worker = _Worker(slot["name"], slot["mailbox"], resources.pack, world, clock)
    while worker.take():
        worker.train()


@dataclass
class _Active:
    """A job that this worker trains. It is an epoch ahead at most: one that has ended waits, as ``ended``, until the
    one before is ``saving`` no more and its report has its ``answer``."""

    job: Job
    training: Training
    turns: Iterator[bool | Epoch]
    ended: Snapshot | None = None
    saving: Future[Metrics] | None = None
    answer: Any = None  # the mailbox's, to come
    error: Exception | None = None  # what ends it, once what was trained before is saved and answered


class _Worker:
    """One rank of a slot, with the jobs that it trains in turns: up to ``pack``."""

    def __init__(self, slot: str, mailbox: Any, pack: int, world: World, clock: SharedClock) -> None:
        self._slot, self._mailbox, self._pack, self._world, self._clock = slot, mailbox, pack, world, clock
        self._active: dict[str, _Active] = {}
        self._writer = ThreadPoolExecutor(min(pack, _WRITERS))
        self._unclean = False
        self._places = [here := _this_place(world.rank)] * world.size
        self._control: Any = None
        if world.size > 1:
            # control messages travel over gloo, whatever the gradients use
            self._control = dist.new_group(backend="gloo")
            dist.all_gather_object(self._places, here, self._control)

    def _ask(self, method: str, *call: Any) -> Any:
        """What the mailbox answers rank 0, told to every rank."""
        answers: list[Any] = [None]
        if self._world.rank == 0:
            answers = [ray.get(getattr(self._mailbox, method).remote(self._slot, *call))]
        if self._control is not None:
            dist.broadcast_object_list(answers, src=0, group=self._control)
        return answers[0]

    def take(self) -> bool:
        """Take what jobs there are, and wait for one where there is none; False at the end."""
        if self._unclean:
            self._clean()
        while len(self._active) < self._pack:
            active = frozenset(self._active)
            job = self._ask("take", active, tuple(self._places))
            if isinstance(job, str):
                return job != "close" or bool(active)
            self._begin(job)
        return True

    def _clean(self) -> None:
        """Let go of what ended trials leave: the next must find nothing of them."""
        if not self._active:
            torch.compiler.reset()  # not under those that train: their graphs call what it lets go of
        gc.collect()
        if not self._active and not gc.get_freeze_count():
            gc.freeze()  # the libraries' 400,000 objects need not be searched after each trial
        if self._world.device.type == "cuda":
            torch.cuda.empty_cache()
        self._unclean = False

    def _begin(self, job: Job) -> None:
        if job.id in self._active:  # a mailbox that was restarted gives it anew
            self._let_go(job)
            self._clean()
        try:
            folder = TrialFolder(job.folder)
            if job.mirror is None and not folder.holds(job.config):
                raise UserError(f"{job.folder} must be a folder that every node sees; this node does not")
            beside = [each.training for each in self._active.values() if each.job.data_dir == job.data_dir]
            training = self._training(job, folder, beside)
        except Exception as error:
            self._fail(job, error)
            return
        self._active[job.id] = _Active(job, training, training.run.epochs(self._track(job, training.run)))
        self._clock.share(len(self._active))
        unseen = training.run.history[job.recorded :]
        if not all(self._ask("report", job.id, row) for row in unseen) or training.run.is_done:
            self._finish(job)

    def _training(self, job: Job, folder: TrialFolder, beside: list[Training]) -> Training:
        try:
            return Training(job.config, folder, job.data_dir, self._world, beside, job.mirror, job.images)
        except RuntimeError as error:
            if not (self._active and is_out_of_memory(error)):
                raise
            count = len(self._active)
            raise UserError(
                f"--pack must leave each training its memory: this GPU holds {count} of them, got {self._pack}\n"
                f"give --pack {count}, or less"
            ) from error

    def train(self) -> None:
        """Turns of all jobs, until one of them has ended or there is time to ask for more."""
        until = time.monotonic() + (_ASK_SECONDS if len(self._active) < self._pack else math.inf)
        jobs = list(self._active.values())
        while len(jobs) == len(self._active) > 0 and time.monotonic() < until:
            rest(sum(self._turn(each) for each in jobs) > 0)

    def _turn(self, active: _Active) -> bool:
        """Do what can be done of a job without waiting; whether there was any."""
        try:
            return self._moved(active)
        except NonFiniteError as error:
            self._finish(active.job, str(error))
        except Exception as error:
            self._fail(active.job, error)
        return True

    def _moved(self, active: _Active) -> bool:
        if self._control is not None:
            return self._moved_together(active)
        was_answered = self._answered(active)
        if active.job.id not in self._active:
            return True
        if active.error is not None:
            if active.saving or active.answer:
                return was_answered
            raise active.error
        if active.ended is not None:
            if active.saving or active.answer:
                return was_answered
            active.saving, active.ended = self._writer.submit(active.training.save, active.ended), None
        turn = self._next_turn(active)
        if isinstance(turn, Epoch):
            active.ended = active.training.snapshot(turn)
        elif turn is None and not (active.saving or active.answer or active.ended):
            self._finish(active.job)
        return bool(turn) or was_answered

    def _next_turn(self, active: _Active) -> bool | Epoch | None:
        try:
            return next(active.turns, None)
        except (NonFiniteError, RuntimeError) as error:
            if not (isinstance(error, NonFiniteError) or is_out_of_memory(error)):
                raise
            active.error = error  # what came before counts
            return True

    def _answered(self, active: _Active) -> bool:
        """Report an epoch whose checkpoint is safe, and heed the answer to an earlier report, if either is there."""
        if active.saving and active.saving.done():
            row, active.saving = active.saving.result(), None
            active.answer = self._mailbox.report.remote(self._slot, active.job.id, row)
            return True
        if active.answer and ray.wait([active.answer], timeout=0)[0]:
            goes_on, active.answer = ray.get(active.answer), None
            if not goes_on:
                self._finish(active.job)
            return True
        return False

    def _moved_together(self, active: _Active) -> bool:
        """The same for ranks, which must do the same in the same order: they wait for every checkpoint and answer."""
        turn = next(active.turns, None)
        if isinstance(turn, Epoch):
            row = active.training.save(active.training.snapshot(turn))
            if not self._ask("report", active.job.id, row) or active.training.run.is_done:
                self._finish(active.job)
        return bool(turn)

    def _track(self, job: Job, run: Run) -> Track:
        """What passes an epoch's steps on, and tells the mailbox of them; of all ranks the first's. It waits for no
        answer, and no collective of the others waits for it."""
        if self._world.rank:
            return iter

        def tell(done: int, seconds: float) -> None:
            told = Underway(len(run.history) + 1, done / run.steps, seconds, done * run.batch / seconds)
            with suppress(ray.exceptions.RayError):
                self._mailbox.tell.remote(self._slot, {job.id: told})

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
        if _lost_the_gpu(error):
            raise error  # nothing more can be computed in this process: Train starts another
        self._finish(job, cause, lost)

    def _finish(self, job: Job, cause: str | None = None, lost: bool = False) -> None:
        self._let_go(job)
        self._ask("finish", job.id, cause, lost)

    def _let_go(self, job: Job) -> None:
        self._world.wait()  # steps may be queued still on what goes now; and a GPU that is lost says so here
        self._active.pop(job.id, None)
        self._clock.share(len(self._active))
        self._unclean = True


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


def _lost_the_gpu(error: Exception) -> bool:
    """Whether the device answers no more: an error of CUDA's own, after which every later call fails too."""
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def _lost_a_peer(error: Exception) -> bool:
    """Whether a collective broke under this rank; gloo says so in a plain RuntimeError's text alone."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
