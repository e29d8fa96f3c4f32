"""The one training loop, for one process and for DDP over gloo or NCCL, for one run and for several at once. A run is a
function of its config: weights, order of the images and noise derive from ``config.seed``, the epoch and the step, and
are cut from the *global* batch. So a resumed run repeats an uninterrupted one without a saved generator, and two
workers see together what one would see alone."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainables.config import TrialConfig
from trainables.metrics import Metrics
from trainables.training.batches import Pixels
from trainables.training.evaluate import calibrated_sigma, evaluate
from trainables.training.optimization import make_optimizer, set_lr, trained_module
from trainables.training.process_group import ALONE, World
from vae_models import VAE, elbo
from vae_models.vae import Posterior

State = dict[str, Any]  # `history`, `model` and `optimizer` of an epoch: see `trainables.training.checkpoint`
Track = Callable[[range], Iterable[int]]  # passes an epoch's steps on, as a progress bar does
_MAY_DIFFER = {"beta", "kl_warmup", "epochs", "lr", "optimizer", "weight_decay", "schedule", "grad_clip", "seed"}


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
        self.model = seeded_vae(config).to(self.world.device)
        self.optimizer = make_optimizer(config, self.model)
        self.history: list[Metrics] = []
        if resume is not None:
            self.model.load_state_dict(resume["model"])
            self.optimizer.load_state_dict(resume["optimizer"])
            self.history = list(resume["history"])
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=3)
        if config.schedule == "plateau":
            for group in self.optimizer.param_groups:
                group["lr"] = config.lr
            for row in self.history:
                self._plateau.step(row["val_nelbo"])
        self.trained = trained_module(config, self.model, self.world, self.steps * config.epochs)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained."""
        return len(self.history) >= self.config.epochs

    def epoch_ends(self, metrics: Metrics, trained: float, beside: int = 1) -> Epoch:
        """Evaluate, and write the epoch into the history, whose training took ``trained`` seconds, together with that
        of the others of ``beside`` runs. Raises: NonFiniteError as `fit`."""
        started = time.perf_counter()
        residuals_of = self.train.spread(len(self.validation))
        sigma = calibrated_sigma(self.model, residuals_of, self.world, self.config.definitions)
        validated = evaluate(self.model, self.validation, sigma, self.world)
        metrics |= {f"val_{name}": value for name, value in validated.items()}
        metrics |= {"sigma": sigma, "lr": self.optimizer.param_groups[0]["lr"]}
        evaluated = time.perf_counter() - started
        metrics |= {"epoch_seconds": trained + evaluated, **self.world.cost(trained / beside + evaluated)}
        epoch = len(self.history) + 1
        if bad := [f"{name} = {value}" for name, value in metrics.items() if not math.isfinite(value)]:
            raise NonFiniteError(f"non-finite at epoch {epoch}: {', '.join(bad)}")
        if self.config.schedule == "plateau":
            self._plateau.step(metrics["val_nelbo"])
        self.history = [*self.history, {"epoch": epoch, **metrics}]
        return Epoch(self.history, self.model, self.optimizer)


def fit(config: TrialConfig, train: Pixels, validation: Pixels) -> Generator[Epoch]:
    """Train ``config`` in this process and yield after every epoch. Raises: NonFiniteError at the end of the first
    epoch with a NaN or infinite loss, gradient or metric."""
    run = Run(config, train, validation)
    while not run.is_done:
        (epoch,) = next_epochs([run])
        if isinstance(epoch, NonFiniteError):
            raise epoch
        yield epoch


def next_epochs(runs: Sequence[Run], track: Track = iter) -> list[Epoch | NonFiniteError]:
    """Train one epoch more of each run, together, as runs that are `alike` can be, and each as if it were alone (but
    for rounding). Returns what each came to."""
    started = time.perf_counter()
    metrics = _train_epoch(runs, track)
    trained = time.perf_counter() - started
    ended: list[Epoch | NonFiniteError] = []
    for run, row in zip(runs, metrics, strict=True):
        try:
            ended.append(run.epoch_ends(row, trained, len(runs)))
        except NonFiniteError as error:
            ended.append(error)
    return ended


def alike(config: TrialConfig) -> str:
    """Equal for configs that can be trained together: they may differ in KL weight, seed and optimiser, but
    share architecture, data and batches."""
    return config.model_dump_json(exclude=_MAY_DIFFER)


def seeded_vae(config: TrialConfig) -> VAE:
    """The untrained VAE of ``config``, on the CPU, whatever the global generator's state (left as it was)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return VAE(config.model)


def _together(models: Sequence[nn.Module], xs: list[Tensor], noises: list[Tensor]) -> list[tuple[Tensor, Posterior]]:
    """Each model's output and posterior for its own batch, (B, C, H, W) and (B, Z); several models of one
    architecture as one whose every layer is K times as wide (`torch.func`: convolutions become grouped)."""
    if len(models) == 1:
        return [models[0](xs[0], noises[0])]
    weights = {
        name: torch.stack([model.get_parameter(name) for model in models]) for name, _ in models[0].named_parameters()
    }

    def one(weights: dict[str, Tensor], x: Tensor, noise: Tensor) -> tuple[Tensor, Posterior]:
        found: tuple[Tensor, Posterior] = functional_call(models[0], weights, (x, noise))
        return found

    outputs, posteriors = torch.vmap(one)(weights, torch.stack(xs), torch.stack(noises))
    return [(output, Posterior(*parts)) for output, *parts in zip(outputs, *posteriors, strict=True)]


def generator(config: TrialConfig, epoch: int, device: torch.device) -> torch.Generator:
    """The randomness of one epoch. SeedSequence, because neighbouring seeds must not share streams."""
    seed = np.random.SeedSequence([config.seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(seed >> np.uint64(1)))


class Pass:
    """A run's share of an epoch: its batches in a new order, its noise, and what its steps add up to."""

    def __init__(self, run: Run) -> None:
        self.run, self.epoch = run, len(run.history)
        device, cpu = run.world.device, torch.device("cpu")
        self._order = torch.randperm(len(run.train), generator=generator(run.config, self.epoch, cpu)).numpy()
        self._noise = generator(run.config, self.epoch, device)
        # images, D, R and loss summed over this rank's images; the gradient's norm, equal on all, over steps
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)
        self._grad_norms = torch.zeros((), dtype=torch.float64, device=device)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """This rank's images and noise, (B, C, H, W) and (B, Z)."""
        run = self.run
        rows = run.world.share(self._order[step * run.batch : (step + 1) * run.batch])
        shape = (run.batch, run.config.model.latent_dim)
        noise = torch.randn(shape, generator=self._noise, device=run.world.device)
        return run.train.batch(rows), run.world.share(noise)

    def loss(self, step: int, x: Tensor, output: Tensor, posterior: Posterior) -> Tensor:
        """The scalar whose gradient, averaged over ranks as DDP does, is that of the global batch's mean."""
        run = self.run
        beta = run.config.beta_at(self.epoch + step / run.steps)
        each = elbo.loss(output, posterior, x, run.model.likelihood, beta)
        total, distortion, nats = (part.sum() for part in each)
        self._sums += torch.stack([total.new_tensor(len(x)), distortion, nats, total]).detach()
        return total * (run.world.size / (run.batch * run.config.model.dimensions))

    def update(self, step: int) -> None:
        """One step of the optimiser, along the gradients that are there."""
        run = self.run
        if run.config.schedule == "cosine":
            set_lr(run.optimizer, run.config, (self.epoch + step / run.steps) / run.config.epochs)
        self._grad_norms += nn.utils.clip_grad_norm_(run.model.parameters(), run.config.grad_clip)
        run.optimizer.step()

    def metrics(self) -> Metrics:
        """Means over the images that all ranks have seen, and the gradient's norm over steps."""
        count, distortion, nats, loss = self.run.world.sum(self._sums).tolist()
        return {
            "train_loss": loss / count,
            "train_distortion": distortion / count,
            "train_rate": nats / count,
            "grad_norm": float(self._grad_norms) / self.run.steps,
        }


def _train_epoch(runs: Sequence[Run], track: Track) -> list[Metrics]:
    """One pass of each run over its images, in batches of one size (what remains sits out this epoch)."""
    first = runs[0]
    started = time.perf_counter()
    passes = [Pass(run) for run in runs]
    models = [first.trained] if len(runs) == 1 else [run.model for run in runs]
    for step in track(range(first.steps)):
        xs, noises = map(list, zip(*[each.batch(step) for each in passes], strict=True))
        with torch.autocast(first.world.device.type, torch.bfloat16, enabled=first.config.precision == "bf16"):
            outputs = _together(models, xs, noises)
        losses = [each.loss(step, x, *out) for each, x, out in zip(passes, xs, outputs, strict=True)]
        for run in runs:
            run.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses)
        for each in passes:
            each.update(step)
    metrics = [each.metrics() for each in passes]
    speed = first.steps * first.batch / (time.perf_counter() - started)
    return [row | {"images_per_second": speed} for row in metrics]
