"""Arrays on disk that are made once per node: checksummed, mapped into memory, one process at a time to make them."""

import contextlib
import errno
import fcntl
import hashlib
import math
import os
import shutil
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from rich.filesize import decimal

from trainables.errors import UserError, WaitWarning, reason_of
from trainables.records.atomic_files import seal, unseal, write_atomic

# what `read_arrays` raises where there are none, or not what was written
DAMAGE = (OSError, ValueError, KeyError, TypeError)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a disk, a quota, or a process's limit on its files
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_PARTIAL = ".partial"
_SILENT_SECONDS = 5.0  # of waiting for another process


def folder_from(given: str | Path | None, variable: str, default: str) -> Path:
    """The folder that is given, else in the environment, else the default. Raises: UserError for what is no path, or
    has a space or a line end around it."""
    path = given or os.environ.get(variable) or default
    try:
        place = Path(path).expanduser() if str(path).startswith("~") else Path(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            place.stat()
            return place.resolve()
        if str(path) != str(path).strip():  # as of a file that was written on Windows
            raise ValueError("it begins or ends in a space or a line end, and none is there")
        return place.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # nobody's home, a loop of links, a null byte
        way_out = "give another" if given else f"set {variable} to another"
        raise UserError(f"{str(path)!r} must be the path of a folder: {reason_of(error)}\n{way_out}") from error


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Within: the only process that holds the lock `path`; or none, in a folder in which nothing may be written, and
    only what is there be read. After the first seconds a `WaitWarning` says that another prepares `what`. Raises:
    UserError where the folder cannot be made."""
    held: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    with _writing(path.parent):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                held = lock.acquire(timeout=_SILENT_SECONDS)
            except Timeout:
                text = f"another process prepares {what} in {path.parent}: waiting for its copy"
                warnings.warn(WaitWarning(text), stacklevel=2)
                held = lock.acquire()
        except OSError as error:
            if error.errno not in _NOT_ALLOWED or not path.parent.is_dir():
                raise
    with held:
        yield


@dataclass(frozen=True)
class Blocks:
    """An array that is written block by block, as it is made, and never held as a whole."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterable[np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "Blocks":
        """An array that is there."""
        return cls(array.shape, array.dtype, [array])

    @property
    def bytes(self) -> int:
        """Of all blocks."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_arrays(
    folder: Path, lock: Path, arrays: Mapping[str, Blocks], about: Callable[[], Mapping[str, Any]]
) -> None:
    """Write arrays, their checksums and JSON about them, which is asked for last, to `folder`, all or nothing, while
    `lock` beside it is held. Raises: UserError where it cannot be written, or has no room."""
    partial = lock.with_name(f".{lock.stem}{_PARTIAL}")  # the lock's name: what a killed process left is swept up
    with _writing(folder.parent):
        os.close(os.open(lock, os.O_RDWR | os.O_CREAT))  # else it could not be held
        shutil.rmtree(partial, ignore_errors=True)
        _remove_half_written(folder.parent)
        _check_room(folder.parent, sum(array.bytes for array in arrays.values()))
        partial.mkdir()
        try:
            for key, array in arrays.items():
                _write_array(partial / f"{key}.npy", array)
            shapes = {key: array.shape for key, array in arrays.items()}
            checksums = {key: _sha256(partial / f"{key}.npy") for key in arrays}
            write_atomic(partial / "meta.json", seal({**about(), "shapes": shapes, "sha256": checksums}, indent=2))
            shutil.rmtree(folder, ignore_errors=True)  # damaged; processes that have it mapped keep it
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _remove_half_written(folder: Path) -> None:
    """Sweep up what killed processes left of other sets, whose locks nobody holds."""
    for partial in folder.glob(f".*{_PARTIAL}"):
        lock = folder / f"{partial.name[1:].removesuffix(_PARTIAL)}.lock"
        with contextlib.suppress(Timeout, OSError):
            if lock.exists():
                with FileLock(lock, timeout=0):
                    shutil.rmtree(partial, ignore_errors=True)


def _write_array(path: Path, array: Blocks) -> None:
    """The file that `numpy.save` would write."""
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in array.blocks:
            file.write(np.ascontiguousarray(block, array.dtype).data)
        file.flush()
        os.fsync(file.fileno())


def read_arrays(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `write_arrays` wrote: (JSON about the arrays, the arrays), images mapped into memory, read-only. Raises one
    of `DAMAGE`."""
    file = _hold(folder)
    try:
        meta = unseal((folder / "meta.json").read_bytes())
        arrays = {}
        for key, checksum in meta["sha256"].items():
            path = folder / f"{key}.npy"
            if _sha256(path) != checksum:
                raise ValueError(f"{path} does not have the SHA-256 in meta.json")
            arrays[key] = np.load(path, mmap_mode="r" if key.endswith("_images") else None, allow_pickle=False)
    except DAMAGE:
        _let_go(folder, file)
        raise
    for array in arrays.values():
        if isinstance(array, np.memmap):  # which its slices keep alive
            weakref.finalize(array, _let_go, folder, _hold(folder))
    _let_go(folder, file)
    return meta, arrays


_held: dict[Path, list[int]] = {}  # open files, locked as long as arrays of this process are mapped


def _hold(folder: Path) -> int:
    """Let other processes see that this one uses a folder."""
    file = os.open(folder / "meta.json", os.O_RDONLY)
    _held.setdefault(folder, []).append(file)
    with contextlib.suppress(OSError):  # a file system without locks, on which nothing is removed either
        fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _let_go(folder: Path, file: int) -> None:
    if file in _held.get(folder, ()):
        _held[folder].remove(file)
        os.close(file)


def remove_older(newest: Path, kind: str, is_older: Callable[[dict[str, Any]], bool]) -> None:
    """Remove the folders beside `newest` of a `kind`, with which their names begin, that are older by what is written
    about them, and what was made of any that is gone, whose names end in its own. Those that another process has mapped
    stay: over a network it would lose them."""
    for folder in newest.parent.glob(f"{kind}-*/"):
        with contextlib.suppress(*DAMAGE):  # not to be read, or somebody else's
            if folder != newest and is_older(unseal((folder / "meta.json").read_bytes())):
                _remove_unused(folder)
    for folder in newest.parent.glob(f"[!.]*-{kind}-*/"):
        with contextlib.suppress(*DAMAGE):
            if not folder.with_name(folder.name.partition("-")[2]).exists():
                _remove_unused(folder)
                if not folder.exists():
                    folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _remove_unused(folder: Path) -> None:
    """Remove a folder that no other process has mapped; this one keeps what it has, whatever becomes of the files."""
    own = [*_held.get(folder, ())]
    file = os.open(folder / "meta.json", os.O_RDWR)  # to write: else there is no such lock over a network
    try:
        for each in own:
            fcntl.flock(each, fcntl.LOCK_UN)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another holds it
            for each in own:
                fcntl.flock(each, fcntl.LOCK_SH)
            return
        for path in folder.iterdir():  # what says that it is an older one goes last
            if path.name != "meta.json":
                path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(file)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            rule = f"is on a disk or a quota that is full: {error.strerror}"
        else:
            rule = f"must be writable: {reason_of(error)}"
        raise UserError(f"the cache folder {folder} {rule}\nset VAE_CACHE_DIR to another folder") from error


def _check_room(folder: Path, wanted: int) -> None:
    total, _, free = shutil.disk_usage(folder)
    if total and wanted > free:  # some file systems in memory or behind a program say 0 of all
        sizes = f"{decimal(wanted)} are needed and {decimal(free)} are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}, {sizes}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
