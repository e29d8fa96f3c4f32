"""One trial in its folder: data, resume, loop, checkpoints; the caller reads its rows."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from trainables.config import TrialConfig
from trainables.data.datasets import training_images
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.trial_folder import STATES, TrialFolder
from trainables.training import checkpoint
from trainables.training.batches import Pixels
from trainables.training.checkpoint import Snapshot
from trainables.training.loop import Epoch, NonFiniteError, Run, Track
from trainables.training.process_group import ALONE, World, keep_freed_memory, rest

if TYPE_CHECKING:
    from trainables.records.object_store import Mirror  # pyarrow is large, and needed where there is one alone


def load_pixels(
    config: TrialConfig,
    data_dir: Path | str | None,
    device: torch.device | str,
    images: Mapping[str, Any] | None = None,
) -> tuple[Pixels, Pixels]:
    """(training, validation) images of ``config``: see `training_images`. Raises: UserError as that."""
    found = training_images(config, data_dir, images)
    train = Pixels(found.images, found.rows, device)
    return train, Pixels(found.validation_images, found.validation_rows, device)


def _data_of(config: TrialConfig) -> tuple[Any, ...]:
    """What of a config says which images it is trained on."""
    return (
        config.dataset,
        config.image_size,
        config.limit_train,
        config.limit_val,
        config.held_out,
        config.model.image_shape,
        config.model.binarise,
    )


class Training:
    """A run in its folder, from the newest checkpoint there to its last epoch; it shares the images of those ``beside``
    it, which have the same data folder, and are to be known as ``images``: see `Dataset.known_as`. Where its
    checkpoints are in a ``mirror``, the folder need not be seen here. Raises: UserError as `load_pixels`, or where the
    ranks do not see the same folder; ValueError as `Run`; OSError where the folder has vanished, or the mirror does not
    answer."""

    def __init__(
        self,
        config: TrialConfig,
        folder: TrialFolder,
        data_dir: Path | str | None,
        world: World,
        beside: "Iterable[Training]" = (),
        mirror: "Mirror | None" = None,
        images: Mapping[str, Any] | None = None,
    ) -> None:
        keep_freed_memory()
        self._mirror, self._checkpoints = mirror, folder.checkpoints
        if mirror:
            self._scratch = TemporaryDirectory(prefix="vae-", ignore_cleanup_errors=True)
            self._checkpoints = Path(self._scratch.name)
            mirror.pull(self._checkpoints)
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        resume = checkpoint.load_latest(self._checkpoints, config, world.device)
        done = len(resume["history"]) if resume else 0
        seen = world.sum(torch.tensor([done, done**2], device=world.device)).tolist()
        if seen != [world.size * done, world.size * done**2]:
            raise UserError(f"{folder.path} must be one shared folder for all workers; they see different ones")
        runs = (other.run for other in beside if _data_of(other.run.config) == _data_of(config))
        shared = next(((run.train, run.validation) for run in runs), None)  # a GPU holds a set once
        train, validation = shared or load_pixels(config, data_dir, world.device, images)
        self.run: Run = Run(config, train, validation, world, resume)

    def snapshot(self, epoch: Epoch) -> Snapshot:
        """What `save` takes of an epoch that has just ended, so that the next can begin."""
        if self.run.world.rank:  # the first rank saves
            return Snapshot(self.run.config, epoch.history, {}, {})
        return checkpoint.snapshot(epoch, self.run.config)

    def save(self, taken: Snapshot) -> Metrics:
        """Put an epoch's checkpoint away, by rank 0, and return its row; from any thread. Raises: OSError where the
        disk is full, or a folder has vanished."""
        if self.run.world.rank == 0:
            written = checkpoint.save(self._checkpoints, taken)
            if self._mirror:
                self._mirror.push(self._checkpoints, written)
                self._mirror.remove(STATES, kept=self._checkpoints)
        return taken.metrics


def train(
    config: TrialConfig,
    folder: TrialFolder,
    data_dir: Path | str | None = None,
    world: World = ALONE,
    recorded: int = 0,
    track: Track = iter,
    images: Mapping[str, Any] | None = None,
) -> Generator[Metrics]:
    """Train ``config``, going on from the folder's newest checkpoint, and yield each epoch's row after its checkpoint
    is safe. The first ``recorded`` epochs are known to the caller and not yielded again. Raises: as `Run.epochs`;
    UserError, ValueError and OSError as `Training`."""
    training = Training(config, folder, data_dir, world, images=images)
    yield from training.run.history[recorded:]
    with ThreadPoolExecutor(1) as writer:  # the next epoch need not wait for the disk
        saving: Future[Metrics] | None = None
        epochs = training.run.epochs(track)
        while True:
            try:
                each = next(epochs, None)
            except NonFiniteError:
                if saving:
                    yield from _unseen(saving.result(), recorded)
                raise
            if saving and (saving.done() or not isinstance(each, bool)):
                yield from _unseen(saving.result(), recorded)
                saving = None
            if each is None:
                return
            rest(each)
            if isinstance(each, Epoch):
                saving = writer.submit(training.save, training.snapshot(each))


def _unseen(row: Metrics, recorded: int) -> Iterator[Metrics]:
    if row["epoch"] > recorded:
        yield row
