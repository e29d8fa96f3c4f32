"""The published formats, read from files that the test writes itself."""

import gzip
import hashlib
import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.image_sets import (
    CIFAR_BATCHES,
    error_of,
    idx_bytes,
    random_split,
    write_cifar,
    write_mnist,
    write_pictures,
)

from trainables.data.catalog import CATALOG
from trainables.data.datasets import image_shape, load_dataset
from trainables.data.readers import PublishedFile, read_idx
from trainables.data.splits import holdout
from trainables.errors import UserError


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST/raw"),
        ("mnist", "MNIST"),
        ("mnist", "mnist"),
        ("mnist", "."),
        ("fashion_mnist", "FashionMNIST/raw"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_give_what_was_written(tmp_path, name, folder, packed):
    arrays = write_mnist(tmp_path / folder, packed)
    dataset = load_dataset(name, tmp_path)
    assert dataset.name == name
    assert dataset.image_shape == image_shape(name) == (1, 28, 28)
    assert len(dataset.classes) == 10
    for split, part in ((dataset.train, "train"), (dataset.test, "t10k")):
        np.testing.assert_array_equal(split.images[:, 0], arrays[f"{part}-images-idx3-ubyte"])
        np.testing.assert_array_equal(split.labels, arrays[f"{part}-labels-idx1-ubyte"])
        assert isinstance(split.images, np.memmap)
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert not split.images.flags.writeable


def test_idx_files_read_as_torchvision_reads_them(tmp_path):
    from torchvision.datasets import MNIST

    write_mnist(tmp_path / "MNIST/raw")
    dataset = load_dataset("mnist", tmp_path)
    for split, train in ((dataset.train, True), (dataset.test, False)):
        oracle = MNIST(tmp_path, train=train)
        np.testing.assert_array_equal(split.images[:, 0], oracle.data.numpy())
        np.testing.assert_array_equal(split.labels, oracle.targets.numpy())


def test_cifar_binary_gives_what_was_written(tmp_path):
    batches = write_cifar(tmp_path / "cifar-10-batches-bin")
    dataset = load_dataset("cifar10", tmp_path)
    assert dataset.image_shape == image_shape("cifar10") == (3, 32, 32)
    assert dataset.classes[3] == "cat"
    np.testing.assert_array_equal(dataset.train.images, np.concatenate([images for images, _ in batches[:5]]))
    np.testing.assert_array_equal(dataset.train.labels, np.concatenate([labels for _, labels in batches[:5]]))
    np.testing.assert_array_equal(dataset.test.images, batches[5][0])
    np.testing.assert_array_equal(dataset.test.labels, batches[5][1])


def test_cifar_pickles_give_what_was_written_and_what_torchvision_reads(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def write(name: str, content: dict) -> PublishedFile:
        (folder / name).write_bytes(pickle.dumps(content))
        return PublishedFile("CIFAR-10", name, f"md5:{hashlib.md5((folder / name).read_bytes()).hexdigest()}")

    batches = [random_split(4 + i, (3, 32, 32)) for i in range(6)]
    files = tuple(
        write(name, {"data": images.reshape(-1, 3072), "labels": labels.tolist()})
        for name, (images, labels) in zip(CIFAR_BATCHES, batches, strict=True)
    )
    meta = write("batches.meta", {"label_names": list(CATALOG["cifar10"].classes)})
    binary, pickled = CATALOG["cifar10"].versions
    versions = (binary, replace(pickled, train=files[:5], test=files[5:]))
    monkeypatch.setitem(CATALOG, "cifar10", replace(CATALOG["cifar10"], versions=versions))
    dataset = load_dataset("cifar10", tmp_path)
    np.testing.assert_array_equal(dataset.train.images, np.concatenate([images for images, _ in batches[:5]]))
    np.testing.assert_array_equal(dataset.test.images, batches[5][0])
    np.testing.assert_array_equal(dataset.test.labels, batches[5][1])

    sums = [[file.name, file.hash.removeprefix("md5:")] for file in (*files, meta)]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:6])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta.name, "key": "label_names", "md5": sums[6][1]})
    for split, train in ((dataset.train, True), (dataset.test, False)):
        oracle = CIFAR10(tmp_path, train=train)
        np.testing.assert_array_equal(split.images, oracle.data.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(split.labels, oracle.targets)


def test_cifar_pickles_are_never_opened_unless_they_are_the_published_ones(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    trap = tmp_path / "opened"
    for name in (*CIFAR_BATCHES, "batches.meta"):
        (folder / name).write_bytes(f"cos\nsystem\n(S'touch {trap}'\ntR.".encode())
    assert "cifar-10-batches-py must hold CIFAR-10's published files" in error_of("cifar10", tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_of_an_idx_pair_is_refused(tmp_path, packed):
    images, labels = random_split(1, (28, 28))
    pack = gzip.compress if packed else bytes
    whole = {name: pack(idx_bytes(array)) for name, array in (("images", images), ("labels", labels))}
    ending = ".gz" if packed else ""
    paths = {
        "images": tmp_path / f"train-images-idx3-ubyte{ending}",
        "labels": tmp_path / f"train-labels-idx1-ubyte{ending}",
    }
    train = CATALOG["mnist"].versions[0].train
    files = dict(zip(paths.values(), train, strict=True))
    for damaged, path in paths.items():
        for name, content in whole.items():
            paths[name].write_bytes(content)
        read_idx(files, (1, 28, 28), 10)
        for length in range(len(whole[damaged])):
            path.write_bytes(whole[damaged][:length])
            with pytest.raises(UserError, match=path.name):
                read_idx(files, (1, 28, 28), 10)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:-1], "must be 23,536 bytes by its header .*, found 23,535"),
        ("train-images-idx3-ubyte", lambda b: b + b"\0", "must be 23,536 bytes .* found 23,537 or more"),
        ("train-images-idx3-ubyte", lambda b: b"\0\0\x0d\x03" + b[4:], "magic 0x00000803.*found 0x00000d03"),
        ("train-images-idx3-ubyte", lambda b: b[:4] + b"\xff" * 12 + b[16:], "its header says"),
        ("train-images-idx3-ubyte", lambda b: b[:8] + struct.pack(">II", 14, 56) + b[16:], r"found \(14, 56\)"),
        ("t10k-labels-idx1-ubyte", lambda b: b[:7] + b"\7" + b[8:-1], "a label for each of the 8 .* found 7"),
        ("t10k-labels-idx1-ubyte", lambda b: b[:-1] + b"\x0a", "labels from 0 to 9, found 10"),
        ("t10k-labels-idx1-ubyte", lambda b: b[:4] + b"\0" * 4, "from 1 to .* its header says"),
    ],
)
def test_a_malformed_idx_file_is_named(tmp_path, cache, name, damage, message):
    write_mnist(tmp_path / "MNIST/raw")
    path = tmp_path / "MNIST/raw" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{name} .*{message}"):
        load_dataset("mnist", tmp_path)
    assert not list(cache.glob("prepared/*/")), "nothing half-written"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>404", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a pointer of Git LFS"),
        (gzip.compress(gzip.compress(bytes(30))), "is packed (gzip): unpack it"),
        (b"PK\3\4" + bytes(30), "is an archive: unpack it"),
        (b"\xfd7zXZ\0" + bytes(30), "is packed (xz): unpack it"),
        (b"", "is empty"),
        (gzip.compress(bytes(range(256)) * 9)[:-20], "must start with the idx magic"),
        (gzip.compress(idx_bytes(np.zeros((30, 28, 28), np.uint8)))[:-9], "is cut off or damaged within its gzip"),
        (gzip.compress(idx_bytes(np.zeros((30, 28, 28), np.uint8)))[:-8] + bytes(8), "is cut off or damaged"),
        (b"\x1f\x8b\xff\xff" + bytes(30), "is cut off or damaged within its gzip"),
    ],
    ids=["page", "pointer", "twice packed", "zip", "xz", "empty", "other", "cut", "altered", "damaged"],
)
def test_a_file_that_is_something_else_is_called_what_it_is(tmp_path, content, said):
    write_mnist(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    assert error_of("mnist", tmp_path).startswith(f"{path} {said}")


def test_a_file_that_is_cut_off_beside_a_whole_one_that_is_packed_can_go(tmp_path):
    write_mnist(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.decompress((tmp_path / f"{path.name}.gz").read_bytes())[:-9])
    assert error_of("mnist", tmp_path).endswith(f"\nremove it, and {path.name}.gz is read")
    path.unlink()
    load_dataset("mnist", tmp_path)


def test_a_cifar_batch_that_is_something_else_is_called_what_it_is(tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    path = tmp_path / "cifar-10-batches-bin/data_batch_3.bin"
    path.write_bytes(b"<html>")
    assert error_of("cifar10", tmp_path).startswith(f"{path} is a web page")


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_the_published_size_must_be_the_published_file(tmp_path, packed):
    write_mnist(tmp_path / "MNIST/raw", packed)
    path = tmp_path / "MNIST/raw" / ("t10k-labels-idx1-ubyte.gz" if packed else "t10k-labels-idx1-ubyte")
    content = idx_bytes(np.zeros(10_000, np.uint8))
    path.write_bytes(gzip.compress(content) if packed else content)
    assert f"{path} is altered" in error_of("mnist", tmp_path)


@pytest.mark.parametrize(("cut", "found"), [(0, "0 bytes"), (1, "1 bytes"), (-1, "12,291 bytes")])
def test_a_truncated_cifar_batch_is_named(tmp_path, cut, found):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    path = tmp_path / "cifar-10-batches-bin/data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:cut])
    message = error_of("cifar10", tmp_path)
    assert message.startswith(f"{path} must hold whole records of 3,073 bytes")
    assert message.endswith(f"found {found}\nfetch it again")


def test_a_cifar_label_above_9_is_refused(tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    path = tmp_path / "cifar-10-batches-bin/test_batch.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    assert error_of("cifar10", tmp_path) == f"{path} must hold labels from 0 to 9, found 10"


def test_digits_are_the_bundled_ones_enlarged():
    from sklearn.datasets import load_digits

    dataset, oracle = load_dataset("digits"), load_digits()
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (1438, 359)
    assert dataset.image_shape == image_shape("digits") == (1, 28, 28)
    order = np.concatenate(holdout(oracle.target, 0.2))
    for split, rows in ((dataset.train, order[:1438]), (dataset.test, order[1438:])):
        np.testing.assert_array_equal(split.labels, oracle.target[rows])
        for image, original in zip(split.images, oracle.images[rows], strict=True):
            small = np.asarray(Image.fromarray(image[0]).resize((8, 8), Image.Resampling.LANCZOS))
            assert np.corrcoef(small.ravel(), original.ravel())[0, 1] > 0.95


def test_the_centre_of_a_wide_picture_is_what_remains(tmp_path):
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 255
    (tmp_path / "a").mkdir()
    for i in range(3):
        Image.fromarray(picture).save(tmp_path / f"a/{i}.bmp")
    assert (load_dataset(f"imagefolder:{tmp_path}", image_size=20).train.images == 255).all()


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_an_unreadable_picture_is_named(tmp_path, content):
    write_pictures(tmp_path, {"a": 3})
    (tmp_path / "a/broken.png").write_bytes(content)
    assert str(tmp_path / "a/broken.png") in error_of(f"imagefolder:{tmp_path}")


def test_a_truncated_picture_is_named(tmp_path):
    write_pictures(tmp_path, {"a": 3})
    path = tmp_path / "a/001.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert str(path) in error_of(f"imagefolder:{tmp_path}")
