"""The image sets, by name: prepared once per node as arrays on disk, mapped into memory. Of several processes that ask
for a set at once, one prepares it under a file lock, and the others wait."""

import functools
import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trainables.config import TrialConfig
from trainables.data.cache import DAMAGE, folder_from, locked, read_arrays, write_arrays
from trainables.data.catalog import CATALOG, IMAGE_FOLDER, NAMES
from trainables.data.download import download
from trainables.data.sources import Source, find
from trainables.data.splits import holdout, limit
from trainables.errors import UserError
from trainables.text import legible

_PREPARED_FORMAT = 3  # a change of what is prepared, or how, makes every old copy stale
_DEFAULT_IMAGE_SIZE = 32
_TEST_FRACTION = 0.2  # of the sets that come without a test split


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, C, H, W) uint8, a read-only memory map, and labels (N,) int64."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named set in two splits; label `k` is called `classes[k]`."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    validation_rows: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    """Rows of ``train`` that no training sees; of a whole set 10 %, by label, or none of a single image."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def training_rows(self, most: int | None = None) -> np.ndarray:
        """Rows of ``train`` that a training which is limited to ``most`` images sees, sorted."""
        return limit(np.setdiff1d(np.arange(len(self.train.labels)), self.validation_rows), most)

    def limited(self, train: int | None, test: int | None = None) -> "Dataset":
        """The set as a training that is limited to ``train`` images has it: the others are held out, too. Of the test
        images a fixed random subset of at most ``test``. None for all of them."""
        unseen = np.setdiff1d(np.arange(len(self.train.labels)), self.training_rows(train))
        if test is None:
            return replace(self, validation_rows=unseen)
        rows = limit(np.arange(len(self.test.labels)), test)
        return replace(self, test=Split(self.test.images[rows], self.test.labels[rows]), validation_rows=unseen)


def load_dataset(
    name: str, data_dir: str | Path | None = None, image_size: int | None = None, may_download: bool = True
) -> Dataset:
    """The set called `name`, of the catalog or imagefolder:PATH.

    Published files are looked for in `data_dir`, else $VAE_DATA_DIR, else ~/.cache/vae-studies/data, and downloaded
    there where there are none, if they may be. `imagefolder` reads PATH/class/*.png (or bmp, jpg, webp), cuts the
    pictures square and resizes them to `image_size` pixels (32); the other sets have a size of their own. Of a set
    without a test split a fixed, stratified fifth becomes one. The prepared copy lies in $VAE_CACHE_DIR, else
    ~/.cache/vae-studies, and is checked by SHA-256 once per process. Raises: UserError for an unknown name, an image
    size that cannot be, files that are missing, altered or unreadable, and a cache folder that cannot be written."""
    shape = image_shape(name, image_size)
    kind, _, path = name.partition(":")
    root = folder_from(path or data_dir, "VAE_DATA_DIR", "~/.cache/vae-studies/data")
    prepared = folder_from(None, "VAE_CACHE_DIR", "~/.cache/vae-studies") / "prepared"  # what can be made again
    with locked(prepared / f"{kind}-{_short_hash(name, str(root))}.lock"):
        source = find(name, root, shape[1])
        if source is None and may_download:
            download(name, root)
            source = find(name, root, shape[1])
        if source is None:
            raise UserError(f"{root} must hold the files of {name}, found none")
        folder = prepared / f"{kind}-{_short_hash(name, str(root), shape, source.stamps, _PREPARED_FORMAT)}"
        try:
            return _open(folder)
        except DAMAGE:
            _prepare(folder, name, source)
            return _open(folder)


def training_images(config: TrialConfig, data_dir: str | Path | None = None) -> tuple[np.ndarray, ...]:
    """(images, training rows, validation rows) of ``config``: 10 % of the training set is held out, by label. Raises:
    UserError where the data set cannot be had, or its images do not fit the model."""
    data = load_dataset(config.dataset, data_dir, config.image_size)
    if data.image_shape != config.model.image_shape:
        raise UserError(
            f"model.image_shape must be that of {config.dataset}, {data.image_shape}, got {config.model.image_shape}"
        )
    images, held_out = data.train.images, data.validation_rows
    if not len(held_out):
        raise UserError(f"{config.dataset} must have 2 training images, to hold one out, got {len(images)}")
    return images, data.training_rows(config.limit_train), limit(held_out, config.limit_val)


def image_shape(name: str, image_size: int | None = None) -> tuple[int, int, int]:
    """(C, H, W) of the set called `name`, without reading it. Raises: UserError for an unknown name and for an image
    size that the set cannot have."""
    kind, _, path = name.partition(":")
    if kind == IMAGE_FOLDER and path:
        size = _DEFAULT_IMAGE_SIZE if image_size is None else image_size
        if not 8 <= size <= 1024:
            raise UserError(f"image_size must be from 8 to 1024 pixels, got {size}")
        return 3, size, size
    if name not in CATALOG:
        raise UserError(f"dataset must be one of {', '.join(NAMES)}, got {name!r}")
    shape = CATALOG[name].shape
    if image_size not in (None, shape[1]):
        raise UserError(f"image_size must be {shape[1]} for {name} (imagefolder takes others), got {image_size}")
    return shape


def _prepare(folder: Path, name: str, source: Source) -> None:
    """Write the arrays of a set to `folder` while its lock is held."""
    (train_images, train_labels), test = source.read()
    if test is None:
        rest, held_out = holdout(train_labels, _TEST_FRACTION)
        test = train_images[held_out], train_labels[held_out]
        train_images, train_labels = train_images[rest], train_labels[rest]
    # once for all: what every training holds out must not depend on the library of its day
    validation_rows = holdout(train_labels)[1] if len(train_labels) > 1 else np.empty(0, int)
    arrays = {"train_images": train_images, "train_labels": train_labels}
    arrays |= {"test_images": test[0], "test_labels": test[1], "validation_rows": validation_rows}
    write_arrays(folder, {"name": name, "classes": source.classes}, arrays)


@functools.lru_cache(maxsize=16)
def _open(folder: Path) -> Dataset:
    """Check and map a prepared copy; one of `DAMAGE` where it is not there, or damaged."""
    meta, arrays = read_arrays(folder)
    train = Split(arrays["train_images"], arrays["train_labels"])
    test = Split(arrays["test_images"], arrays["test_labels"])
    return Dataset(meta["name"], train, test, tuple(map(legible, meta["classes"])), arrays["validation_rows"])


def _short_hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
