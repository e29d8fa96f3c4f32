"""The one training loop: a generator, the same for one process and for DDP over gloo or NCCL.

A run is a function of its config: weights, the order of the images and the noise all derive from
``config.seed``, the epoch and the step, and are cut from the *global* batch. So a resumed run repeats an
uninterrupted one without any saved generator, and two workers see together what one would see alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainables.batches import Pixels
from trainables.config import Metrics, TrialConfig
from trainables.evaluate import evaluate, residual_sigma
from trainables.world import World
from vae_models import VAE
from vae_models.elbo import rate

Track = Callable[[range], Iterable[int]]
"""Passes an epoch's steps on, as a progress bar does."""


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
        return self.history[-1]

    @property
    def is_best(self) -> bool:
        """Whether no earlier epoch had a lower ``val_bits_per_dim``."""
        values = [row["val_bits_per_dim"] for row in self.history]
        return min(values) == values[-1] and values.index(values[-1]) == len(values) - 1


def fit(
    config: TrialConfig,
    train: Pixels,
    validation: Pixels,
    world: World | None = None,
    resume: dict[str, Any] | None = None,
    track: Track = iter,
) -> Generator[Epoch]:
    """Train ``config`` and yield after every epoch.

    Args:
        config: what to train; ``batch_size`` is shared among the world's ranks.
        train, validation: image sets on the world's device, the whole of them on every rank.
        world: the process group; this process alone by default.
        resume: ``history``, ``model`` and ``optimizer`` of an earlier epoch (`trainables.checkpoint`).
        track: what each epoch's steps are iterated through.

    Raises:
        NonFiniteError: at the end of the first epoch with a NaN or infinite loss, gradient or metric.
        ValueError: where a batch has fewer images than there are workers.
    """
    world = world or World()
    batch = min(config.batch_size, len(train))
    if batch < world.size:
        raise ValueError(f"a batch must hold at least 1 image a worker, got {batch} for {world.size} workers")
    model = seeded_vae(config).to(world.device)
    optimizer = make_optimizer(config, model)
    history: list[Metrics] = []
    if resume is not None:
        model.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        history = list(resume["history"])
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3)
    if config.schedule == "plateau":
        for group in optimizer.param_groups:
            group["lr"] = config.lr
        for row in history:
            plateau.step(row["val_nelbo"])
    trained = wrapped(config, model, world)
    while len(history) < config.epochs:
        started = time.perf_counter()
        metrics = train_epoch(config, trained, model, optimizer, train, len(history), world, track)
        metrics["images_per_second"] = len(train) // batch * batch / (time.perf_counter() - started)
        sigma = residual_sigma(model, train.spread(len(validation)), world)
        metrics |= {f"val_{k}": v for k, v in evaluate(model, validation, sigma, world).items()}
        metrics |= {"sigma": sigma, "lr": optimizer.param_groups[0]["lr"]}
        metrics["epoch_seconds"] = time.perf_counter() - started
        refuse_non_finite(metrics, epoch=len(history) + 1)
        if config.schedule == "plateau":
            plateau.step(metrics["val_nelbo"])
        history = [*history, {"epoch": len(history) + 1, **metrics}]
        yield Epoch(history, model, optimizer)


def seeded_vae(config: TrialConfig) -> VAE:
    """The untrained VAE of ``config``, on the CPU, whatever the global generator's state (left as it was)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return VAE(config.model)


def make_optimizer(config: TrialConfig, model: nn.Module) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)


def wrapped(config: TrialConfig, model: VAE, world: World) -> nn.Module:
    """The model as it is trained: compiled, and in DDP where there are several ranks."""
    module: Any = torch.compile(model) if config.compile else model
    if world.size == 1:
        return module
    devices = [world.device] if world.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


def generator(config: TrialConfig, epoch: int, device: torch.device) -> torch.Generator:
    """The randomness of one epoch. SeedSequence, because neighbouring seeds must not share streams."""
    seed = np.random.SeedSequence([config.seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(seed >> np.uint64(1)))


def train_epoch(
    config: TrialConfig,
    trained: nn.Module,
    model: VAE,
    optimizer: torch.optim.Optimizer,
    train: Pixels,
    epoch: int,
    world: World,
    track: Track,
) -> Metrics:
    """One pass over ``train`` in a new order, in batches of one size (what remains sits out this epoch)."""
    batch = min(config.batch_size, len(train))
    steps = len(train) // batch
    order = torch.randperm(len(train), generator=generator(config, epoch, torch.device("cpu"))).numpy()
    noise_source = generator(config, epoch, world.device)
    latent_dim, dimensions = config.model.latent_dim, config.model.dimensions
    # images, D, R and loss summed over this rank's images; the gradient's norm, equal on all, over steps
    sums = torch.zeros(4, dtype=torch.float64, device=world.device)
    grad_norms = torch.zeros((), dtype=torch.float64, device=world.device)
    for step in track(range(steps)):
        rows = world.share(order[step * batch : (step + 1) * batch])
        noise = world.share(torch.randn(batch, latent_dim, generator=noise_source, device=world.device))
        x = train.batch(rows)
        beta = config.beta_at(epoch + step / steps)
        if config.schedule == "cosine":
            set_lr(optimizer, config, (epoch + step / steps) / config.epochs)
        with torch.autocast(world.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            output, posterior = trained(x, noise)
        distortion = model.likelihood.distortion(output, x)
        nats = rate(posterior)
        loss = (distortion + beta * nats).sum()
        optimizer.zero_grad(set_to_none=True)
        # DDP averages gradients over ranks: times size / batch, that is the mean over the global batch
        (loss * (world.size / (batch * dimensions))).backward()
        grad_norms += nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        sums += torch.stack([loss.new_tensor(len(rows)), distortion.sum(), nats.sum(), loss]).detach()
    count, distortion_sum, rate_sum, loss_sum = world.sum(sums).tolist()
    return {
        "train_loss": loss_sum / count,
        "train_distortion": distortion_sum / count,
        "train_rate": rate_sum / count,
        "grad_norm": float(grad_norms) / steps,
    }


def set_lr(optimizer: torch.optim.Optimizer, config: TrialConfig, progress: float) -> None:
    """Cosine decay (Loshchilov & Hutter 2017, arXiv:1608.03983) at ``progress`` of the whole run."""
    for group in optimizer.param_groups:
        group["lr"] = config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def refuse_non_finite(metrics: Metrics, epoch: int) -> None:
    bad = [f"{name} = {value}" for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise NonFiniteError(f"non-finite at epoch {epoch}: {', '.join(bad)}")
