"""The image sets, by name: prepared once per node as arrays on disk, mapped into memory.

    load_dataset("mnist").train.images[7]  # (1, 28, 28) uint8

Several processes may ask for a set at once: one prepares it under a file lock, the others wait and map it.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import ArrayLike

from trainables.config import TrialConfig
from trainables.data.readers import Labelled
from trainables.data.sources import KNOWN, Source, download, find
from trainables.errors import UserError
from trainables.records.atomic_files import seal, unseal

PREPARED_FORMAT = 3  # a change of what is prepared, or how, makes every old copy stale
DEFAULT_IMAGE_SIZE = 32
TEST_FRACTION = 0.2  # of the sets that come without a test split
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels", "validation_rows")


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
        """The set as a training that is limited to ``train`` images has it: the others are held out, too. Of
        the test images a fixed random subset of at most ``test``. None for all of them."""
        unseen = np.setdiff1d(np.arange(len(self.train.labels)), self.training_rows(train))
        kept = self.test
        if test is not None:
            rows = limit(np.arange(len(kept.labels)), test)
            kept = Split(kept.images[rows], kept.labels[rows])
        return replace(self, test=kept, validation_rows=unseen)


def load_dataset(
    name: str, data_dir: str | Path | None = None, image_size: int | None = None, may_download: bool = True
) -> Dataset:
    """The set called `name`: mnist, fashion_mnist, cifar10, digits or imagefolder:PATH.

    Published files are looked for in `data_dir`, else $VAE_DATA_DIR, else ~/.cache/vae-studies/data, and are
    downloaded there where there are none, if they may be. `imagefolder` reads PATH/class/*.png (or bmp, jpg,
    webp), cuts the pictures square and resizes them to `image_size` pixels (32); the other sets have a size
    of their own.
    `digits` and `imagefolder` set a fixed, stratified fifth aside as the test split. The prepared copy lies
    in $VAE_CACHE_DIR, else ~/.cache/vae-studies, and is checked by SHA-256 once per process.

    Raises `UserError` for an unknown name, an image size that cannot be, files that are missing, truncated,
    altered or unreadable, and a cache folder that cannot be written.
    """
    shape = image_shape(name, image_size)
    kind, _, path = name.partition(":")
    root = _folder(path or data_dir, "VAE_DATA_DIR", "~/.cache/vae-studies/data")
    prepared = cache_folder() / "prepared"
    with _locked(prepared, f"{kind}-{_short_hash(name, str(root))}.lock"):
        source = find(name, root, shape[1])
        if source is None:
            if not may_download:
                raise UserError(f"{root} must hold the files of {name}, found none")
            download(name, root)
            source = find(name, root, shape[1])
            assert source is not None
        folder = prepared / f"{kind}-{_short_hash(name, str(root), shape, source.stamps, PREPARED_FORMAT)}"
        try:
            return _open(folder)
        except (OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged
            _prepare(folder, name, source)
            return _open(folder)


def training_images(
    config: TrialConfig, data_dir: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(images, training rows, validation rows) of ``config``: 10 % of the training set is held out, by label.

    Raises:
        UserError: where the data set cannot be had, or its images do not fit the model.
    """
    data = load_dataset(config.dataset, data_dir, config.image_size)
    if data.image_shape != config.model.image_shape:
        raise UserError(
            f"model.image_shape must be that of {config.dataset}, {data.image_shape}, got {config.model.image_shape}"
        )
    images, held_out = data.train.images, data.validation_rows
    if not len(held_out):
        raise UserError(f"{config.dataset} must have 2 training images, to hold one out, got {len(images)}")
    return images, data.training_rows(config.limit_train), limit(held_out, config.limit_val)


def cache_folder() -> Path:
    """$VAE_CACHE_DIR, else ~/.cache/vae-studies: what can be made again."""
    return _folder(None, "VAE_CACHE_DIR", "~/.cache/vae-studies")


def image_shape(name: str, image_size: int | None = None) -> tuple[int, int, int]:
    """(C, H, W) of the set called `name`, without reading it.

    Raises `UserError` for an unknown name and for an image size that the set cannot have.
    """
    kind, _, path = name.partition(":")
    if kind == "imagefolder" and path:
        size = DEFAULT_IMAGE_SIZE if image_size is None else image_size
        if not 8 <= size <= 1024:
            raise UserError(f"image_size must be from 8 to 1024 pixels, got {size}")
        return 3, size, size
    if name not in KNOWN:
        raise UserError(f"dataset must be one of {', '.join(KNOWN)}, imagefolder:PATH, got {name!r}")
    shape = KNOWN[name].shape
    if image_size not in (None, shape[1]):
        raise UserError(f"image_size must be {shape[1]} for {name} (imagefolder takes others), got {image_size}")
    return shape


def holdout(labels: ArrayLike, fraction: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sorted (train, validation) indices of labels (N,), `fraction` of them for validation; none is empty.

    Stratified by label, unless a class has a single image or a side fewer images than there are classes.
    Raises `UserError` for fewer than two labels and for a fraction outside (0, 1).
    """
    labels = np.asarray(labels)
    if not 0 < fraction < 1:
        raise UserError(f"the fraction held out must be above 0 and below 1, got {fraction}")
    if len(labels) < 2:
        raise UserError(f"at least 2 images are needed to hold some out, got {len(labels)}")
    held = min(max(1, round(fraction * len(labels))), len(labels) - 1)
    counts = np.unique(labels, return_counts=True)[1]
    stratify = labels if counts.min() > 1 and min(held, len(labels) - held) >= len(counts) else None
    from sklearn.model_selection import train_test_split  # takes a second to import, and only this needs it

    train, validation = train_test_split(np.arange(len(labels)), test_size=held, random_state=seed, stratify=stratify)
    return np.sort(train), np.sort(validation)


def limit(indices: ArrayLike, count: int | None, seed: int = 0) -> np.ndarray:
    """A fixed random subset of at most `count` of the indices, sorted; None for all of them.

    With the same seed, a smaller subset is part of a larger one. Raises `UserError` for a count below 1.
    """
    if count is not None and count < 1:
        raise UserError(f"a limit on the number of images must be at least 1, got {count}")
    return np.sort(np.random.default_rng(seed).permutation(np.asarray(indices))[:count])


def _prepare(folder: Path, name: str, source: Source) -> None:
    """Write the arrays of a set and their checksums to `folder`, all or nothing, while the lock is held."""
    (train_images, train_labels), (test_images, test_labels) = _splits(source)
    # once for all: what every training holds out must not depend on the library of its day
    validation_rows = holdout(train_labels)[1] if len(train_labels) > 1 else np.empty(0, int)
    parts = (train_images, train_labels, test_images, test_labels, validation_rows)
    arrays = dict(zip(ARRAYS, parts, strict=True))
    partial = folder.with_name(f".{folder.name}.partial")  # one name: what a killed process left is swept up
    with _writing(folder.parent):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for key, array in arrays.items():
                with _synced(partial / f"{key}.npy") as file:
                    np.save(file, array, allow_pickle=False)
            meta = {
                "name": name,
                "classes": source.classes,
                "shapes": {key: array.shape for key, array in arrays.items()},
                "sha256": {key: _sha256(partial / f"{key}.npy") for key in ARRAYS},
            }
            with _synced(partial / "meta.json") as file:
                file.write(seal(meta, indent=2).encode())
            shutil.rmtree(folder, ignore_errors=True)  # damaged; processes that have it mapped keep it
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _splits(source: Source) -> tuple[Labelled, Labelled]:
    train, test = source.read()
    if test is not None:
        return train, test
    images, labels = train
    rest, held = holdout(labels, TEST_FRACTION)
    return (images[rest], labels[rest]), (images[held], labels[held])


@functools.lru_cache(maxsize=16)
def _open(folder: Path) -> Dataset:
    """Check and map a prepared copy; OSError, ValueError, KeyError or TypeError where it is damaged."""
    meta = unseal((folder / "meta.json").read_bytes())
    for key in ARRAYS:
        if _sha256(folder / f"{key}.npy") != meta["sha256"][key]:
            raise ValueError(f"{folder / key}.npy does not have the SHA-256 in meta.json")
    train, test = (
        Split(
            images=np.load(folder / f"{part}_images.npy", mmap_mode="r", allow_pickle=False),
            labels=np.load(folder / f"{part}_labels.npy", allow_pickle=False),
        )
        for part in ("train", "test")
    )
    validation_rows = np.load(folder / "validation_rows.npy", allow_pickle=False)
    return Dataset(meta["name"], train, test, tuple(meta["classes"]), validation_rows)


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} must be writable: {error}\nset VAE_CACHE_DIR to another folder"
        ) from error


@contextlib.contextmanager
def _synced(path: Path) -> Iterator[io.BufferedWriter]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _folder(given: str | Path | None, variable: str, default: str) -> Path:
    path = given or os.environ.get(variable) or default
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # nobody's home, a loop of links, a null byte
        raise UserError(f"{str(path)!r} must be the path of a folder: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short_hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
