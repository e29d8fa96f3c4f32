"""The files of a set on disk."""

import gzip
import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_sets import IDX_FILES, error_of, write_cifar, write_mnist, write_pictures

from trainables.data import datasets
from trainables.data.catalog import CATALOG, NamedSet, Version
from trainables.data.datasets import MissingDataError, image_shape, load_dataset
from trainables.data.readers import PublishedFile, read_idx
from trainables.errors import UserError
from trainables.text import legible


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
    assert "/nowhere, which is not there" in error_of(f"imagefolder:{tmp_path / 'nowhere'}")
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


def draw(root: Path, *places: str) -> Path:
    """Three pictures, or what their endings say that is none, at each of the places."""
    for place in places:
        for number in range(3):
            path = root / place.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in (".png", ".gif", ".tif"):
                Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
            else:
                path.write_text("text")
    return root


def left_out(root: Path) -> str:
    return next((note for note in load_dataset(f"imagefolder:{root}").notes if note.startswith("left out")), "")


def test_what_is_left_out_is_counted_with_examples(tmp_path):
    root = draw(tmp_path / "x", "cat/{}.png", "cat/{}.gif", "dog/{}.tif", "owl/2024/{}.png", "{}.png", "fox/{}.heic")
    (root / "cat/lost.png").symlink_to(root / "cat/moved.png")
    assert load_dataset(f"imagefolder:{root}").classes == ("cat", "dog")
    assert left_out(root) == (
        f"left out of {root}: 3 picture(s) beside the class folders (0.png, 1.png, 2.png); "
        "3 picture(s) in folders further down (owl/2024/0.png, owl/2024/1.png, owl/2024/2.png); "
        "1 link(s) to files that are not here (cat/lost.png); "
        "3 file(s) of other kinds (fox/0.heic, fox/1.heic, fox/2.heic); "
        "2 folder(s) without pictures (fox, owl)"
    )


def test_files_that_are_not_read_are_counted_by_how_they_end(tmp_path):
    root = draw(tmp_path / "x", "a/{}.png", "a/{}.png.json", "b/{}.heic", "b/more{}.heic")
    said = "9 file(s) of other kinds: 6 .heic, 3 .json (b/0.heic, a/0.png.json)"
    assert left_out(root) == f"left out of {root}: {said}; 1 folder(s) without pictures (b)"


def test_what_stands_for_a_picture_in_icloud_is_counted(tmp_path):
    root = draw(tmp_path / "x", "cat/{}.png", "cat/.{}.heic.icloud", "cat/.{}.DS_Store")
    examples = "cat/.0.heic.icloud, cat/.1.heic.icloud, cat/.2.heic.icloud"
    assert left_out(root) == f"left out of {root}: 3 file(s) of other kinds ({examples})"


def test_links_that_lead_back_are_no_endless_folders(tmp_path):
    root = draw(tmp_path / "x", "a/{}.png")
    (root / "a/back").symlink_to(root)
    (root / "a/itself.png").symlink_to("itself.png")
    assert load_dataset(f"imagefolder:{root}").classes == ("a",)
    assert left_out(root) == f"left out of {root}: 1 link(s) to files that are not here (a/itself.png)"


def test_pictures_whose_content_was_not_fetched_are_not_taken_for_other_files(tmp_path):
    for number in range(3):
        link = tmp_path / f"x/cat/{number}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../.git/annex/objects/{number}")
    what, way_out = error_of(f"imagefolder:{tmp_path / 'x'}").splitlines()
    assert "3 link(s) to files that are not here (cat/0.jpg, cat/1.jpg, cat/2.jpg)" in what
    assert way_out == "fetch what the links lead to, as git-annex, DVC or a disk that is not mounted has it"


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (("train2017", "val2017", "test2017"), "train2017"),
        (("train", "test1"), "train"),
        (("Training_Set", "validation-set"), "Training_Set"),
        (("images", "masks"), "images"),
        (("train", "train_masks", "test"), "train"),
        (("val", "val_labels", "train_labels"), "val"),
        (("JPEGImages", "SegmentationClass"), "JPEGImages"),
        (("trainA", "trainB", "testA"), "trainA"),
        (("DIV2K_train_HR", "DIV2K_valid_HR"), "DIV2K_train_HR"),
    ],
)
def test_splits_and_masks_are_taken_for_classes_with_a_word(tmp_path, names, meant):
    root = draw(tmp_path / "x", *(f"{name}/{{}}.png" for name in names))
    found = " and ".join(sorted(names))
    assert f"{found} are read as classes: did you mean {root / meant}?" in load_dataset(f"imagefolder:{root}").notes


@pytest.mark.parametrize("names", [("train", "plane"), ("test2tubes", "testimony")])
def test_classes_that_are_only_called_so_are_classes(tmp_path, names):
    root = draw(tmp_path / "x", *(f"{name}/{{}}.png" for name in names))
    assert not any("are read as classes" in note for note in load_dataset(f"imagefolder:{root}").notes)


def test_an_archive_of_another_set_is_not_to_be_unpacked(tmp_path):
    for name in ("cifar-10-binary.tar.gz", "archive.zip"):
        (tmp_path / "sets").mkdir(exist_ok=True)
        (tmp_path / "sets" / name).touch()
    assert "; unpack archive.zip there)" in error_of("mnist", tmp_path / "sets")
    assert "; unpack archive.zip, cifar-10-binary.tar.gz there)" in error_of("cifar10", tmp_path / "sets")


def test_of_many_folders_it_is_said_how_many_are_looked_into(tmp_path):
    for number in range(301):
        (tmp_path / f"sets/{number:03}").mkdir(parents=True)
    assert "002, ...; of its 301 folders the first 300 are looked into" in error_of("mnist", tmp_path / "sets")


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (("Cat", "cat", "dog"), "in case"),
        (("Caf\u00e9", "Cafe\u0301", "dog"), "in how their letters are encoded"),
        (("cat", "cat ", "dog"), "in blanks or in signs that are not seen"),
        (("New York", "New\u00a0York", "dog"), "in blanks or in signs that are not seen"),
        (("cat", "ca\u200bt", "dog"), "in blanks or in signs that are not seen"),
    ],
    ids=["case", "Unicode", "blank", "no-break space", "zero width"],
)
def test_classes_that_a_person_takes_for_one_are_named(tmp_path, names, how):
    root = draw(tmp_path / "x", *(f"{name}/{{}}.png" for name in names))
    first, second, _ = sorted(names)
    data = load_dataset(f"imagefolder:{root}")
    assert len(data.classes) == 3
    note = f"{first} and {second} are 2 classes, whose names differ only {how}: did you mean one?"
    assert legible(note) in data.notes


def test_a_class_of_one_picture_is_said_to_end_the_split_by_class(tmp_path):
    write_pictures(tmp_path / "own", {"b": 10, "stray": 1})
    notes = load_dataset(f"imagefolder:{tmp_path / 'own'}", image_size=16).notes
    assert "stray has one picture: what validates and tests is drawn without regard to class" in notes


def test_names_that_hold_a_path_of_windows_are_told_where_they_leave_no_classes(tmp_path):
    draw(tmp_path / "own", r"photos\cats\{}.png", r"photos\dogs\{}.png")
    (note, *_) = load_dataset(f"imagefolder:{tmp_path / 'own'}", image_size=16).notes
    assert note.startswith("names hold a path of Windows (")
    assert "unpack them so that it becomes folders" in note


def test_links_to_a_disk_that_is_not_mounted_are_named(tmp_path, no_network):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for name in IDX_FILES:
        (tmp_path / "MNIST/raw" / name).symlink_to(f"/nowhere/{name}")
    assert "MNIST/raw/train-images-idx3-ubyte is a link to what is not there\nmount" in error_of("mnist", tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_data_folder_that_is_a_file_is_named(tmp_path, name):
    (tmp_path / "file").write_text("")
    assert (
        error_of(name, tmp_path / "file")
        == f"{tmp_path / 'file'} must be a folder, to look for {name} there, and is a file"
    )


def test_names_that_are_no_utf_8_are_written_out(tmp_path):
    root = tmp_path / os.fsdecode(b"x\xff")
    draw(root, "a/{}.png", "b/{}.png")
    (root / "a").rename(root / os.fsdecode(b"caf\xe9"))
    (root / "b" / os.fsdecode(b"\xff.txt")).write_text("")
    for _ in range(2):
        data = load_dataset(f"imagefolder:{root}")
        assert data.classes == ("b", r"caf\xe9")
        datasets._open.cache_clear()
    write_mnist(root / "MNIST")
    assert len(load_dataset("mnist", root).train.labels) == 30


def test_pictures_beside_folders_that_hold_fewer_are_named(tmp_path):
    root = draw(tmp_path / "x", "edited/{}.png", "{}.png", "more {}.png")
    said = "half of the pictures or more lie beside edited: to read them, move those folders elsewhere"
    assert said in load_dataset(f"imagefolder:{root}").notes
    (root / "edited/0.png").unlink()
    (root / "edited/1.png").unlink()
    with pytest.raises(UserError, match=said):
        load_dataset(f"imagefolder:{root}")


def test_what_systems_leave_in_folders_is_not_meant(tmp_path):
    litter = (
        ".DS_Store",
        "Thumbs.db",
        "a/desktop.ini",
        "a/._0.png",
        ".git/0.png",
        "__MACOSX/a/{}.png",
        "#recycle/{}.png",
        "$RECYCLE.BIN/{}.png",
        "#snapshot/2024/{}.png",
        "a/@eaDir/{}.png",
    )
    root = draw(tmp_path / "x", "a/{}.png", *litter)
    (root / ".venv").mkdir()
    (root / ".venv/python").symlink_to(sys.executable)  # a link out, that nobody reads
    data = load_dataset(f"imagefolder:{root}")
    assert data.classes == ("a",)
    assert left_out(root) == ""


@pytest.mark.parametrize(
    ("places", "meant"),
    [
        (("train/cat/{}.png", "train/dog/{}.png", "test/cat/{}.png"), "train"),
        (("train/cat/{}.png", "val/cat/{}.png", "test/cat/{}.png"), "train"),
        (("data/images/cat/{}.png", "readme.txt"), "data/images"),
        (("flat/pictures/{}.png",), "flat"),
        (
            ("leftImg8bit/train/ulm/{}.png", "gtFine/train/ulm/{}.png", "gtFine/train/ulm/ids {}.png"),
            "leftImg8bit/train",
        ),
        (("masks/1/{}.png", "masks/2/{}.png", "constraints/1/{}.png"), "constraints"),
    ],
)
def test_the_nearest_reading_is_named_where_there_is_none(tmp_path, places, meant):
    root = draw(tmp_path / "x", *places)
    assert error_of(f"imagefolder:{root}").endswith(f"\ndid you mean {root / meant}?")
    load_dataset(f"imagefolder:{root / meant}")


def test_a_nearer_reading_is_named_where_more_is_left_out_than_read(tmp_path):
    root = draw(tmp_path / "x", "train/cat/{}.png", "train/dog/{}.png", "test/{}.png")
    data = load_dataset(f"imagefolder:{root}")
    assert data.classes == ("test",)
    assert f"did you mean {root / 'train'}?" in data.notes


def test_splits_that_are_read_as_classes_are_said_to_be(tmp_path):
    root = draw(tmp_path / "x", "train/{}.png", "test/{}.gif")
    assert (
        f"test and train are read as classes: did you mean {root / 'train'}?"
        in load_dataset(f"imagefolder:{root}").notes
    )


def test_classes_with_a_folder_each_in_which_their_pictures_are_are_said_to_be_no_classes(tmp_path):
    root = draw(tmp_path / "x", "train/n01/images/{}.png", "train/n02/images/{}.png", "val/images/{}.png")
    place = root / "train/n01"
    assert error_of(f"imagefolder:{root}").endswith(f"\n{said_of(place)}")
    assert "did you mean" in error_of(f"imagefolder:{draw(tmp_path / 'y', 'train/cat/{}.png', 'test/cat/{}.png')}")


def test_one_trains_on_classes_with_a_folder_each_though_each_has_fewer_than_the_test_split(tmp_path):
    places = [f"train/{name}/images/{{}}.png" for name in ("n01", "n02")]
    root = draw(tmp_path / "x", *places, *(f"test/images/{each} {{}}.png" for each in range(3)))
    place = root / "train/n01"
    assert error_of(f"imagefolder:{root}").endswith(f"\n{said_of(place)}")


def said_of(place):
    return f"the pictures of a class must lie directly in its folder: move those of {place / 'images'} to {place}"


def test_drawings_further_down_are_no_nearer_reading_than_the_pictures_they_are_of(tmp_path):
    drawn = [f"CelebAMask-HQ-mask-anno/{each}/{{}}.png" for each in range(3)]
    root = draw(tmp_path / "x", "CelebA-HQ-img/{}.png", *drawn)
    data = load_dataset(f"imagefolder:{root}")
    assert data.classes == ("CelebA-HQ-img",)
    assert not any("did you mean" in note for note in data.notes)


@pytest.mark.parametrize("place", ["a/{}.heic", "a/{}.svg", "a/{}.CR2", "a/picture {}", "{}.npy"])
def test_where_no_file_is_named_as_a_picture_the_way_out_is_said(tmp_path, place):
    *_, said = error_of(f"imagefolder:{draw(tmp_path / 'x', place)}").splitlines()
    assert said == "a picture is known by how its name ends, such as .png or .jpg: save others so, or name them so"


def test_a_name_of_two_lines_is_in_one(tmp_path):
    root = draw(tmp_path / "x", "a\nb/{}.png")
    (root / "a\nb/\x1b[31mred\n.png").write_bytes(b"bad")
    first, second = error_of(f"imagefolder:{root}").splitlines()
    assert first == f"{root}/a?b/?[31mred?.png is damaged, or no picture of a format that is read"
    assert second == "mend or remove it"


def test_pictures_that_are_the_same_are_counted(tmp_path):
    root = draw(tmp_path / "x", "a/{}.png", "b/{}.tif")
    (root / "a/again.png").symlink_to("0.png")
    said = "4 picture(s) are, at this size, the same as others: some may train and validate both"
    assert said in load_dataset(f"imagefolder:{root}").notes
    for number in range(3):
        Image.new("RGB", (8, 8), (9, number, 0)).save(root / f"b/{number}.tif")
    assert f"1{said[1:]}" in load_dataset(f"imagefolder:{root}").notes


def test_a_name_that_is_nearly_a_folders_or_is_a_files_is_answered_with_what_may_be_meant(tmp_path):
    draw(tmp_path / "photos", "a/{}.png")
    assert error_of(f"imagefolder:{tmp_path / 'photo'}").endswith(f"\ndid you mean {tmp_path / 'photos'}?")
    (tmp_path / "photos.zip").write_bytes(b"PK")
    assert error_of(f"imagefolder:{tmp_path / 'photos.zip'}").endswith("which is a file\nunpack it, or name a folder")


@pytest.mark.parametrize(("count", "is_said"), [(3, True), (360, True), (380, False)])
def test_a_set_too_small_to_rank_by_is_said_to_be(tmp_path, count, is_said):
    write_pictures(tmp_path / "x", {"a": count}, size=(8, 8))
    said = [note for note in load_dataset(f"imagefolder:{tmp_path / 'x'}", image_size=8).notes if "too few" in note]
    assert len(said) == is_said
    if count == 3:
        assert said == ["3 images, of which 1 validate: too few to tell which of two trials is better"]


@pytest.mark.parametrize("count", [1, 2])
def test_one_picture_or_two_are_no_set(tmp_path, count):
    write_pictures(tmp_path / "x", {"a": count})
    rule = f"must hold 3 images or more, to train on, to validate and to test, got {count}"
    assert error_of(f"imagefolder:{tmp_path / 'x'}") == f"{tmp_path / 'x'} {rule}"


def test_what_is_trained_on_and_what_is_tested_on_have_rules_of_their_own(tmp_path):
    write_mnist(tmp_path / "MNIST/raw", train=1)
    assert error_of("mnist", tmp_path).endswith(
        "must hold 2 training images or more, to train on and to validate, got 1"
    )


def test_somebody_elses_closed_folder_nearby_is_passed_over(tmp_path, monkeypatch, no_network):
    """As in /tmp."""
    (tmp_path / "theirs").mkdir()
    write_mnist(tmp_path / "ours")
    (tmp_path / "ours/t10k-labels-idx1-ubyte").unlink()
    is_file = Path.is_file

    def closed(path, **more):
        if tmp_path / "theirs" in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path, **more)

    monkeypatch.setattr(Path, "is_file", closed)
    assert f"; {tmp_path}/ours has 3 of the 4 files, not t10k-labels-idx1-ubyte" in error_of("mnist", tmp_path)


def moved(folder: Path, change) -> None:
    for name in IDX_FILES:
        found = next(folder.glob(f"{name}*"))
        target = folder / change(found.name)
        content = found.read_bytes()
        found.unlink()
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"{name}/{name}",
        lambda name: f"{name.removesuffix('.gz')}/{name.replace('-idx', '.idx')}",
    ],
)
def test_idx_files_are_found_by_the_names_that_others_give_them(tmp_path, packed, change):
    arrays = write_mnist(tmp_path / "x", packed)
    moved(tmp_path / "x", change)
    for given in (tmp_path / "x", tmp_path):  # and one folder further down
        data = load_dataset("mnist", given)
        np.testing.assert_array_equal(data.train.images[:, 0], arrays["train-images-idx3-ubyte"])


@pytest.mark.parametrize(
    ("there", "given"),
    [
        ("MNIST/raw", "MNIST"),
        ("MNIST/raw", "MNIST/raw"),
        ("MNIST", "MNIST/raw"),
        ("sets/MNIST/raw", "."),
        ("mnist-dataset/versions/1", "mnist-dataset"),
        ("archive (2)", "."),
    ],
)
def test_published_files_are_found_in_folders_nearby_and_that_is_said(tmp_path, there, given):
    arrays = write_mnist(tmp_path / "x" / there)
    (tmp_path / "x" / given).mkdir(exist_ok=True)
    data = load_dataset("mnist", tmp_path / "x" / given)
    np.testing.assert_array_equal(data.test.labels, arrays["t10k-labels-idx1-ubyte"])
    is_said = f"mnist is read from {tmp_path / 'x' / there}" in data.notes
    assert is_said == (there != given)


@pytest.mark.parametrize("given", ["cifar-10-batches-bin", "elsewhere", "."])
def test_cifar_is_found_in_its_own_folder_or_below_another(tmp_path, given):
    folder = tmp_path / {"elsewhere": "elsewhere/cifar-10-binary/cifar-10-batches-bin"}.get(
        given, "cifar-10-batches-bin"
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    batches = write_cifar(folder)
    np.testing.assert_array_equal(load_dataset("cifar10", tmp_path / given).test.images, batches[5][0])


def test_another_sets_files_of_the_same_names_are_not_taken_for_it(tmp_path, monkeypatch, no_network):
    write_mnist(tmp_path / "FashionMNIST/raw")
    write_mnist(tmp_path / "fashion_mnist")
    assert "mnist is not in" in error_of("mnist", tmp_path)
    # a set whose hashes nobody declared, beside MNIST
    version = Version(
        read=read_idx, train=tuple(PublishedFile("K", name) for name in IDX_FILES[:2]), folders=("K/raw",)
    )
    monkeypatch.setitem(
        CATALOG, "kmnist", NamedSet(shape=(1, 28, 28), classes=tuple("abcdefghij"), versions=(version,))
    )
    write_mnist(tmp_path / "MNIST")
    assert "kmnist is not in" in error_of("kmnist", tmp_path)


def test_files_nearby_of_the_published_size_must_be_the_published_ones(tmp_path, monkeypatch, no_network):
    arrays = write_mnist(tmp_path / "somewhere")
    version = CATALOG["mnist"].versions[0]
    sizes = {name: (tmp_path / "somewhere" / name).stat().st_size for name in arrays}
    known = replace(
        version,
        train=tuple(replace(file, size=sizes[file.name]) for file in version.train),
        test=tuple(replace(file, size=sizes[file.name]) for file in version.test),
    )
    monkeypatch.setitem(CATALOG, "mnist", replace(CATALOG["mnist"], versions=(known,)))
    assert "mnist is not in" in error_of("mnist", tmp_path)


def test_files_that_a_browser_unpacked_and_left_their_names_are_read(tmp_path):
    arrays = write_mnist(tmp_path / "MNIST/raw")
    for name in IDX_FILES[:2]:
        (tmp_path / "MNIST/raw" / name).rename(tmp_path / f"MNIST/raw/{name}.gz")
    for name in IDX_FILES[2:]:
        path = tmp_path / "MNIST/raw" / name
        path.write_bytes(gzip.compress(path.read_bytes()))
    data = load_dataset("mnist", tmp_path)
    np.testing.assert_array_equal(data.train.images[:, 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(data.test.labels, arrays["t10k-labels-idx1-ubyte"])


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_the_files_that_are_wanted_are_named_and_those_that_are_there(tmp_path, no_network, name):
    for file in ("train.csv", "archive.zip", ".hidden"):
        (tmp_path / file).write_text("")
    wanted = CATALOG[name].versions[0].file_names
    first, second = error_of(name, tmp_path).splitlines()
    assert "archive.zip, cache, train.csv" in first
    assert ", ".join(wanted) in second
    with pytest.raises(MissingDataError) as caught:
        load_dataset(name, tmp_path, may_download=False)
    first, second = str(caught.value).splitlines()
    assert (
        first
        == f"{tmp_path} must hold the files of {name}, found archive.zip, cache, train.csv; unpack archive.zip there"
    )
    packed = {"mnist": "", "cifar10": ", which are in cifar-10-binary.tar.gz"}[name]
    assert second == f"wanted: {', '.join(wanted)}{packed}"


def known_as(monkeypatch, name: str, folder: Path) -> None:
    """What lies in a folder is what was published of a set."""
    version = CATALOG[name].versions[0]

    def known(file: PublishedFile) -> PublishedFile:
        content = (folder / file.name).read_bytes()
        return replace(file, size=len(content), hash=f"sha256:{hashlib.sha256(content).hexdigest()}")

    splits = {"train": tuple(map(known, version.train)), "test": tuple(map(known, version.test))}
    monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], versions=(replace(version, **splits),)))


def test_another_sets_published_files_are_called_by_its_name(tmp_path, monkeypatch, no_network):
    for name in ("mnist", "fashion_mnist"):
        write_mnist(tmp_path / name / "x")
        known_as(monkeypatch, name, tmp_path / name / "x")
    for file in (tmp_path / "fashion_mnist/x").iterdir():
        file.rename(tmp_path / file.name)
    rule = f"{tmp_path} must hold the files of mnist, found those of fashion_mnist"
    assert error_of("mnist", tmp_path) == f"{rule}\nuse fashion_mnist, or another folder"
    assert len(load_dataset("fashion_mnist", tmp_path).train.labels) == 30


def test_files_whose_names_are_exchanged_are_refused(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    known_as(monkeypatch, "mnist", tmp_path)
    load_dataset("mnist", tmp_path)
    for train, test in zip(IDX_FILES[:2], IDX_FILES[2:], strict=True):
        for old, new in ((train, "old"), (test, train), ("old", test)):
            (tmp_path / old).rename(tmp_path / new)
    named = f"{tmp_path / IDX_FILES[0]} must be {IDX_FILES[0]} as published, but is {IDX_FILES[2]}"
    assert error_of("mnist", tmp_path) == f"{named}\nrename both pairs"


@pytest.mark.parametrize("below", ["x", "x/y", "."])
def test_the_folder_that_has_some_of_the_files_is_named_with_what_it_lacks(tmp_path, below):
    write_cifar(tmp_path / "sets" / below / "batches")
    (tmp_path / "sets" / below / "batches/data_batch_3.bin").unlink()
    place = tmp_path / "sets" / below / "batches"
    with pytest.raises(MissingDataError) as caught:
        load_dataset("cifar10", place.parent, may_download=False)
    first, second = str(caught.value).splitlines()
    assert first.endswith(f"found batches; {place} has 5 of the 6 files, not data_batch_3.bin")
    assert second.startswith("wanted: data_batch_1.bin")


def test_a_variable_with_the_end_of_a_line_of_windows_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_DATA_DIR", f"{tmp_path}\r")
    said = (
        f"'{tmp_path}\\r' must be the path of a folder: it begins or ends in a space or a line end, and none is there"
    )
    assert error_of("mnist", None) == f"{said}\nset VAE_DATA_DIR to another"
