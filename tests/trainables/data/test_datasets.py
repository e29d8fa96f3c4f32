"""Named sets, loaded whole."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import ROOT
from support.image_sets import error_of, write_mnist, write_pictures

from trainables.config import TrialConfig
from trainables.data.datasets import _open, dataset_of, image_shape, load_dataset, training_images
from trainables.errors import UserError
from trainables.training.trial import load_pixels

REAL_DATA = os.environ.get("VAE_DATA_DIR")  # read before any test changes it


@pytest.mark.parametrize("name", ["", "MNIST", "imagenet", "imagefolder", "imagefolder:", "mnist:/tmp", "../x"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    for ask in (load_dataset, image_shape):
        with pytest.raises(UserError) as caught:
            ask(name)
        known = "mnist, fashion_mnist, cifar10, digits, imagefolder:PATH, greyfolder:PATH"
        assert str(caught.value).splitlines()[0] == f"dataset must be one of {known}, got {name!r}"


def test_what_an_unknown_name_may_be_meant_to_be_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, meant in (
        ("MNIST", "mnist"),
        ("Fashion-MNIST", "fashion_mnist"),
        ("CIFAR-10", "cifar10"),
        ("digit", "digits"),
        ("photos", "imagefolder:photos"),
        ("ImageFolder:photos", "imagefolder:photos"),
        ("grayfolder:a:b", "greyfolder:a:b"),
        (str(tmp_path / "photos"), f"imagefolder:{tmp_path / 'photos'}"),
        ("imagenet", None),
        ("", None),
        ("~nobody-here", None),
    ):
        with pytest.raises(UserError) as caught:
            image_shape(name)
        assert str(caught.value).splitlines()[1:] == ([f"did you mean {meant}?"] if meant else [])


def test_an_image_size_that_cannot_be_is_refused():
    assert image_shape("mnist", 28) == (1, 28, 28)
    assert image_shape("imagefolder:x") == (3, 32, 32)
    for name, size in (("mnist", 32), ("imagefolder:x", 0), ("imagefolder:x", 7), ("imagefolder:x", 1025)):
        with pytest.raises(UserError, match=rf"image_size must be .* got {size}$"):
            image_shape(name, size)


def test_a_new_picture_or_size_makes_a_new_prepared_copy(tmp_path):
    name = f"imagefolder:{tmp_path / 'own'}"
    write_pictures(tmp_path / "own", {"a": 5, "b": 5})
    assert len(load_dataset(name).train.labels) == 8
    assert load_dataset(name, image_size=8).image_shape == (3, 8, 8)
    assert load_dataset(name) is load_dataset(name)
    write_pictures(tmp_path / "own", {"c": 5})
    assert load_dataset(name).classes == ("a", "b", "c")


def test_other_pictures_of_the_same_names_sizes_and_times_are_noticed(tmp_path):
    """As archives with fixed times bring them."""
    name, own = f"imagefolder:{tmp_path / 'own'}", tmp_path / "own"
    own.mkdir()
    for shade in (0, 200):
        for number in range(600):
            Image.new("RGB", (8, 8), (shade, shade, shade)).save(own / f"{number}.bmp")
            os.utime(own / f"{number}.bmp", (1, 1))
        images = load_dataset(name, image_size=8).train.images
        assert (images == shade).all()


def test_a_copied_folder_s_prepared_copy_is_used(tmp_path, cache):
    """Of an archive, a layer of a container, `rsync -t`: names, sizes and times are kept, inodes and ctimes are not."""
    name, own = f"imagefolder:{tmp_path / 'own'}", tmp_path / "own"
    write_pictures(own, {"a": 5})
    load_dataset(name)
    (folder,) = cache.glob("prepared/*/")
    before = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    for place in (own, cache):
        shutil.copytree(place, tmp_path / "copy")
        shutil.rmtree(place)
        (tmp_path / "copy").rename(place)
    _open.cache_clear()
    load_dataset(name)
    assert [path.stat().st_mtime_ns for path in sorted(folder.iterdir())] == before


def test_classes_of_any_name_are_read_again(tmp_path):
    names = sorted([os.fsdecode(b"caf\xe9"), "猫", "x" * 200, "a\nb", "$1$", "<b>"])
    write_pictures(tmp_path / "own", dict.fromkeys(names, 3))
    for _ in range(2):
        found = load_dataset(f"imagefolder:{tmp_path / 'own'}").classes
        assert found == tuple(name.replace("\udce9", r"\xe9") for name in names)
        "".join(found).encode()
        _open.cache_clear()


def test_a_copy_whose_source_is_gone_is_not_used(tmp_path, no_network):
    write_mnist(tmp_path / "MNIST/raw")
    load_dataset("mnist", tmp_path)
    shutil.rmtree(tmp_path / "MNIST")
    assert "mnist is not in" in error_of("mnist", tmp_path)


def test_two_processes_prepare_at_once(tmp_path, cache):
    write_pictures(tmp_path / "own", {"a": 150, "b": 150})
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
            cwd=ROOT,
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


@pytest.mark.parametrize("fields", [{}, {"model.likelihood": "bernoulli", "model.binarise": "dynamic"}], ids=str)
def test_another_share_is_held_out_by_label(fields):
    config = TrialConfig(held_out=1 / 6).replace(fields)
    data, found = dataset_of(config), training_images(config)
    labels, rows = load_dataset("digits").train.labels, data.validation_rows
    assert len(rows) == round(len(labels) / 6)
    assert (np.abs(np.bincount(labels[rows]) - np.bincount(labels) / 6) < 1).all()
    np.testing.assert_array_equal(found.validation_rows, rows)
    np.testing.assert_array_equal(np.sort([*found.rows, *rows]), np.arange(len(labels)))
    training, validation = load_pixels(config, None, "cpu")
    assert (len(training), len(validation)) == (len(labels) - len(rows), len(rows))


def test_the_share_that_is_held_out_by_default_is_the_same_row_for_row():
    for config in (TrialConfig(), TrialConfig(held_out=0.1)):
        np.testing.assert_array_equal(dataset_of(config).validation_rows, load_dataset("digits").validation_rows)


@pytest.mark.parametrize("share", [0.0, 0.51, 1.0, -0.1, float("nan")])
def test_a_share_that_leaves_too_little_is_refused(share):
    with pytest.raises(ValueError, match="held_out"):
        TrialConfig(held_out=share)


def test_a_share_that_leaves_one_image_is_refused_as_no_latent_varies_over_one():
    count = len(load_dataset("digits").train.labels)
    with pytest.raises(UserError, match=r"held_out must be at least 0\.0014 of 1,438 images, got 0\.0007"):
        dataset_of(TrialConfig(held_out=0.0007))
    assert len(dataset_of(TrialConfig(held_out=2 / count)).validation_rows) == 2


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
