"""The image sets, from files that the test writes itself in the published formats."""

import errno
import gzip
import hashlib
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from trainables.config import TrialConfig
from trainables.data import datasets as data
from trainables.data import readers as formats
from trainables.data import sources
from trainables.data.datasets import holdout, image_shape, limit, load_dataset
from trainables.errors import UserError
from trainables.training.batches import Pixels
from trainables.training.trial import load_pixels

REPOSITORY = Path(__file__).parents[3]
REAL_DATA = os.environ.get("VAE_DATA_DIR")  # read before any test changes it
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of its own for every test."""
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("VAE_DATA_DIR", raising=False)
    data._open.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def random_split(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return RNG.integers(0, 256, (count, *shape), np.uint8), RNG.integers(0, 10, count, np.uint8)


def write_mnist(folder: Path, packed: bool = False, train: int = 30) -> dict[str, np.ndarray]:
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
    folder.mkdir(parents=True)
    batches = [random_split(4 + i, (3, 32, 32)) for i in range(6)]
    for name, (images, labels) in zip(sources.CIFAR_BATCHES, batches, strict=True):
        records = b"".join(bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True))
        (folder / f"{name}.bin").write_bytes(records)
    return batches


def write_images(root: Path, classes: dict[str, int], size: tuple[int, int] = (40, 20)) -> None:
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


# ---- the published formats


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


def test_cifar_pickles_give_what_was_written(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()

    def write(name: str, content: dict) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    batches = [random_split(4 + i, (3, 32, 32)) for i in range(6)]
    sums = [
        write(name, {"data": images.reshape(-1, 3072), "labels": labels.tolist()})
        for name, (images, labels) in zip(sources.CIFAR_BATCHES, batches, strict=True)
    ]
    name, md5 = write("batches.meta", {"label_names": list(sources.OBJECTS)})
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    dataset = load_dataset("cifar10", tmp_path)
    np.testing.assert_array_equal(dataset.train.images, np.concatenate([images for images, _ in batches[:5]]))
    np.testing.assert_array_equal(dataset.test.images, batches[5][0])
    np.testing.assert_array_equal(dataset.test.labels, batches[5][1])


def test_cifar_pickles_are_never_opened_unless_they_are_the_published_ones(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    trap = tmp_path / "opened"
    for name in (*sources.CIFAR_BATCHES, "batches.meta"):
        (folder / name).write_bytes(f"cos\nsystem\n(S'touch {trap}'\ntR.".encode())
    assert "cifar-10-batches-py must hold CIFAR-10's published files" in error_of("cifar10", tmp_path)
    assert not trap.exists()


# ---- damaged and hostile files


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
    for damaged, path in paths.items():
        for name, content in whole.items():
            paths[name].write_bytes(content)
        formats.read_idx_pair(paths["images"], paths["labels"], "MNIST")
        for length in range(len(whole[damaged])):
            path.write_bytes(whole[damaged][:length])
            with pytest.raises(UserError, match=path.name):
                formats.read_idx_pair(paths["images"], paths["labels"], "MNIST")


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
    assert message.endswith(f"found {found}")


def test_a_cifar_label_above_9_is_refused(tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-bin")
    path = tmp_path / "cifar-10-batches-bin/test_batch.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    assert error_of("cifar10", tmp_path) == f"{path} must hold labels from 0 to 9, found 10"


def test_an_incomplete_set_is_refused_and_nothing_is_downloaded_over_it(tmp_path, no_network):
    write_mnist(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    assert error_of("mnist", tmp_path).endswith("missing: t10k-labels-idx1-ubyte")


# ---- digits and one's own pictures


def test_digits_are_the_bundled_ones_enlarged():
    from sklearn.datasets import load_digits

    dataset, oracle = load_dataset("digits"), load_digits()
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (1438, 359)
    assert dataset.image_shape == image_shape("digits") == (1, 28, 28)
    order = np.concatenate(holdout(oracle.target, data.TEST_FRACTION))
    for split, rows in ((dataset.train, order[:1438]), (dataset.test, order[1438:])):
        np.testing.assert_array_equal(split.labels, oracle.target[rows])
        for image, original in zip(split.images, oracle.images[rows], strict=True):
            small = np.asarray(Image.fromarray(image[0]).resize((8, 8), Image.Resampling.LANCZOS))
            assert np.corrcoef(small.ravel(), original.ravel())[0, 1] > 0.95


def test_pictures_are_cut_square_from_the_centre_resized_and_split_by_class(tmp_path):
    write_images(tmp_path / "own", {"b": 10, "a": 20})
    (tmp_path / "own/empty").mkdir()
    (tmp_path / "own/a/.hidden.png").write_bytes(b"not an image")
    dataset = load_dataset(f"imagefolder:{tmp_path / 'own'}", image_size=16)
    assert dataset.classes == ("a", "b")
    assert dataset.image_shape == image_shape("imagefolder:x", 16) == (3, 16, 16)
    np.testing.assert_array_equal(np.bincount(dataset.train.labels), [16, 8])
    np.testing.assert_array_equal(np.bincount(dataset.test.labels), [4, 2])
    for split in (dataset.train, dataset.test):  # write_images paints class b red 0 and class a red 40
        np.testing.assert_array_equal(split.images[:, 0, 8, 8], np.where(split.labels == 0, 40, 0))


def test_the_centre_of_a_wide_picture_is_what_remains(tmp_path):
    picture = np.zeros((20, 60, 3), np.uint8)
    picture[:, 20:40] = 255
    (tmp_path / "a").mkdir()
    for i in range(2):
        Image.fromarray(picture).save(tmp_path / f"a/{i}.bmp")
    assert (load_dataset(f"imagefolder:{tmp_path}", image_size=20).train.images == 255).all()


def test_a_new_picture_or_size_makes_a_new_prepared_copy(tmp_path):
    name = f"imagefolder:{tmp_path / 'own'}"
    write_images(tmp_path / "own", {"a": 5, "b": 5})
    assert len(load_dataset(name).train.labels) == 8
    assert load_dataset(name, image_size=8).image_shape == (3, 8, 8)
    assert load_dataset(name) is load_dataset(name)
    write_images(tmp_path / "own", {"c": 5})
    assert load_dataset(name).classes == ("a", "b", "c")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_an_unreadable_picture_is_named(tmp_path, content):
    write_images(tmp_path, {"a": 3})
    (tmp_path / "a/broken.png").write_bytes(content)
    assert str(tmp_path / "a/broken.png") in error_of(f"imagefolder:{tmp_path}")


def test_a_truncated_picture_and_a_decompression_bomb_are_named(tmp_path):
    write_images(tmp_path, {"a": 3})
    path = tmp_path / "a/001.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert str(path) in error_of(f"imagefolder:{tmp_path}")
    Image.new("1", (10_000, 10_000)).save(path)  # 12 kB on disk
    message = error_of(f"imagefolder:{tmp_path}")
    assert str(path) in message
    assert "decompression bomb" in message


def test_a_folder_without_pictures_is_named(tmp_path):
    assert "is not a folder" in error_of(f"imagefolder:{tmp_path / 'nowhere'}")
    (tmp_path / "a").mkdir()
    assert "*.{bmp,jpeg,jpg,png,webp} or CLASS/*, found none" in error_of(f"imagefolder:{tmp_path}")


# ---- names


@pytest.mark.parametrize("name", ["", "MNIST", "imagenet", "imagefolder", "imagefolder:", "mnist:/tmp", "../x"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    for ask in (load_dataset, image_shape):
        with pytest.raises(UserError) as caught:
            ask(name)
        known = "mnist, fashion_mnist, cifar10, digits, imagefolder:PATH"
        assert str(caught.value) == f"dataset must be one of {known}, got {name!r}"


def test_an_image_size_that_cannot_be_is_refused():
    assert image_shape("mnist", 28) == (1, 28, 28)
    assert image_shape("imagefolder:x") == (3, 32, 32)
    for name, size in (("mnist", 32), ("imagefolder:x", 0), ("imagefolder:x", 7), ("imagefolder:x", 1025)):
        with pytest.raises(UserError, match=rf"image_size must be .* got {size}$"):
            image_shape(name, size)


# ---- downloading


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_without_files_and_network_the_error_says_what_to_put_where(tmp_path, no_network, capfd, name):
    message = error_of(name, tmp_path / "none")
    first, second = message.splitlines()
    assert first.startswith(f"{name} is not in {tmp_path / 'none'} and cannot be downloaded: no network")
    assert str(tmp_path / "none" / sources.KNOWN[name].download) in second
    assert second.endswith("or use digits, which needs no files")
    assert not (tmp_path / "none").exists()
    assert capfd.readouterr() == ("", "")


def test_a_network_that_swallows_everything_is_given_up_on(tmp_path, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(sources, "NETWORK_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(60))
    start = time.monotonic()
    message = error_of("mnist", tmp_path / "none")
    released.set()
    assert "no network (no answer in 0 s)" in message
    assert time.monotonic() - start < 20  # importing torchvision takes most of it


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The folder of a server that torchvision's own downloader takes for MNIST's."""
    from torchvision import datasets

    folder = tmp_path / "mirror"
    write_mnist(folder, packed=True)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        sums = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(folder.iterdir())]
        monkeypatch.setattr(datasets.MNIST, "resources", sums)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder
        server.shutdown()


def test_a_download_lands_whole_and_quietly(tmp_path, mirror, capfd):
    assert len(load_dataset("mnist", tmp_path / "data").train.labels) == 30
    assert sorted(path.name for path in (tmp_path / "data/MNIST/raw").iterdir()) == sorted(sources.IDX_FILES)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]
    assert capfd.readouterr() == ("", f"downloading mnist to {tmp_path / 'data/MNIST/raw'}\n")


def test_a_download_that_fails_midway_leaves_nothing(tmp_path, mirror):
    path = mirror / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    message = error_of("mnist", tmp_path / "data")
    assert "cannot be downloaded: Error downloading train-labels-idx1-ubyte.gz" in message
    assert not list((tmp_path / "data").iterdir())


# ---- the prepared copy


def test_a_damaged_copy_is_made_again(tmp_path, cache):
    arrays = write_mnist(tmp_path / "MNIST/raw")
    load_dataset("mnist", tmp_path)
    (folder,) = cache.glob("prepared/mnist-*/")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["meta.json", *sorted(f"{name}.npy" for name in data.ARRAYS)]
    for name in names:
        content = (folder / name).read_bytes()
        flipped = bytes([content[0] ^ 1]) + content[1:]
        for damaged in (content[:-1], content[:200], b"", b"[]", flipped):
            (folder / name).write_bytes(damaged)
            data._open.cache_clear()
            dataset = load_dataset("mnist", tmp_path)
            np.testing.assert_array_equal(dataset.train.images[:, 0], arrays["train-images-idx3-ubyte"])
            assert (folder / name).read_bytes() == content
    assert [path for path in cache.rglob("*") if "partial" in path.name] == []


def test_a_copy_whose_source_is_gone_is_not_used(tmp_path, no_network):
    write_mnist(tmp_path / "MNIST/raw")
    load_dataset("mnist", tmp_path)
    shutil.rmtree(tmp_path / "MNIST")
    assert "mnist is not in" in error_of("mnist", tmp_path)


def test_what_a_killed_process_left_is_swept_up(tmp_path, cache):
    load_dataset("digits")
    (folder,) = cache.glob("prepared/digits-*/")
    partial = folder.with_name(f".{folder.name}.partial")
    folder.rename(partial)
    (partial / "train_images.npy").write_bytes(b"half")
    data._open.cache_clear()
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


def test_two_processes_prepare_at_once(tmp_path, cache):
    write_images(tmp_path / "own", {"a": 150, "b": 150})
    program = (
        "import sys, time\n"
        "from trainables.data import datasets as data\n"
        "prepare = data._prepare\n"
        "data._prepare = lambda *args: (print('prepared'), time.sleep(0.5), prepare(*args))\n"
        "print(sys.stdin.readline() and data.load_dataset(sys.argv[1]).train.images.sum())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"imagefolder:{tmp_path / 'own'}"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(output.count("prepared") for output in outputs) == 1
    assert outputs[0][-1] == outputs[1][-1]
    assert len(list(cache.glob("prepared/imagefolder-*/"))) == 1


# ---- splits


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.9])
def test_holdout_parts_the_images_and_keeps_the_shares_of_the_classes(seed, fraction):
    labels = np.random.default_rng(seed).choice(10, 1000, p=np.arange(1, 11) / 55)
    train, validation = holdout(labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(1000))
    assert len(validation) == round(1000 * fraction)
    held = np.bincount(labels[validation], minlength=10)
    assert (np.abs(held - fraction * np.bincount(labels, minlength=10)) < 1).all()
    for part, again in zip((train, validation), holdout(labels, fraction, seed), strict=True):
        np.testing.assert_array_equal(part, again)
        np.testing.assert_array_equal(part, np.sort(part))


@pytest.mark.parametrize("labels", [[0, 1], [0, 0], [0, 0, 0, 0, 1], [0, 1, 2, 3, 4, 5], [3] * 7])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_holdout_of_few_images_leaves_no_side_empty(labels, fraction):
    train, validation = holdout(labels, fraction)
    assert len(train) >= 1
    assert len(validation) >= 1
    assert sorted([*train, *validation]) == list(range(len(labels)))


@pytest.mark.parametrize(
    ("labels", "fraction", "value"),
    [([], 0.1, "0"), ([1], 0.1, "1"), ([0, 1], 0.0, "0.0"), ([0, 1], 1, "1"), ([0, 1], float("nan"), "nan")],
)
def test_holdout_refuses_what_it_cannot_part(labels, fraction, value):
    with pytest.raises(UserError, match=f"got {value}$"):
        holdout(labels, fraction)


def test_limit_is_a_fixed_sorted_subset_and_smaller_limits_lie_in_larger_ones():
    indices = np.arange(100, 200, 2)
    small, large = limit(indices, 5, seed=1), limit(indices, 20, seed=1)
    assert set(small) < set(large) < set(indices)
    np.testing.assert_array_equal(large, np.sort(large))
    np.testing.assert_array_equal(limit(indices, 20, seed=1), large)
    assert set(limit(indices, 20, seed=2)) != set(large)
    for everything in (None, 50, 1000):
        np.testing.assert_array_equal(limit(indices, everything), indices)
    with pytest.raises(UserError, match="at least 1, got 0"):
        limit(indices, 0)


# ---- the real sets


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "needed", "train", "means"),
    [
        ("mnist", "MNIST/raw", 60_000, [0.1307]),
        ("fashion_mnist", "FashionMNIST/raw", 60_000, [0.2860]),
        ("cifar10", "cifar-10-batches-bin", 50_000, [0.4914, 0.4822, 0.4465]),
    ],
)
def test_the_published_sets_have_their_published_counts_and_means(name, needed, train, means):
    if not REAL_DATA or not Path(REAL_DATA, needed).is_dir():
        pytest.skip(f"VAE_DATA_DIR must be a folder that holds {needed}, it is {REAL_DATA!r}")
    dataset = load_dataset(name, REAL_DATA)
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (train, 10_000)
    channel_sums = dataset.train.images.sum(axis=(0, 2, 3), dtype=np.int64)
    pixels = len(dataset.train.images) * np.prod(dataset.image_shape[1:])
    np.testing.assert_allclose(channel_sums / pixels / 255, means, atol=5e-5)


def test_what_a_training_sees_is_what_the_analysis_calls_trained_on():
    config = TrialConfig(limit_train=300)
    training, validation = load_pixels(config, None, "cpu")
    whole = load_dataset("digits")
    seen = whole.limited(300)
    rows = seen.training_rows()
    np.testing.assert_array_equal(training.batch(np.arange(300)), whole.train.images[rows] / np.float32(255))
    assert not np.intersect1d(rows, whole.validation_rows).size
    assert len(validation) == len(whole.validation_rows) == round(0.1 * len(whole.train.labels))
    np.testing.assert_array_equal(whole.limited(None).training_rows(), whole.training_rows())
    assert len(whole.limited(10, 20).test.labels) == 20


def test_a_folder_of_images_without_classes_is_one_class(tmp_path):
    for k in range(5):
        Image.new("RGB", (20, 20), (k, 0, 0)).save(tmp_path / f"{k}.png")
    dataset = load_dataset(f"imagefolder:{tmp_path}", image_size=16)
    assert dataset.classes == (tmp_path.name,)
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (4, 1)
    assert not dataset.train.labels.any()
