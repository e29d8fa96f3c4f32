"""The image sets, by name: prepared once per node as arrays on disk, mapped into memory. Of several processes that ask
for a set at once, one prepares it under a file lock, and the others wait."""

import difflib
import functools
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from trainables.config import HELD_OUT, TrialConfig
from trainables.data.binary import binary_blocks
from trainables.data.cache import DAMAGE, Blocks, folder_from, locked, read_arrays, remove_older, write_arrays
from trainables.data.catalog import CATALOG, FOLDERS, NAMES
from trainables.data.download import download, not_there
from trainables.data.sources import Source, find
from trainables.data.splits import holdout, limit
from trainables.errors import UserError, reason_of
from trainables.terminal import Seldom, screen
from trainables.text import legible, printable

_DEFAULT_IMAGE_SIZE = 32
_TEST_FRACTION = 0.2  # of the sets that come without a test split
_BLOCK, _BLOCK_BYTES = 16, 1 << 23  # images, and bytes of them, that are in memory at once while a set is prepared
_SOON = 0.5  # seconds, in which most sets are prepared, and no bar is seen
_FIRST_LINE = 5.0  # seconds after which a line stands for the bar, in a log
_FEW = 30  # images to validate on, below which their mean says little


class MissingDataError(UserError):
    """A set's files are not there, and were not to be downloaded."""


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
    notes: tuple[str, ...] = ()
    """What a person should know of it, a line each: what was left out, and how pictures were read."""
    folder: Path = Path()
    """Where its prepared copy lies."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What tells it from other images of its name: their ``count``, and a ``digest`` of pixels, labels and split."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def known_as(self, images: Mapping[str, Any] | None) -> "Dataset":
        """This set, where its ``identity`` is the one that is known, or none is. Raises: UserError."""
        if images and images != self.identity:
            raise UserError(
                f"{self.name} has other images than when training began, {self.identity['count']:,} of them now\n"
                "put those back: of a set that changed, some that test a model now were trained on"
            )
        return self

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
    """The set called `name`, of the catalog or imagefolder:PATH or greyfolder:PATH.

    Published files are looked for in `data_dir`, else $VAE_DATA_DIR, else ~/.cache/vae-studies/data, and nearby, and
    downloaded there where there are none, if they may be. `imagefolder` reads PATH/class/* in colour and `greyfolder`
    in grey, see `trainables.data.pictures`, cuts the pictures square and resizes them to `image_size` pixels (32); the
    other sets have a size of their own. Of a set without a test split a fixed, stratified fifth becomes one. The
    prepared copy lies in $VAE_CACHE_DIR, else ~/.cache/vae-studies, and is checked by SHA-256 once per process; it is
    written as the images are read, and takes the place of older ones. Raises: UserError for an unknown name, an image
    size that cannot be, files that are missing, altered or unreadable, and a cache folder that is full or cannot be
    written; `MissingDataError` where there is nothing and no download."""
    shape = image_shape(name, image_size)
    kind, _, path = name.partition(":")
    root = folder_from(path or data_dir, "VAE_DATA_DIR", "~/.cache/vae-studies/data")
    prepared = folder_from(None, "VAE_CACHE_DIR", "~/.cache/vae-studies") / "prepared"  # what can be made again
    lock = prepared / f"{kind}-{_place(kind, root)}.lock"  # a folder is one, however it is spelt
    with locked(lock, name):
        source = find(name, root, shape)
        if source is None and may_download:
            download(name, root)
            source = find(name, root, shape)
        if source is None:
            raise MissingDataError(not_there(name, root))
        folder = prepared / f"{kind}-{_short_hash(kind, str(root), shape, source.stamps, source.format)}"
        try:
            return _open(folder, name, source.notes)
        except DAMAGE as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                fault = f"{folder} cannot be read: {reason_of(error)}"
                raise UserError(f"{fault}\nset VAE_CACHE_DIR to another folder") from error
            _prepare(folder, lock, name, root, source)
            return _open(folder, name, source.notes)


def dataset_of(
    config: TrialConfig,
    data_dir: str | Path | None = None,
    may_download: bool = True,
    images: Mapping[str, Any] | None = None,
) -> Dataset:
    """The set of ``config`` as its models see it: `load_dataset`'s, with its share held out, its images made binary if
    they are to be. Where training draws them anew at each step, these are one draw, which validates and tests. Raises:
    as `load_dataset`, and UserError where it is not known as ``images``, the `Dataset.identity` of before."""
    data = load_dataset(config.dataset, data_dir, config.image_size, may_download).known_as(images)
    if config.held_out != HELD_OUT and len(data.train.labels) > 1:
        data = _holding_out(data, config.held_out)
    return _binary(data, config.model.held_out_pixels) if config.model.is_binary else data


class TrainingImages(NamedTuple):
    """What a training sees: images (N, C, H, W) uint8, and which rows of them are its own."""

    images: np.ndarray
    rows: np.ndarray
    validation_images: np.ndarray
    validation_rows: np.ndarray


def training_images(
    config: TrialConfig, data_dir: str | Path | None = None, images: Mapping[str, Any] | None = None
) -> TrainingImages:
    """Those of ``config``: a share of the training set is held out, by label. Images that training draws anew at each
    step are grey. Raises: UserError where the data set cannot be had or is not known as ``images``, its images do not
    fit the model, or those to train on are fewer than its prior has components."""
    data = dataset_of(config, data_dir, images=images)
    if data.image_shape != config.model.image_shape:
        raise UserError(
            f"model.image_shape must be that of {config.dataset}, {data.image_shape}, got {config.model.image_shape}"
        )
    trained, held_out = data.train.images, data.validation_rows
    if not len(held_out):
        raise UserError(f"{config.dataset} must have 2 training images, to hold one out, got {len(trained)}")
    if config.model.binarise == "dynamic":
        trained = load_dataset(config.dataset, data_dir, config.image_size).train.images
    rows = data.training_rows(config.limit_train)
    if config.model.prior == "vamp" and (asked := config.model.pseudo_inputs) > len(rows):
        rule = f"model.pseudo_inputs must be at most the {len(rows):,} training images with prior vamp, got {asked:,}"
        raise UserError(f"{rule}\nset fewer, or train on more images")
    return TrainingImages(trained, rows, data.train.images, limit(held_out, config.limit_val))


def image_shape(name: str, image_size: int | None = None) -> tuple[int, int, int]:
    """(C, H, W) of the set called `name`, without reading it. Raises: UserError for an unknown name and for an image
    size that the set cannot have."""
    kind, _, path = name.partition(":")
    if kind in FOLDERS and path:
        size = _DEFAULT_IMAGE_SIZE if image_size is None else image_size
        if not 8 <= size <= 1024:
            raise UserError(f"image_size must be from 8 to 1024 pixels, got {size}")
        return FOLDERS[kind], size, size
    if name not in CATALOG:
        raise UserError(f"dataset must be one of {', '.join(NAMES)}, got {name!r}{_meant(name)}")
    shape = CATALOG[name].shape
    if image_size not in (None, shape[1]):
        raise UserError(f"image_size must be {shape[1]} for {name} (imagefolder takes others), got {image_size}")
    return shape


def _meant(name: str) -> str:
    """What an unknown name may be meant to be, as the second line of an error."""
    kind, colon, path = name.partition(":")
    known = difflib.get_close_matches(name.lower().replace("-", "_"), CATALOG, 1)
    if colon and path:
        known = [f"{each}:{path}" for each in difflib.get_close_matches(kind.lower(), FOLDERS, 1)]
    with suppress(OSError, RuntimeError, ValueError):  # nobody's home, a null byte
        if name and Path(name).expanduser().is_dir():
            known = [f"imagefolder:{name}"]
    return f"\ndid you mean {known[0]}?" if known else ""


def _prepare(folder: Path, lock: Path, name: str, root: Path, source: Source) -> None:
    """Write the arrays of a set to `folder` while its `lock` is held, and remove those of what the set was before."""
    (images, labels), test = source.read()
    notes = f"\n{'; '.join(source.notes)}" if source.notes else ""  # where the others may be
    if (found := len(labels) + (len(test[1]) if test else 0)) < 3:
        raise UserError(f"{root} must hold 3 images or more, to train on, to validate and to test, got {found}{notes}")
    if len(labels) < 2:
        raise UserError(f"{root} must hold 2 training images or more, to train on and to validate, got {len(labels)}")
    if test is None:
        rows, held_out = holdout(labels, _TEST_FRACTION)
        test = images, labels
    else:
        rows, held_out = np.arange(len(labels)), np.arange(len(test[1]))
    # once for all: what every training holds out must not depend on the library of its day
    validation_rows = holdout(labels[rows])[1] if len(rows) > 1 else np.empty(0, int)
    kind, _, spelt = name.partition(":")
    about = {"name": legible(name), "place": _place(kind, root), "classes": source.classes}
    about["source"] = _short_hash(source.stamps, source.format)
    with _counting(f"preparing {Path(name).name}", len(rows) + len(held_out)) as count:
        arrays = {
            "train_images": _blocks(images, rows, count),
            "train_labels": Blocks.of(labels[rows]),
            "test_images": _blocks(test[0], held_out, count),
            "test_labels": Blocks.of(test[1][held_out]),
            "validation_rows": Blocks.of(validation_rows),
        }
        write_arrays(folder, lock, arrays, lambda: {**about, "notes": source.notes_of_reading()})

    kinds = FOLDERS if kind in FOLDERS else (kind,)  # in colour and in grey, a folder has changed for both

    def is_older(old: dict[str, Any]) -> bool:
        # earlier versions say the place with the name as it was spelt, or the name alone
        places = {*(_place(each, root) for each in kinds), _short_hash(name, str(root))}
        place = old.get("place") or (_place(kind, root) if old["name"].partition(":")[2] in (spelt, str(root)) else "")
        return bool(place in places and old.get("source") != about["source"])

    for each in kinds:
        remove_older(folder, each, is_older)


@functools.lru_cache(maxsize=16)
def _holding_out(data: Dataset, share: float) -> Dataset:
    """A set of which another share than 10 % validates. Raises: UserError where that is a single image, over which no
    latent varies."""
    rows = holdout(data.train.labels, share)[1]
    if len(rows) < 2:
        least = 2 / len(data.train.labels)
        raise UserError(f"held_out must be at least {least:.2g} of {len(data.train.labels):,} images, got {share:g}")
    return replace(data, validation_rows=rows)


@functools.lru_cache(maxsize=16)
def _binary(data: Dataset, how: str) -> Dataset:
    """A set with binary images, which lie beside the grey ones. Raises: UserError where they cannot be written."""
    grey = data.folder
    folder, lock = (grey.with_name(f"{how}-{grey.name}{end}") for end in ("", ".lock"))
    parts = {"train_images": data.train, "test_images": data.test}
    with locked(lock, f"{data.name}, {how} binary,"):
        try:
            _, arrays = read_arrays(folder)
        except DAMAGE:
            made = {name: binary_blocks(split.images, how, at) for at, (name, split) in enumerate(parts.items())}
            write_arrays(folder, lock, made, dict)
            _, arrays = read_arrays(folder)
    train, test = (replace(split, images=arrays[name]) for name, split in parts.items())
    return replace(data, train=train, test=test)


def _blocks(images: np.ndarray, rows: np.ndarray, count: Callable[[np.ndarray], np.ndarray]) -> Blocks:
    """Rows of images that are read when they are written."""
    shape = images.shape[1:]
    most = max(1, min(_BLOCK, _BLOCK_BYTES // math.prod(shape)))
    blocks = map(images.__getitem__, np.array_split(rows, len(rows) // most + 1))
    return Blocks((len(rows), *shape), images.dtype, map(count, blocks))


def _place(kind: str, root: Path) -> str:
    return _short_hash(kind, str(root))


@functools.lru_cache(maxsize=16)
def _open(folder: Path, name: str, notes: tuple[str, ...]) -> Dataset:
    """Check and map a prepared copy; one of `DAMAGE` where it is not there, or damaged."""
    meta, arrays = read_arrays(folder)
    train = Split(arrays["train_images"], arrays["train_labels"])
    test = Split(arrays["test_images"], arrays["test_labels"])
    rows, classes = arrays["validation_rows"], tuple(map(legible, meta["classes"]))
    if len(rows) < _FEW:
        count = len(train.labels) + len(test.labels)
        few = f"{count:,} images, of which {len(rows):,} validate: too few to tell which of two trials is better"
        notes = (*notes, few)
    identity = {"count": len(train.labels) + len(test.labels), "digest": _short_hash(sorted(meta["sha256"].items()))}
    return Dataset(name, train, test, classes, rows, (*notes, *meta.get("notes", ())), folder, identity)


@contextmanager
def _counting(what: str, total: int) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """A bar in a terminal, which moves on by each block that passes, and elsewhere a line a minute; none for what takes
    a moment."""
    console, began, line, done = screen(stderr=True), time.monotonic(), Seldom(_FIRST_LINE), 0
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(printable(what), total=total)

    def count(block: np.ndarray) -> np.ndarray:
        nonlocal done
        done += len(block)
        if time.monotonic() - began > _SOON:
            bar.start()
        bar.advance(task, len(block))
        if bar.disable and line.is_due():
            print(printable(f"{what}: {done:,} of {total:,} pictures"), file=sys.stderr)
        return block

    try:
        yield count
    finally:
        bar.stop()


def _short_hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
