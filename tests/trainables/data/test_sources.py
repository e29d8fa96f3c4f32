"""The files of a set on disk."""

import numpy as np
from PIL import Image
from support.image_sets import error_of, write_mnist, write_pictures

from trainables.data.datasets import image_shape, load_dataset


def test_an_incomplete_set_is_refused_and_nothing_is_downloaded_over_it(tmp_path, no_network):
    write_mnist(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    assert error_of("mnist", tmp_path).endswith("missing: t10k-labels-idx1-ubyte")


def test_pictures_are_cut_square_from_the_centre_resized_and_split_by_class(tmp_path):
    write_pictures(tmp_path / "own", {"b": 10, "a": 20})
    (tmp_path / "own/empty").mkdir()
    (tmp_path / "own/a/.hidden.png").write_bytes(b"not an image")
    dataset = load_dataset(f"imagefolder:{tmp_path / 'own'}", image_size=16)
    assert dataset.classes == ("a", "b")
    assert dataset.image_shape == image_shape("imagefolder:x", 16) == (3, 16, 16)
    np.testing.assert_array_equal(np.bincount(dataset.train.labels), [16, 8])
    np.testing.assert_array_equal(np.bincount(dataset.test.labels), [4, 2])
    for split in (dataset.train, dataset.test):  # write_pictures paints class b red 0 and class a red 40
        np.testing.assert_array_equal(split.images[:, 0, 8, 8], np.where(split.labels == 0, 40, 0))


def test_a_folder_without_pictures_is_named(tmp_path):
    assert "is not a folder" in error_of(f"imagefolder:{tmp_path / 'nowhere'}")
    (tmp_path / "a").mkdir()
    wanted = "must hold pictures (such as png, jpg, webp, tif) in CLASS/, or directly, found none"
    assert f"{tmp_path} {wanted}" in error_of(f"imagefolder:{tmp_path}")


def test_a_folder_of_images_without_classes_is_one_class(tmp_path):
    for k in range(5):
        Image.new("RGB", (20, 20), (k, 0, 0)).save(tmp_path / f"{k}.png")
    dataset = load_dataset(f"imagefolder:{tmp_path}", image_size=16)
    assert dataset.classes == (tmp_path.name,)
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (4, 1)
    assert not dataset.train.labels.any()
