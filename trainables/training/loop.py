"""The one training loop, for one process and for DDP over gloo or NCCL, for one run and for several in turns. A run is
a function of its config: weights, order of the images and noise derive from ``config.seed``, the epoch and the step,
and are cut from the *global* batch. So a resumed run repeats an uninterrupted one without a saved generator, and two
workers see together what one would see alone."""

import math
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainables.config import TrialConfig
from trainables.metrics import Metrics
from trainables.training.batches import Pixels
from trainables.training.optimization import Schedule, make_optimizer, on_device, restore
from trainables.training.process_group import ALONE, Turns, World, rest
from trainables.training.rates import rates_of
from trainables.training.step import Step
from vae_models import VAE

State = dict[str, Any]  # `history`, `model` and `optimizer` of an epoch: see `trainables.training.checkpoint`
Track = Callable[[range], Iterable[int]]  # passes an epoch's steps on, as a progress bar does


class NonFiniteError(ArithmeticError):
    """A metric became NaN or infinite; raised by every rank alike, as metrics are reduced first."""


@dataclass(frozen=True)
class Epoch:
    """What a finished epoch leaves: its metrics, those before it, and the live model and optimiser."""

    history: list[Metrics]
    model: VAE
    optimizer: torch.optim.Optimizer

    @property
    def metrics(self) -> Metrics:
        """Of this epoch."""
        return self.history[-1]


class Run:
    """A training run between its epochs: model, optimiser, learning-rate schedule and history. Both image sets are on
    the world's device, the whole of them on every rank; ``batch_size`` is shared among the ranks. ``resume`` is the
    state of an earlier epoch to go on from. Raises: ValueError where a batch has fewer images than there are ranks."""

    def __init__(
        self, config: TrialConfig, train: Pixels, validation: Pixels, world: World = ALONE, resume: State | None = None
    ) -> None:
        self.config, self.train, self.validation, self.world = config, train, validation, world
        self.batch = min(config.batch_size, len(train))
        self.steps = len(train) // self.batch
        if self.batch < (size := self.world.size):
            raise ValueError(f"a batch must hold at least 1 image a worker, got {self.batch} for {size} workers")
        self.model = on_device(config, seeded_vae(config), world.device)
        self.optimizer = make_optimizer(config, self.model)
        self.history: list[Metrics] = []
        if resume is not None:
            self.model.load_state_dict(resume["model"])
            restore(self.optimizer, resume["optimizer"])
            self.history = list(resume["history"])
        self._schedule = Schedule(config, self.steps, self.history)
        self._rates = rates_of(config, train)
        self._step = Step(config, self.model, self.optimizer, train, world, self.batch)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained, or no more are to be: see `TrialConfig.is_done`."""
        return self.config.is_done(self.history)

    def epochs(self, track: Track = iter) -> Generator[bool | Epoch]:
        """Train what is left, and yield each epoch as it ends; in between, turns: see `process_group.Turns`. What
        others do at them changes nothing here. Raises: NonFiniteError at the end of the first epoch with a NaN or
        infinite loss, gradient or metric."""
        while not self.is_done:
            yield (yield from self._epoch(track))

    def _epoch(self, track: Track) -> Turns[Epoch]:
        """One pass over the images, in batches of one size (what remains sits out this epoch), and the evaluation."""
        began, clock, epoch = time.perf_counter(), self.world.clock(), len(self.history)
        lrs = self._schedule.rates(epoch)
        generator = torch.Generator().manual_seed(epoch_seed(self.config, epoch))
        order = torch.randperm(len(self.train), generator=generator)
        drawn = self._rates.draw(epoch, self.steps, self.batch, generator)
        self._step.begin(order, lrs, drawn, epoch_seed(self.config, epoch))
        for step in track(range(self.steps)):
            self._step.advance(step)
            yield True
        count = self.steps * self.batch
        *sums, grad_norms = yield from self.world.read(self._step.totals())
        trained = time.perf_counter() - began
        metrics = {name: float(total) / count for name, total in zip(_TRAINED, sums, strict=True)}
        metrics |= {"grad_norm": float(grad_norms) / self.steps, "images_per_second": count / trained}
        metrics |= yield from self._rates.validated(self.model, self.train, self.validation, self.world)
        metrics |= {"lr": lrs[-1], "epoch_seconds": time.perf_counter() - began}
        metrics |= self.world.cost(self.world.clock() - clock)
        if bad := [f"{name} = {value}" for name, value in metrics.items() if not math.isfinite(value)]:
            raise NonFiniteError(f"non-finite at epoch {epoch + 1}: {', '.join(bad[:_TOLD])}")
        self.history = [*self.history, {"epoch": epoch + 1, **metrics}]
        self._schedule.epoch_ends(self.history[-1])
        return Epoch(self.history, self.model, self.optimizer)


_TOLD = 4  # of the numbers that are not finite: where one is not, most that follow from it are not
_TRAINED = ("train_loss", "train_distortion", "train_rate")  # as `Step.totals` has them


def fit(config: TrialConfig, train: Pixels, validation: Pixels, track: Track = iter) -> Generator[Epoch]:
    """Train ``config`` in this process and yield after every epoch. Raises: as `Run.epochs`."""
    for each in Run(config, train, validation).epochs(track):
        rest(each)
        if isinstance(each, Epoch):
            yield each


def seeded_vae(config: TrialConfig) -> VAE:
    """The untrained VAE of ``config``, on the CPU, whatever the global generator's state (left as it was)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return VAE(config.model)


def epoch_seed(config: TrialConfig, epoch: int) -> int:
    """Of the order and the noise of one epoch. SeedSequence, because neighbouring seeds must not share streams."""
    seed = np.random.SeedSequence([config.seed, epoch]).generate_state(1, np.uint64)[0]
    return int(seed >> np.uint64(1))
