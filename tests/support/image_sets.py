"""Small image sets in the published formats."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.datasets import load_dataset
from trainables.errors import UserError

CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_RNG = np.random.default_rng(0)


def random_split(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images of any content, and labels from 0 to 9."""
    return _RNG.integers(0, 256, (count, *shape), np.uint8), _RNG.integers(0, 10, count, np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, packed: bool = False, train: int = 30) -> dict[str, np.ndarray]:
    """Four idx files with 8 test images; what is in them, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", train), ("t10k", 8)):
        images, labels = random_split(count, (28, 28))
        arrays |= {f"{part}-images-idx3-ubyte": images, f"{part}-labels-idx1-ubyte": labels}
    for name, array in arrays.items():
        content = idx_bytes(array)
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return arrays


def write_cifar(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Six batches of 4 to 9 images in the binary version; what is in them."""
    folder.mkdir(parents=True)
    batches = [random_split(4 + i, (3, 32, 32)) for i in range(6)]
    for name, (images, labels) in zip(CIFAR_BATCHES, batches, strict=True):
        records = b"".join(bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True))
        (folder / f"{name}.bin").write_bytes(records)
    return batches


def write_pictures(root: Path, classes: dict[str, int], size: tuple[int, int] = (40, 20)) -> None:
    """So many pictures of each class, red 0 in the first, 40 in the second and so on."""
    for label, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", size, (40 * label, i, 200)).save(root / name / f"{i:03}.png")


def error_of(*args, **kwargs) -> str:
    """The text of the error that `load_dataset` must raise: one or two lines, never another exception."""
    with pytest.raises(UserError) as caught:
        load_dataset(*args, **kwargs)
    assert str(caught.value).count("\n") <= 1
    return str(caught.value)
