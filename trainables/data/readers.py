"""A reader for each format in which images are published. A reader gets the files of one split, the shape of an image
and the number of classes, and returns images (N, C, H, W) uint8 and labels (N,) int64. It takes its files for hostile:
whatever they hold, it raises `UserError` naming the file, the rule and what was found, and nothing else."""

import gzip
import hashlib
import math
import pickle
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainables.errors import UserError

# An idx header or a small gzip stream can promise any size; 1 GiB is 1.3 million images of 28 x 28.
_MAX_FILE_BYTES = 1 << 30


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
        content = _read_whole(path, record_bytes)
        _check_published(path, published, content)
        batches.append(np.frombuffer(content, np.uint8).reshape(-1, record_bytes))
        _check_labels(path, batches[-1][:, 0], class_count)
    records = np.concatenate(batches)
    return records[:, 1:].reshape(-1, *shape), records[:, 0].astype(np.int64)


def read_cifar_pickled(files: Mapping[Path, PublishedFile], shape: Shape, class_count: int) -> Labelled:
    """Batches in CIFAR-10's Python version, joined in this order. The files are pickles, which run code when opened:
    none is, unless it has the published hash."""
    images, labels = [], []
    for path, published in files.items():
        content = _read_whole(path)
        if (found := _hash_like(published.hash, content)) != published.hash:
            rule = f"{path.parent} must hold {published.publisher}'s published files, unaltered"
            raise UserError(f"{rule}: {path.name} must have the hash {published.hash}, found {found}")
        batch = pickle.loads(content, encoding="latin1")
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


def read_pictures(classes: Sequence[Sequence[Path]], image_size: int) -> Labelled:
    """Pictures by class, cut square from the centre and resized to (3, S, S), S = ``image_size``."""
    counts = [len(paths) for paths in classes]
    pictures = (_read_picture(path, image_size) for paths in classes for path in paths)
    images = np.fromiter(pictures, np.dtype((np.uint8, (3, image_size, image_size))), sum(counts))
    return images, np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def _read_idx(path: Path, dimensions: int, published: PublishedFile) -> np.ndarray:
    """The uint8 array of an idx file, plain or gzip: a magic number, a size per dimension, the bytes."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as stream:
            header = stream.read(4 * (1 + dimensions))
            shape = _idx_shape(path, header, dimensions)
            body = stream.read(math.prod(shape) + 1)  # a byte too many, if there is one
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if len(body) != (size := math.prod(shape)):
        found = f"{len(header) + len(body):,}{' or more' if len(body) > size else ''}"
        raise UserError(f"{path} must be {len(header) + size:,} bytes by its header of {shape}, found {found}")
    _check_published(path, published, header, body)
    return np.frombuffer(body, np.uint8).reshape(shape)


def _idx_shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    expected = 4 * (1 + dimensions)
    if len(header) < expected:
        raise UserError(f"{path} must start with an idx header of {expected} bytes, found {len(header)}")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != 0x800 + dimensions:
        rule = f"the idx magic 0x{0x800 + dimensions:08x}, that of bytes in {dimensions} dimension(s)"
        raise UserError(f"{path} must start with {rule}, found 0x{magic:08x}")
    if not 1 <= math.prod(shape) <= _MAX_FILE_BYTES:
        raise UserError(f"{path} must hold from 1 to {_MAX_FILE_BYTES:,} bytes of data, its header says {shape}")
    return tuple(shape)


def _read_whole(path: Path, record_bytes: int = 1) -> bytes:
    """The content of a file of whole records, at least one."""
    try:
        found = path.stat().st_size
        if not 0 < found <= _MAX_FILE_BYTES or found % record_bytes:
            rule = f"of {record_bytes:,} bytes, at least one and at most {_MAX_FILE_BYTES:,} bytes in all"
            raise UserError(f"{path} must hold whole records {rule}, found {found:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _read_picture(path: Path, image_size: int) -> np.ndarray:
    """One picture as (3, S, S) uint8, turned upright as its EXIF tag says."""
    formats = ["BMP", "JPEG", "PNG", "WEBP"]
    try:
        bombs = warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)
        with bombs, Image.open(path, formats=formats) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        square = ImageOps.fit(upright, (image_size, image_size), Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow's decoders raise what they like on a damaged file
        raise UserError(f"{path} must be a readable {', '.join(formats)} image: {error}") from error
    return np.asarray(square).transpose(2, 0, 1)


def _check_labels(path: Path, labels: np.ndarray, class_count: int) -> None:
    if labels.max() >= class_count:
        raise UserError(f"{path} must hold labels from 0 to {class_count - 1}, found {labels.max()}")


def _check_published(path: Path, published: PublishedFile, *parts: bytes) -> None:
    """Refuse content of the published size without the published hash."""
    if sum(map(len, parts)) != published.size:
        return
    if (found := _hash_like(published.hash, *parts)) != published.hash:
        file = f"{published.publisher}'s published file, whose hash starts with {published.hash[:19]}"
        raise UserError(f"{path} is altered: it has the size of {file}, found {found[:19]}")


def _hash_like(example: str, *parts: bytes) -> str:
    """The hash of the parts together, by the algorithm of ``example``, "algorithm:...", else by SHA-256."""
    algorithm = example.partition(":")[0] or "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, b''.join(parts), usedforsecurity=False).hexdigest()}"
