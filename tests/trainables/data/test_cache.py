"""The prepared copy."""

import errno
import os
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from filelock import FileLock
from PIL import Image
from support.commands import ROOT
from support.image_sets import error_of, write_mnist, write_pictures

from trainables.config import TrialConfig
from trainables.data import cache as cache_module
from trainables.data import datasets
from trainables.data.datasets import load_dataset
from trainables.errors import WaitWarning
from trainables.records.atomic_files import seal, unseal
from trainables.training.batches import Pixels
from vae_models import ModelConfig

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
    (lock,) = cache.glob("prepared/digits-*.lock")
    partial = lock.with_name(f".{lock.stem}.partial")
    folder.rename(partial)
    (partial / "train_images.npy").write_bytes(b"half")
    datasets._open.cache_clear()
    assert len(load_dataset("digits").train.labels) == 1438
    assert not partial.exists()


def test_what_killed_processes_left_of_other_sets_is_swept_up_and_not_what_is_being_written(tmp_path, cache):
    prepared = cache / "prepared"
    for name in ("killed", "writing", "unknown"):
        (prepared / f".{name}.partial").mkdir(parents=True)
    (prepared / "killed.lock").touch()
    with cache_module.locked(prepared / "writing.lock", "writing"):
        load_dataset("digits")
    assert sorted(path.name for path in prepared.glob(".*")) == [".unknown.partial", ".writing.partial"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "file"))
    message = error_of("digits")
    assert f"the cache folder {tmp_path / 'file/prepared'} must be writable" in message
    assert message.endswith("set VAE_CACHE_DIR to another folder")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_or_quota_is_called_full_and_leaves_nothing_behind(cache, monkeypatch, number):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    first, second = error_of("digits").splitlines()
    assert first == f"the cache folder {cache / 'prepared'} is on a disk or a quota that is full: {os.strerror(number)}"
    assert second == "set VAE_CACHE_DIR to another folder"
    assert [path.suffix for path in (cache / "prepared").iterdir()] == [".lock"]


def test_a_limit_on_the_size_of_files_is_called_full(cache):
    program = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from trainables.data import load_dataset\n"
        "load_dataset('digits')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert "is on a disk or a quota that is full: File too large" in done.stderr
    assert [path.suffix for path in (cache / "prepared").iterdir()] == [".lock"]


def test_a_disk_without_room_for_all_is_told_before_anything_is_read(cache, monkeypatch):
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=500_000))
    assert "No space left on device, 1.4 MB are needed and 500.0 kB are free" in error_of("digits")


def test_a_file_system_that_tells_no_size_is_tried(cache, monkeypatch):
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(total=0, free=0))
    assert len(load_dataset("digits").test.labels)


def test_what_is_written_is_what_numpy_would_write(tmp_path):
    arrays = {
        "images": np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3),
        "labels": np.arange(5),
        "none": np.empty(0, int),
    }
    written = {name: cache_module.Blocks(a.shape, a.dtype, np.array_split(a, 2)) for name, a in arrays.items()}
    cache_module.write_arrays(tmp_path / "x-y", tmp_path / "x.lock", written, dict)
    for name, array in arrays.items():
        np.save(tmp_path / name, array)
        assert (tmp_path / f"x-y/{name}.npy").read_bytes() == (tmp_path / f"{name}.npy").read_bytes()


@pytest.mark.heavy
def test_a_set_larger_than_memory_is_prepared(tmp_path):
    """The images take 630 MB; of memory there are 200 MB more than Python takes after it prepared a small set."""
    (tmp_path / "x/a").mkdir(parents=True)
    for number in range(200):
        Image.new("L", (1, 1), number).save(tmp_path / f"x/a/{number}.png")
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from trainables.data import load_dataset\n"
        "load_dataset('digits')\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "taken = int(next(line for line in lines if line.startswith('VmData')).split()[1]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (taken + 200_000_000,) * 2)\n"
        "print(len(load_dataset(sys.argv[1], None, 1024).train.labels))\n"
    )
    command = [sys.executable, "-c", program, f"imagefolder:{tmp_path / 'x'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout == "160\n", done.stderr


def copies(cache) -> list[str]:
    return sorted(path.name for path in cache.glob("prepared/*/"))


def test_older_copies_of_a_folder_go_and_others_stay(tmp_path, cache):
    for name in ("own", "other"):
        write_pictures(tmp_path / name, {"a": 5, "b": 5})
        load_dataset(f"imagefolder:{tmp_path / name}")
    load_dataset(f"imagefolder:{tmp_path / 'own'}", image_size=16)
    load_dataset("digits")
    before = copies(cache)
    mapped = load_dataset(f"imagefolder:{tmp_path / 'own'}").train.images
    content = mapped.copy()
    write_pictures(tmp_path / "own", {"c": 5})
    assert load_dataset(f"imagefolder:{tmp_path / 'own'}").classes == ("a", "b", "c")
    after = copies(cache)
    assert len(set(before) - set(after)) == 2  # of both sizes: the folder is not that any more
    assert len(set(after) - set(before)) == 1
    np.testing.assert_array_equal(mapped, content)  # of a study that trains on it in this process
    datasets._open.cache_clear()
    load_dataset(f"imagefolder:{tmp_path / 'other'}")
    load_dataset("digits")
    assert copies(cache) == after


def test_binary_copies_go_with_the_grey_ones_that_they_were_made_of(tmp_path, cache):
    write_pictures(tmp_path / "own", {"a": 5, "b": 5})
    shape = (1, 32, 32)
    name = f"greyfolder:{tmp_path / 'own'}"
    for how in ("fixed", "threshold"):
        model = ModelConfig(image_shape=shape, likelihood="bernoulli", binarise=how)
        datasets.dataset_of(TrialConfig(dataset=name, model=model))
    before = copies(cache)
    assert [it.partition("-")[0] for it in before] == ["fixed", "greyfolder", "threshold"]
    datasets._open.cache_clear()
    datasets._binary.cache_clear()
    write_pictures(tmp_path / "own", {"c": 5})
    load_dataset(name)
    (after,) = copies(cache)
    assert after.startswith("greyfolder-")
    assert after not in before
    assert len([*cache.glob("prepared/*.lock")]) == 1  # of the folder itself


def test_copies_in_colour_go_with_the_grey_ones_of_a_folder_that_has_changed(tmp_path, cache):
    write_pictures(tmp_path / "own", {"a": 5})
    for name, size in (("imagefolder", 32), ("imagefolder", 64), ("greyfolder", 32)):
        load_dataset(f"{name}:{tmp_path / 'own'}", image_size=size)
    assert len(copies(cache)) == 3
    datasets._open.cache_clear()
    write_pictures(tmp_path / "own", {"b": 5})
    load_dataset(f"greyfolder:{tmp_path / 'own'}")
    load_dataset(f"imagefolder:{tmp_path / 'own'}")
    assert [name.partition("-")[0] for name in copies(cache)] == ["greyfolder", "imagefolder"]


def test_a_set_that_takes_long_is_told_of_in_a_log(tmp_path, cache, monkeypatch, capfd):
    monkeypatch.setattr(datasets, "_FIRST_LINE", 0.0)
    write_pictures(tmp_path / "own", {"a": 40})
    load_dataset(f"imagefolder:{tmp_path / 'own'}")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("preparing own: ")
    assert line.endswith(" of 40 pictures")


def test_who_waits_for_a_set_that_another_process_prepares_is_told(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(cache_module, "_SILENT_SECONDS", 0.2)
    load_dataset("digits")
    (path,) = cache.glob("prepared/*.lock")
    holding = FileLock(path)
    holding.acquire()
    with warnings.catch_warnings(record=True) as said, ThreadPoolExecutor() as pool:
        warnings.simplefilter("always")
        waiting = pool.submit(load_dataset, "digits")
        while not said:
            time.sleep(0.01)
        holding.release()
        assert waiting.result().name == "digits"
    (warning,) = said
    assert warning.category is WaitWarning
    assert str(warning.message) == f"another process prepares digits in {path.parent}: waiting for its copy"


def test_a_folder_is_one_however_it_is_spelt(tmp_path, cache, monkeypatch):
    write_pictures(tmp_path / "own", {"a": 5})
    (tmp_path / "link").symlink_to(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    spellings = f"{tmp_path}/own", "own", "own/", "./own/../own", "link"
    assert {load_dataset(f"imagefolder:{path}").name for path in spellings} == {f"imagefolder:{p}" for p in spellings}
    assert len(copies(cache)) == 1
    write_pictures(tmp_path / "own", {"b": 5})
    assert load_dataset("imagefolder:link").classes == ("a", "b")
    assert len(copies(cache)) == 1


def test_a_copy_in_a_cache_that_cannot_be_written_is_read(tmp_path, cache):
    """As root writes where it likes, in a process without that right."""
    load_dataset("digits")
    write_pictures(tmp_path / "own", {"a": 5})
    program = (
        "import sys\n"
        "from trainables.data import load_dataset\n"
        "for name in sys.argv[1:]:\n"
        "    print(len(load_dataset(name).train.labels), flush=True)\n"
    )
    may = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-all"] if os.getuid() == 0 else []
    command = [*may, sys.executable, "-c", program, "digits", f"imagefolder:{tmp_path / 'own'}"]
    places = [cache / "prepared", *(cache / "prepared").glob("*.lock")]
    for place in places:
        place.chmod(place.stat().st_mode & 0o555)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    for place in places:
        place.chmod(0o755)
    assert done.stdout == "1438\n"
    assert f"the cache folder {cache / 'prepared'} must be writable: " in done.stderr


def test_a_copy_that_another_process_has_mapped_stays_until_it_has_ended(tmp_path, cache):
    write_pictures(tmp_path / "own", {"a": 5})
    name = f"imagefolder:{tmp_path / 'own'}"
    program = (
        "import sys\n"
        "from trainables.data import load_dataset\n"
        "data = load_dataset(sys.argv[1])\n"
        "print('mapped', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(data.train.images.sum())\n"
    )
    command = [sys.executable, "-c", program, name]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mapped\n"
        (old,) = copies(cache)
        total = load_dataset(name).train.images.sum()
        write_pictures(tmp_path / "own", {"b": 5})
        load_dataset(name)
        assert old in copies(cache)
        assert other.communicate("\n", timeout=60)[0] == f"{total}\n"
    write_pictures(tmp_path / "own", {"c": 5})
    load_dataset(name)
    assert len(copies(cache)) == 1


def test_files_are_held_open_as_long_as_the_images_are(tmp_path):
    write_pictures(tmp_path / "own", {"a": 5})
    before = psutil.Process().num_fds()
    images = load_dataset(f"imagefolder:{tmp_path / 'own'}").train.images[1:][1:]
    datasets._open.cache_clear()
    assert psutil.Process().num_fds() > before
    assert len(images) == 2
    del images
    assert psutil.Process().num_fds() == before


def test_copies_by_an_earlier_version_are_used_or_go_without_a_word(tmp_path, cache, capfd):
    """Of published sets they are still good; of a person's own pictures they say no folder but the name."""
    write_mnist(tmp_path / "MNIST/raw")
    write_pictures(tmp_path / "own", {"a": 5})
    names = ("mnist", tmp_path), (f"imagefolder:{tmp_path / 'own'}", None)
    for name, folder in names:
        load_dataset(name, folder)
    for folder in cache.glob("prepared/*/"):
        meta = unseal((folder / "meta.json").read_bytes())
        for key in ("place", "source", "notes"):
            del meta[key]
        (folder / "meta.json").write_text(seal(meta))
        if folder.name.startswith("imagefolder"):
            shutil.copytree(folder, folder.with_name("imagefolder-0123456789ab"))
            shutil.rmtree(folder)
    datasets._open.cache_clear()
    (old,) = cache.glob("prepared/mnist-*/")
    written = old.stat().st_mtime_ns
    for name, folder in names:
        load_dataset(name, folder)
    assert old.stat().st_mtime_ns == written
    assert not (cache / "prepared/imagefolder-0123456789ab").exists()
    assert len(copies(cache)) == 2
    assert capfd.readouterr() == ("", "")


def test_the_name_of_a_copy_does_not_change_from_one_version_to_the_next(cache):
    load_dataset("digits", "/nowhere")
    assert copies(cache) == ["digits-7103e6170c73"]


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
