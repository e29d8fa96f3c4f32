"""A reader for each format in which images are published. A reader gets the files of one split, the shape of an image
and the number of classes, and returns images (N, C, H, W) uint8, a memory map where that can be, and labels (N,) int64.
It takes its files for hostile: whatever they hold, it raises `UserError` naming the file, the rule and what was found,
and nothing else."""

import gzip
import hashlib
import math
import pickle
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image

from trainables.data.kinds import START_BYTES, kind_of
from trainables.errors import UserError, reason_of

# An idx header or a small gzip stream can promise any size; 1 GiB is 1.3 million images of 28 x 28.
_MAX_FILE_BYTES = 1 << 30
_FETCH = "fetch it again"  # what ends trouble with a file that is damaged


@dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher made it, unpacked. A file of its size must have its hash; a file of another size is
    somebody's own set in the same format."""

    publisher: str
    name: str
    hash: str = ""  # as pooch writes one, "sha256:..."
    size: int = 0  # in bytes; 0 where it is not known


Labelled = tuple[np.ndarray, np.ndarray]
Shape = tuple[int, int, int]
Reader = Callable[[Mapping[Path, PublishedFile], Shape, int], Labelled]


def read_idx(files: Mapping[Path, PublishedFile], shape: Shape, class_count: int) -> Labelled:
    """Two idx files, plain or gzip: the images (N, H, W) and the labels (N,)."""
    images_path, labels_path = files
    images, labels = _read_idx(images_path, 3, files[images_path]), _read_idx(labels_path, 1, files[labels_path])
    if images.shape[1:] != shape[1:]:
        raise UserError(f"{images_path} must hold images of {shape[1:]}, found {images.shape[1:]}")
    if len(images) != len(labels):
        rule = f"a label for each of the {len(images):,} images in {images_path.name}"
        raise UserError(f"{labels_path} must hold {rule}, found {len(labels):,}")
    _check_labels(labels_path, labels, class_count)
    return images[:, None], labels.astype(np.int64)


def read_cifar_binary(files: Mapping[Path, PublishedFile], shape: Shape, class_count: int) -> Labelled:
    """Batches in CIFAR-10's binary version, joined in this order. A file is a row of records: a label byte, then the
    bytes of the red, green and blue planes."""
    record_bytes = 1 + math.prod(shape)
    batches = []
    for path, published in files.items():
        content = _mapped(path, 0, (_size_of(path, record_bytes),))
        _check_published(path, published, content)
        batches.append(content.reshape(-1, record_bytes))
        _check_labels(path, batches[-1][:, 0], class_count)
    images = np.concatenate([records[:, 1:] for records in batches])
    return images.reshape(-1, *shape), np.concatenate([records[:, 0] for records in batches]).astype(np.int64)


def read_cifar_pickled(files: Mapping[Path, PublishedFile], shape: Shape, class_count: int) -> Labelled:
    """Batches in CIFAR-10's Python version, joined in this order. The files are pickles, which run code when opened:
    none is, unless it has the published hash."""
    images, labels = [], []
    for path, published in files.items():
        content = _mapped(path, 0, (_size_of(path),))
        if (found := _hash_like(published.hash, content)) != published.hash:
            rule = f"{path.parent} must hold {published.publisher}'s published files, unaltered"
            raise UserError(f"{rule}: {path.name} must have the hash {published.hash}, found {found}\n{_FETCH}")
        batch = pickle.loads(content.data, encoding="latin1")
        images.append(np.asarray(batch["data"], np.uint8).reshape(-1, *shape))
        labels.append(np.asarray(batch["labels"], np.int64))
        _check_labels(path, labels[-1], class_count)
    return np.concatenate(images), np.concatenate(labels)


def read_digits(_files: Mapping[Path, PublishedFile], shape: Shape, _class_count: int) -> Labelled:
    """The 1,797 digits that scikit-learn bundles, 8 x 8 in 0..16, as images of ``shape`` in 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    large = [Image.fromarray(image).resize(shape[1:], Image.Resampling.BICUBIC) for image in small]
    return np.stack([np.asarray(image) for image in large])[:, None], bunch.target.astype(np.int64)


def _read_idx(path: Path, dimensions: int, published: PublishedFile) -> np.ndarray:
    """The uint8 array of an idx file, plain or gzip: a magic number, a size per dimension, the bytes."""
    try:
        with _opened(path) as stream:
            header = stream.read(4 * (1 + dimensions))
            shape = _idx_shape(path, header, dimensions)
            size = math.prod(shape)
            is_plain = not isinstance(stream, gzip.GzipFile)
            body = b"" if is_plain else stream.read(size + 1)  # a byte too many, if there is one
        found = path.stat().st_size - len(header) if is_plain else len(body)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is cut off or damaged within its gzip\n{_FETCH}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason_of(error)}") from error
    if found != size:
        more = f"{len(header) + min(found, size + 1):,}{' or more' if found > size else ''}"
        packed = path.with_name(f"{path.name}.gz")
        way_out = f"remove it, and {packed.name} is read" if packed.is_file() else _FETCH
        raise UserError(
            f"{path} must be {len(header) + size:,} bytes by its header of {shape}, found {more}\n{way_out}"
        )
    array = _mapped(path, len(header), shape) if is_plain else np.frombuffer(body, np.uint8).reshape(shape)
    _check_published(path, published, np.frombuffer(header, np.uint8), array)
    return array


def _opened(path: Path) -> BinaryIO:
    """A file, unpacked; by its content, as browsers unpack files and leave them their names."""
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if is_packed else path.open("rb")


def _mapped(path: Path, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes of a file from ``offset`` on, mapped into memory."""
    try:
        return np.memmap(path, np.uint8, "r", offset, shape)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {reason_of(error)}") from error


def _idx_shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    expected = 4 * (1 + dimensions)
    if kind := kind_of(header):
        raise UserError(f"{path} {kind}; it must hold images or labels in the idx format")
    if len(header) < expected:
        raise UserError(f"{path} must start with an idx header of {expected} bytes, found {len(header)}\n{_FETCH}")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != 0x800 + dimensions:
        rule = f"the idx magic 0x{0x800 + dimensions:08x}, that of bytes in {dimensions} dimension(s)"
        raise UserError(f"{path} must start with {rule}, found 0x{magic:08x}")
    if not 1 <= math.prod(shape) <= _MAX_FILE_BYTES:
        raise UserError(f"{path} must hold from 1 to {_MAX_FILE_BYTES:,} bytes of data, its header says {shape}")
    return tuple(shape)


def _size_of(path: Path, record_bytes: int = 1) -> int:
    """The size of a file of whole records, at least one."""
    try:
        found = path.stat().st_size
        with path.open("rb") as file:
            kind = kind_of(file.read(START_BYTES)) if found else None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason_of(error)}") from error
    if not 0 < found <= _MAX_FILE_BYTES or found % record_bytes:
        if kind:
            raise UserError(f"{path} {kind}; it must hold images as they are published")
        rule = f"of {record_bytes:,} bytes, at least one and at most {_MAX_FILE_BYTES:,} bytes in all"
        raise UserError(f"{path} must hold whole records {rule}, found {found:,} bytes\n{_FETCH}")
    return found


def _check_labels(path: Path, labels: np.ndarray, class_count: int) -> None:
    if labels.max() >= class_count:
        raise UserError(f"{path} must hold labels from 0 to {class_count - 1}, found {labels.max()}")


def is_published(path: Path, published: PublishedFile) -> bool | None:
    """Whether a file, plain or gzip, is the published one; None where it is of another size than it."""
    try:
        with _opened(path) as stream:
            content = stream.read(published.size + 1)
    except (OSError, EOFError, zlib.error):
        return False
    return _hash_like(published.hash, content) == published.hash if len(content) == published.size else None


def _check_published(path: Path, published: PublishedFile, *parts: np.ndarray) -> None:
    """Refuse content of the published size without the published hash."""
    if sum(part.nbytes for part in parts) != published.size:
        return
    if (found := _hash_like(published.hash, *parts)) != published.hash:
        file = f"{published.publisher}'s published file, whose hash starts with {published.hash[:19]}"
        raise UserError(f"{path} is altered: it has the size of {file}, found {found[:19]}\n{_FETCH}")


def _hash_like(example: str, *parts: bytes | np.ndarray) -> str:
    """The hash of the parts together, by the algorithm of ``example``, "algorithm:...", else by SHA-256."""
    algorithm = example.partition(":")[0] or "sha256"
    found = hashlib.new(algorithm, usedforsecurity=False)
    for part in parts:
        found.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return f"{algorithm}:{found.hexdigest()}"
