"""The declarations, and what another data set takes: an entry, and a reader where its format is new."""

import re
from dataclasses import replace

import numpy as np
import pytest
from support.image_sets import error_of, random_split, write_mnist

from trainables.data.catalog import CATALOG, FOLDERS, NAMES, NamedSet, Version
from trainables.data.datasets import image_shape, load_dataset
from trainables.data.readers import PublishedFile

HEX_DIGITS = {"md5": 32, "sha256": 64}


@pytest.mark.parametrize("name", CATALOG)
def test_a_declaration_is_complete(name):
    known = CATALOG[name]
    assert len(set(known.classes)) == len(known.classes) > 1
    assert name not in FOLDERS
    assert name in NAMES
    for version in known.versions:
        assert len(set(version.file_names)) == len(version.file_names)
        hashes = [file.hash for file in (*version.train, *version.test) if file.hash] + [*version.archives.values()]
        assert len(set(hashes)) == len(hashes)
        for text in hashes:
            algorithm, _, digits = text.partition(":")
            assert re.fullmatch(f"[0-9a-f]{{{HEX_DIGITS[algorithm]}}}", digits)
        assert bool(version.archives) == bool(version.mirrors)
        assert all(mirror.endswith("/") for mirror in version.mirrors)
        assert all(archive.endswith(".gz") for archive in version.archives)


def test_the_archives_and_mirrors_are_those_of_torchvision():
    from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

    for name, oracle in (("mnist", MNIST), ("fashion_mnist", FashionMNIST)):
        (version,) = CATALOG[name].versions
        assert list(version.mirrors) == oracle.mirrors
        assert {name: f"md5:{md5}" for name, md5 in oracle.resources} == version.archives
    assert list(CATALOG["fashion_mnist"].classes) == FashionMNIST.classes
    pickled = CATALOG["cifar10"].versions[1]
    assert [[file.name, file.hash.removeprefix("md5:")] for file in pickled.train] == CIFAR10.train_list
    assert [[file.name, file.hash.removeprefix("md5:")] for file in pickled.test] == CIFAR10.test_list
    assert pickled.folders == (CIFAR10.base_folder,)
    assert pickled.archives == {CIFAR10.filename: f"md5:{CIFAR10.tgz_md5}"}
    assert [f"{mirror}{CIFAR10.filename}" for mirror in pickled.mirrors] == [CIFAR10.url]


def test_a_set_in_a_known_format_is_one_entry(tmp_path, monkeypatch):
    version = replace(CATALOG["mnist"].versions[0], folders=("letters",), archives={}, mirrors=())
    monkeypatch.setitem(
        CATALOG, "letters", NamedSet(shape=(1, 28, 28), classes=tuple("abcdefghij"), versions=(version,))
    )
    arrays = write_mnist(tmp_path / "letters")
    dataset = load_dataset("letters", tmp_path)
    assert dataset.image_shape == image_shape("letters") == (1, 28, 28)
    assert dataset.classes[2] == "c"
    np.testing.assert_array_equal(dataset.train.images[:, 0], arrays["train-images-idx3-ubyte"])
    first, second = error_of("letters", tmp_path / "none").splitlines()
    assert first.endswith("cannot be downloaded: no mirror is known")
    assert f"put its published files into {tmp_path / 'none/letters'}" in second


def test_a_set_in_a_new_format_is_an_entry_and_a_reader(tmp_path, monkeypatch):
    def read_npz(files, shape, class_count):
        (path,) = files
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["images"].reshape(-1, *shape), arrays["labels"].astype(np.int64) % class_count

    version = Version(read=read_npz, train=(PublishedFile("me", "shapes.npz"),))
    monkeypatch.setitem(
        CATALOG, "shapes", NamedSet(shape=(2, 8, 12), classes=("circle", "square"), versions=(version,))
    )
    images, labels = random_split(50, (2, 8, 12))
    np.savez(tmp_path / "shapes.npz", images=images, labels=labels % 2)
    dataset = load_dataset("shapes", tmp_path)
    assert dataset.image_shape == (2, 8, 12)
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (40, 10)  # without a test split, a fifth
    both = np.concatenate([dataset.train.images, dataset.test.images])
    assert {image.tobytes() for image in both} == {image.tobytes() for image in images}


@pytest.mark.parametrize("published", [PublishedFile("me", "a"), PublishedFile("me", "a", "sha256:" + "0" * 64)])
def test_a_pickle_without_the_declared_hash_is_not_opened(tmp_path, monkeypatch, published):
    pickled = replace(CATALOG["cifar10"].versions[1], train=(published,), test=(), unread=(), folders=(".",))
    monkeypatch.setitem(CATALOG, "cifar10", replace(CATALOG["cifar10"], versions=(pickled,)))
    (tmp_path / "a").write_bytes(f"cos\nsystem\n(S'touch {tmp_path / 'opened'}'\ntR.".encode())
    assert "must hold me's published files, unaltered: a must have the hash" in error_of("cifar10", tmp_path)
    assert not (tmp_path / "opened").exists()
