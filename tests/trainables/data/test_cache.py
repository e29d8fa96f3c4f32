"""The prepared copy."""

import errno
import os

import numpy as np
import psutil
from support.image_sets import error_of, write_mnist

from trainables.data import datasets
from trainables.data.datasets import load_dataset
from trainables.training.batches import Pixels

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels", "validation_rows")


def test_a_damaged_copy_is_made_again(tmp_path, cache):
    arrays = write_mnist(tmp_path / "MNIST/raw")
    load_dataset("mnist", tmp_path)
    (folder,) = cache.glob("prepared/mnist-*/")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["meta.json", *sorted(f"{name}.npy" for name in ARRAYS)]
    for name in names:
        content = (folder / name).read_bytes()
        flipped = bytes([content[0] ^ 1]) + content[1:]
        for damaged in (content[:-1], content[:200], b"", b"[]", flipped):
            (folder / name).write_bytes(damaged)
            datasets._open.cache_clear()
            dataset = load_dataset("mnist", tmp_path)
            np.testing.assert_array_equal(dataset.train.images[:, 0], arrays["train-images-idx3-ubyte"])
            assert (folder / name).read_bytes() == content
    assert [path for path in cache.rglob("*") if "partial" in path.name] == []


def test_what_a_killed_process_left_is_swept_up(tmp_path, cache):
    load_dataset("digits")
    (folder,) = cache.glob("prepared/digits-*/")
    partial = folder.with_name(f".{folder.name}.partial")
    folder.rename(partial)
    (partial / "train_images.npy").write_bytes(b"half")
    datasets._open.cache_clear()
    assert len(load_dataset("digits").train.labels) == 1438
    assert not partial.exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "file"))
    message = error_of("digits")
    assert f"the cache folder {tmp_path / 'file/prepared'} must be writable" in message
    assert message.endswith("set VAE_CACHE_DIR to another folder")


def test_a_full_disk_leaves_nothing_behind(cache, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in error_of("digits")
    assert [path.suffix for path in (cache / "prepared").iterdir()] == [".lock"]


def test_serving_images_takes_no_memory_but_the_files_own(tmp_path):
    count = 50_000
    write_mnist(tmp_path, train=count)
    images = load_dataset("mnist", tmp_path).train.images
    assert len(images) == count
    before = psutil.Process().memory_full_info().uss
    pixels = Pixels(images)
    for rows in np.array_split(np.arange(count), 500):
        pixels.batch(rows)
    # this process's own memory: pages of the file are shared with whoever maps it too
    shared = sum(m.private_clean for m in psutil.Process().memory_maps() if m.path.endswith("train_images.npy"))
    assert psutil.Process().memory_full_info().uss - shared - before < images.nbytes / 4
