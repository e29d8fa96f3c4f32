"""Where an image set comes from: its files on disk, or the publisher's server."""

import contextlib
import io
import socket
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainables.data.readers import (
    CIFAR_SHAPE,
    Labelled,
    find_images,
    read_cifar_binary,
    read_cifar_pickled,
    read_digits,
    read_idx_pair,
    read_images,
)
from trainables.errors import UserError

NETWORK_SECONDS = 10.0  # of silence that count as no network

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


@dataclass(frozen=True)
class Known:
    """What is known of a set before its files are read."""

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    publisher: str = ""  # torchvision's class
    folders: tuple[str, ...] = ()  # below the data folder
    download: str = ""  # the one torchvision makes


KNOWN = {
    "mnist": Known((1, 28, 28), DIGITS, "MNIST", ("MNIST/raw", "MNIST", "mnist", "."), "MNIST/raw"),
    "fashion_mnist": Known(
        (1, 28, 28), CLOTHES, "FashionMNIST", ("FashionMNIST/raw", "FashionMNIST", "fashion_mnist"), "FashionMNIST/raw"
    ),
    "cifar10": Known(
        CIFAR_SHAPE, OBJECTS, "CIFAR10", ("cifar-10-batches-bin", "cifar-10-batches-py"), "cifar-10-batches-py"
    ),
    "digits": Known((1, 28, 28), DIGITS),
}


@dataclass(frozen=True)
class Source:
    """A set that is there to be read.

    `stamps` is name, size in bytes and time in ns of every file: a copy made from other stamps is stale.
    `read` gives the train and the test split; None for the test split leaves it to be cut from the other.
    """

    classes: tuple[str, ...]
    stamps: tuple[tuple[str, int, int], ...]
    read: Callable[[], tuple[Labelled, Labelled | None]]


def find(name: str, root: Path, image_size: int) -> Source | None:
    """The source of the set `name` in the folder `root`; None where none of its files are there.

    Raises `UserError` where only some of them are, and where the folder cannot be read.
    """
    try:
        match name:
            case "digits":
                return Source(DIGITS, (), lambda: (read_digits(), None))
            case "mnist" | "fashion_mnist":
                return _find_idx(KNOWN[name], root)
            case "cifar10":
                return _find_cifar(root)
            case _:
                return _find_images(root, image_size)
    except OSError as error:
        raise UserError(f"{root} must be readable to look for {name}: {error}") from error


def download(name: str, root: Path) -> None:
    """Have torchvision download a published set into `root`, whole or not at all.

    Raises `UserError`, saying what to put where, when there is no network or anything goes wrong on the way.
    """
    known = KNOWN[name]
    target = root / known.download
    try:
        from torchvision import datasets  # takes seconds to import, and few runs download

        publisher = getattr(datasets, known.publisher)
        _check_network(getattr(publisher, "mirrors", None) or [publisher.url])
        print(f"downloading {name} to {target}", file=sys.stderr)
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary, _quiet_network():
            publisher(temporary, download=True)
            made = Path(temporary, known.download)
            for packed in made.glob("*.gz"):
                packed.unlink()
            target.parent.mkdir(parents=True, exist_ok=True)
            if find(name, root, 0) is None:  # else another machine that shares the folder was faster
                made.rename(target)
    except Exception as error:  # whatever a network, a mirror or a full disk comes up with
        raise UserError(
            f"{name} is not in {root} and cannot be downloaded: {' '.join(str(error).split())}\n"
            f"put its published files into {target} (or set --data-dir or VAE_DATA_DIR), "
            "or use digits, which needs no files"
        ) from error


def _find_idx(known: Known, root: Path) -> Source | None:
    files = _locate([root / folder for folder in known.folders], IDX_FILES, ("", ".gz"))
    if files is None:
        return None
    train = partial(read_idx_pair, files[0], files[1], known.publisher)
    test = partial(read_idx_pair, files[2], files[3], known.publisher)
    return Source(known.classes, _stamps(root, files), lambda: (train(), test()))


def _find_cifar(root: Path) -> Source | None:
    binary, pickled = (root / folder for folder in KNOWN["cifar10"].folders)
    files = _locate([binary], [f"{batch}.bin" for batch in CIFAR_BATCHES])
    if files is not None:
        train, test = (partial(read_cifar_binary, batches) for batches in (files[:-1], files[-1:]))
        return Source(OBJECTS, _stamps(root, files), lambda: (train(), test()))
    files = _locate([pickled], [*CIFAR_BATCHES, "batches.meta"])
    if files is not None:
        train, test = (partial(read_cifar_pickled, root, train=train) for train in (True, False))
        return Source(OBJECTS, _stamps(root, files), lambda: (train(), test()))
    return None


def _find_images(root: Path, image_size: int) -> Source:
    images = find_images(root)
    files = [path for paths in images.values() for path in paths]
    return Source(tuple(images), _stamps(root, files), lambda: (read_images(images, image_size), None))


def _locate(folders: list[Path], names: Sequence[str], endings: Sequence[str] = ("",)) -> list[Path] | None:
    """The paths of `names` in the folder that has most of them, by the first ending that is there.

    None where no folder has any.
    """

    def present(folder: Path) -> dict[str, Path]:
        candidates = [(name, folder / (name + ending)) for name in names for ending in reversed(endings)]
        return {name: path for name, path in candidates if path.is_file()}

    folder, found = max(((folder, present(folder)) for folder in folders), key=lambda pair: len(pair[1]))
    if not found:
        return None
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{folder} must hold all of {', '.join(names)}\nmissing: {', '.join(missing)}")
    return list(found.values())


def _stamps(root: Path, files: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    stats = [(str(path.relative_to(root)), path.stat()) for path in files]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


def _check_network(urls: Sequence[str]) -> None:
    """Raise OSError unless one of the servers answers, be it with an error, within 2 x `NETWORK_SECONDS`.

    Where packets are lost without a word, torchvision waits for minutes, and a name look-up knows no limit of
    time: hence the thread.
    """
    failures: list[object] = []
    answered = threading.Event()

    def ask() -> None:
        for url in urls:
            request = urllib.request.Request(url, method="HEAD")
            try:
                urllib.request.urlopen(request, timeout=NETWORK_SECONDS).close()
            except urllib.error.HTTPError as answer:  # mirrors forbid a look at the folder
                answer.close()
            except Exception as error:
                failures.append(getattr(error, "reason", error))
                continue
            answered.set()
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * NETWORK_SECONDS)
    if not answered.is_set():
        reason = failures[0] if failures else f"no answer in {2 * NETWORK_SECONDS:.0f} s"
        raise OSError(f"no network ({reason})")


@contextlib.contextmanager
def _quiet_network() -> Iterator[None]:
    """Within: no progress bars, and a connection that falls silent fails."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)
