"""Readers of image files as their publishers lay them out.

Every reader returns images (N, C, H, W) uint8 and labels (N,) int64. It takes its files for hostile: whatever
they hold, it raises `UserError` naming the file, the rule and what was found, and nothing else.
"""

import gzip
import hashlib
import math
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainables.errors import UserError
from trainables.records.atomic_files import refuse_escapes

Labelled = tuple[np.ndarray, np.ndarray]

IDX_SHAPE = (28, 28)
CIFAR_SHAPE = (3, 32, 32)
CIFAR_RECORD_BYTES = 1 + math.prod(CIFAR_SHAPE)
CLASS_COUNT = 10  # of MNIST, Fashion-MNIST and CIFAR-10 alike
IMAGE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
# An idx header or a small gzip stream can promise any size; 1 GiB is 1.3 million images of 28 x 28.
MAX_FILE_BYTES = 1 << 30

# The published files, unpacked. A file of the published size must have the published SHA-256; a file of
# another size is somebody's own set in the same format.
PUBLISHED_BYTES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
    **{f"data_batch_{i}.bin": 30_730_000 for i in range(1, 6)},
    "test_batch.bin": 30_730_000,
}
PUBLISHED_SHA256 = {
    "MNIST": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    "CIFAR10": {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
}


def read_idx_pair(images_path: Path, labels_path: Path, publisher: str) -> Labelled:
    """Images (N, 1, 28, 28) and labels (N,) of one split of MNIST or Fashion-MNIST.

    `publisher` is "MNIST" or "FashionMNIST": whose SHA-256 a file of the published size must have.
    """
    images, labels = _read_idx(images_path, 3, publisher), _read_idx(labels_path, 1, publisher)
    if images.shape[1:] != IDX_SHAPE:
        raise UserError(f"{images_path} must hold images of {IDX_SHAPE}, found {images.shape[1:]}")
    if len(images) != len(labels):
        raise UserError(
            f"{labels_path} must hold a label for each of the {len(images):,} images in {images_path.name}, "
            f"found {len(labels):,}"
        )
    _check_labels(labels_path, labels)
    return images[:, None], labels.astype(np.int64)


def read_cifar_binary(paths: Sequence[Path]) -> Labelled:
    """Images (N, 3, 32, 32) and labels (N,) of batches in CIFAR-10's binary version, joined in this order.

    A file is a row of records: a label byte, then 3,072 bytes of red, green and blue planes.
    """
    records = np.concatenate([_read_cifar_batch(path) for path in paths])
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), records[:, 0].astype(np.int64)


def read_cifar_pickled(data_dir: Path, train: bool) -> Labelled:
    """Images (N, 3, 32, 32) and labels (N,) of CIFAR-10's Python version, `data_dir/cifar-10-batches-py`.

    The files are pickles, which run code when opened; torchvision compares each with its published MD5 first.
    """
    from torchvision.datasets import CIFAR10  # takes seconds to import, and only this version needs it

    try:
        cifar = CIFAR10(data_dir, train=train, download=False)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{data_dir / CIFAR10.base_folder} must hold CIFAR-10's published files, unaltered by their MD5: {error}"
        ) from error
    return cifar.data.transpose(0, 3, 1, 2), np.asarray(cifar.targets, np.int64)


def read_digits() -> Labelled:
    """scikit-learn's 1,797 digits, 8 x 8 in 0..16, as images (N, 1, 28, 28) in 0..255 and labels (N,)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    large = [Image.fromarray(image).resize(IDX_SHAPE, Image.Resampling.BICUBIC) for image in small]
    return np.stack([np.asarray(image) for image in large])[:, None], bunch.target.astype(np.int64)


def find_images(root: Path) -> dict[str, list[Path]]:
    """The images `root/class/*.png` (or another of `IMAGE_ENDINGS`) by class, both sorted by name;
    where there are none but `root/*.png`, they are one class.

    Folders without images are no classes; hidden files and folders are passed over. Links out of `root` are
    refused: a set from elsewhere must not show what else is on this machine.
    """
    if not root.is_dir():
        raise UserError(f"imagefolder must name a folder of class folders, but {root} is not a folder")
    refuse_escapes(root)
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def images_in(folder: Path) -> list[Path]:
        return [path for path in sorted(folder.iterdir()) if _is_image(path)]

    images = {folder.name: images_in(folder) for folder in folders}
    if not any(images.values()):
        images = {root.name: images_in(root)}  # without labels
    if not any(images.values()):
        endings = ",".join(ending[1:] for ending in IMAGE_ENDINGS)
        raise UserError(f"{root} must hold images as *.{{{endings}}} or CLASS/*, found none")
    return {name: paths for name, paths in images.items() if paths}


def read_images(classes: dict[str, list[Path]], image_size: int) -> Labelled:
    """Images (N, 3, S, S), cut square from the centre and resized to S = `image_size`, and labels (N,)."""
    counts = [len(paths) for paths in classes.values()]
    images = np.empty((sum(counts), 3, image_size, image_size), np.uint8)
    for row, path in enumerate(path for paths in classes.values() for path in paths):
        images[row] = _read_image(path, image_size)
    return images, np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def _read_idx(path: Path, dimensions: int, publisher: str) -> np.ndarray:
    """The uint8 array of an idx file, plain or gzip: a magic number, a size per dimension, the bytes."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as stream:
            header = stream.read(4 * (1 + dimensions))
            shape = _idx_shape(path, header, dimensions)
            body = stream.read(math.prod(shape) + 1)  # a byte too many, if there is one
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if len(body) != math.prod(shape):
        found = f"{len(header) + len(body):,}{' or more' if len(body) > math.prod(shape) else ''}"
        expected = f"{len(header) + math.prod(shape):,} bytes"
        raise UserError(f"{path} must be {expected} by its header of {shape}, found {found}")
    _check_published(path, publisher, header, body)
    return np.frombuffer(body, np.uint8).reshape(shape)


def _idx_shape(path: Path, header: bytes, dimensions: int) -> tuple[int, ...]:
    expected = 4 * (1 + dimensions)
    if len(header) < expected:
        raise UserError(f"{path} must start with an idx header of {expected} bytes, found {len(header)}")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if magic != 0x800 + dimensions:
        raise UserError(
            f"{path} must start with the idx magic 0x{0x800 + dimensions:08x}, that of bytes in {dimensions} "
            f"dimension(s), found 0x{magic:08x}"
        )
    if not 1 <= math.prod(shape) <= MAX_FILE_BYTES:
        raise UserError(f"{path} must hold from 1 to {MAX_FILE_BYTES:,} bytes of data, its header says {shape}")
    return tuple(shape)


def _read_cifar_batch(path: Path) -> np.ndarray:
    """The records of one batch, (N, 3073) uint8."""
    try:
        found = path.stat().st_size
        if not 0 < found <= MAX_FILE_BYTES or found % CIFAR_RECORD_BYTES:
            raise UserError(
                f"{path} must hold whole records of {CIFAR_RECORD_BYTES:,} bytes, at least one and at most "
                f"{MAX_FILE_BYTES:,} bytes in all, found {found:,} bytes"
            )
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    _check_published(path, "CIFAR10", content)
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD_BYTES)
    _check_labels(path, records[:, 0])
    return records


def _read_image(path: Path, image_size: int) -> np.ndarray:
    """One picture as (3, S, S) uint8, turned upright as its EXIF tag says."""
    formats = ["BMP", "JPEG", "PNG", "WEBP"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
        square = ImageOps.fit(upright, (image_size, image_size), Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow's decoders raise what they like on a damaged file
        raise UserError(f"{path} must be a readable {', '.join(formats)} image: {error}") from error
    return np.asarray(square).transpose(2, 0, 1)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".") and path.is_file()


def _check_labels(path: Path, labels: np.ndarray) -> None:
    if labels.max() >= CLASS_COUNT:
        raise UserError(f"{path} must hold labels from 0 to {CLASS_COUNT - 1}, found {labels.max()}")


def _check_published(path: Path, publisher: str, *parts: bytes) -> None:
    """Refuse content with the published size of the file it is named after, but not its SHA-256."""
    name = path.name.removesuffix(".gz")
    if sum(map(len, parts)) != PUBLISHED_BYTES[name]:
        return
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    expected = PUBLISHED_SHA256[publisher][name]
    if digest.hexdigest() != expected:
        raise UserError(
            f"{path} is altered: it has the size of {publisher}'s published file, whose SHA-256 starts with "
            f"{expected[:12]}, found {digest.hexdigest()[:12]}"
        )
