"""One trial in its folder: data, resume, loop, checkpoints. The caller reads its rows."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import torch

from trainables import checkpoint
from trainables.batches import Pixels
from trainables.config import Metrics, TrialConfig
from trainables.data import limit, load_dataset
from trainables.errors import UserError
from trainables.loop import Track, fit
from trainables.memory import keep_freed_memory
from trainables.records import TrialFolder
from trainables.world import World


def load_pixels(
    config: TrialConfig, data_dir: Path | str | None, device: torch.device | str
) -> tuple[Pixels, Pixels]:
    """(training, validation) images of ``config``: 10 % of the training set is held out, by label.

    Raises:
        UserError: where the data set cannot be had, or its images do not fit the model.
    """
    data = load_dataset(config.dataset, data_dir, config.image_size)
    if tuple(data.image_shape) != config.model.image_shape:
        raise UserError(
            f"model.image_shape must be that of {config.dataset}, {tuple(data.image_shape)}, "
            f"got {config.model.image_shape}"
        )
    images, held_out = data.train.images, data.validation_rows
    if not len(held_out):
        raise UserError(f"{config.dataset} must have 2 training images, to hold one out, got {len(images)}")
    return (
        Pixels(images, data.training_rows(config.limit_train), device),
        Pixels(images, limit(held_out, config.limit_val), device),
    )


def train(
    config: TrialConfig,
    folder: TrialFolder,
    data_dir: Path | str | None = None,
    world: World | None = None,
    recorded: int = 0,
    track: Track = iter,
) -> Generator[Metrics]:
    """Train ``config``, going on from the folder's newest checkpoint, and yield each epoch's row after its
    checkpoint is safe. The first ``recorded`` epochs are known to the caller and not yielded again.
    ``track``: see `fit`.

    Raises:
        NonFiniteError: see `fit`.
        UserError: see `load_pixels`; or where the ranks do not see the same folder.
        OSError: where the disk is full, or the folder has vanished.
    """
    world = world or World()
    keep_freed_memory()
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    resume = checkpoint.load_latest(folder.checkpoints, config, world.device)
    history: list[Metrics] = resume["history"] if resume else []
    seen = world.sum(torch.tensor([len(history), len(history) ** 2], device=world.device)).tolist()
    if seen != [world.size * len(history), world.size * len(history) ** 2]:
        raise UserError(f"{folder.path} must be one shared folder for all workers; they see different ones")
    yield from history[recorded:]
    training, validation = load_pixels(config, data_dir, world.device)
    with closing(fit(config, training, validation, world, resume, track)) as epochs:
        for epoch in epochs:
            if world.rank == 0:
                checkpoint.save(folder.checkpoints, epoch, config)
            if len(epoch.history) > recorded:
                yield epoch.metrics
