"""Arrays on disk that are made once per node: checksummed, mapped into memory, one process at a time to make them."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from trainables.errors import UserError
from trainables.records.atomic_files import seal, unseal, write_atomic

# what `read_arrays` raises where there are none, or not what was written
DAMAGE = (OSError, ValueError, KeyError, TypeError)


def folder_from(given: str | Path | None, variable: str, default: str) -> Path:
    """The folder that is given, else in the environment, else the default. Raises: UserError for what is no path."""
    path = given or os.environ.get(variable) or default
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # nobody's home, a loop of links, a null byte
        way_out = "give another" if given else f"set {variable} to another"
        raise UserError(f"{str(path)!r} must be the path of a folder: {error}\n{way_out}") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Within: the only process that holds the lock `path`. Raises: UserError where its folder cannot be written."""
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path).acquire()
    with held:
        yield


def write_arrays(folder: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, their checksums and JSON about them to `folder`, all or nothing, while its lock is held. Raises:
    UserError where it cannot be written."""
    partial = folder.with_name(f".{folder.name}.partial")  # one name: what a killed process left is swept up
    with _writing(folder.parent):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for key, array in arrays.items():
                with (partial / f"{key}.npy").open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
            shapes = {key: array.shape for key, array in arrays.items()}
            checksums = {key: _sha256(partial / f"{key}.npy") for key in arrays}
            write_atomic(partial / "meta.json", seal({**about, "shapes": shapes, "sha256": checksums}, indent=2))
            shutil.rmtree(folder, ignore_errors=True)  # damaged; processes that have it mapped keep it
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def read_arrays(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `write_arrays` wrote: (JSON about the arrays, the arrays), images mapped into memory, read-only. Raises one
    of `DAMAGE`."""
    meta = unseal((folder / "meta.json").read_bytes())
    arrays = {}
    for key, checksum in meta["sha256"].items():
        path = folder / f"{key}.npy"
        if _sha256(path) != checksum:
            raise ValueError(f"{path} does not have the SHA-256 in meta.json")
        arrays[key] = np.load(path, mmap_mode="r" if key.endswith("_images") else None, allow_pickle=False)
    return meta, arrays


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fault = f"the cache folder {folder} must be writable: {error}"
        raise UserError(f"{fault}\nset VAE_CACHE_DIR to another folder") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
