"""The files of an image set on disk."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, permutations
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.catalog import CATALOG, FOLDERS, Version
from trainables.data.picture_folder import Pictures, find_pictures
from trainables.data.readers import Labelled, PublishedFile, Shape, is_published
from trainables.errors import UserError
from trainables.text import examples, legible

_FORMAT, _PICTURES_FORMAT = 3, 7  # a change of what is read, or how, makes every old prepared copy stale
_LOOKS, _LOOK_BYTES = 256, 4096  # at most so many files of a folder, and bytes of three places in each
_SMALL = 1 << 20  # bytes of a file that is read each time
_MOST_FOLDERS, _MOST_ENTRIES = 300, 10_000  # of a layer, and of a folder, that are looked at for published files


@dataclass(frozen=True)
class Source:
    """A set that is there to be read. `stamps` is name, size in bytes and time in ns of every file, and then what
    `_looks` says: a copy made from other stamps, or in another `format`, is stale. `read` gives the train and the test
    split, of which the images may be read row by row when they are asked for; None for the test split leaves it to be
    cut from the other. `notes` say what is left out, and `notes_of_reading`, when all is read, how it was."""

    classes: tuple[str, ...]
    stamps: tuple[tuple[str, int, int] | str, ...]
    read: Callable[[], tuple[Labelled, Labelled | None]]
    format: int = _FORMAT
    notes: tuple[str, ...] = ()
    notes_of_reading: Callable[[], tuple[str, ...]] = tuple


def find(name: str, root: Path, shape: Shape) -> Source | None:
    """The source of the set `name`, of the catalog or imagefolder..., in the folder `root`; None where there are none
    of its files. The images of a folder become of `shape`. Raises: UserError where only some of the files are there,
    and where the folder cannot be read."""
    try:
        if name.partition(":")[0] in FOLDERS:
            return _pictures(root, shape)
        if root.is_file():
            raise UserError(f"{root} must be a folder, to look for {name} there, and is a file")
        found = (_find_version(name, version, root) for version in CATALOG[name].versions)
        return next((source for source in found if source is not None), None)
    except OSError as error:
        fault = f"{error.filename or root} cannot be read: {error.strerror or error}"
        raise UserError(f"{root} must be readable to look for {name}; {fault}\nlet this user read it") from error


def _pictures(root: Path, shape: Shape) -> Source:
    found = find_pictures(root)
    paths = [path for of_class in found.classes.values() for path in of_class]
    labels = np.repeat(np.arange(len(found.classes), dtype=np.int64), [*map(len, found.classes.values())])
    pictures: Any = Pictures(paths, shape)
    return Source(
        tuple(map(legible, found.classes)),
        (*_stamps(root, paths), *_looks(paths)),
        lambda: ((pictures, labels), None),
        _PICTURES_FORMAT,
        found.notes,
        pictures.notes,
    )


def _find_version(name: str, version: Version, root: Path) -> Source | None:
    known = CATALOG[name]
    notes: tuple[str, ...] = ()
    paths = _complete([root / folder for folder in version.folders], version)
    if paths:
        _refuse_exchanged(version, paths)
    if paths and (other := _another_sets(version, paths)):
        folder = os.path.commonpath(path.parent for path in paths.values())
        raise UserError(
            f"{folder} must hold the files of {name}, found those of {other}\nuse {other}, or another folder"
        )
    if paths is None and (paths := _nearby(name, version, root)):
        notes = (f"{name} is read from {os.path.commonpath(path.parent for path in paths.values())}",)
    if paths is None:
        return None

    def read_split(files: Sequence[PublishedFile]) -> Labelled:
        return version.read({paths[file.name]: file for file in files}, known.shape, len(known.classes))

    def read() -> tuple[Labelled, Labelled | None]:
        return read_split(version.train), read_split(version.test) if version.test else None

    return Source(known.classes, _stamps(root, paths.values()), read, notes=notes)


def _complete(folders: Sequence[Path], version: Version) -> dict[str, Path] | None:
    """The paths of a version's files in the folder that has most of them, None where no folder has any. Raises:
    UserError where some are missing, or are links to nothing."""
    folder, found = max(((folder, _files_in(folder, version)) for folder in folders), key=lambda pair: len(pair[1]))
    names = version.file_names
    if names and not found:
        if lost := next(_lost(folders, version), None):
            raise UserError(f"{lost} is a link to what is not there\nmount the disk that has it, or fetch it")
        return None
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{folder} must hold all of {', '.join(names)}\nmissing: {', '.join(missing)}")
    return found


def _files_in(folder: Path, version: Version) -> dict[str, Path]:
    """The paths of those of a version's files that are in a folder."""
    found = {name: _file_in(folder, name, version.gzipped) for name in version.file_names}
    return {name: path for name, path in found.items() if path is not None}


def _file_in(folder: Path, name: str, gzipped: bool) -> Path | None:
    """Where a file is in a folder, be it with a dot for a hyphen, gzipped, or in a folder of its own name, as some who
    publish it again have it; a plain file goes before a gzipped one."""
    files = _spellings(name, gzipped)
    places = (folder / above / file for file in files for above in ("", *files))
    return next((path for path in places if path.is_file()), None)


def _spellings(name: str, gzipped: bool) -> list[str]:
    spellings = [*dict.fromkeys((name, name.replace("-idx", ".idx")))]
    return [spelling + ending for ending in (("", ".gz") if gzipped else ("",)) for spelling in spellings]


def _lost(folders: Sequence[Path], version: Version) -> Iterator[Path]:
    """What is in folders by the names of a version's files, and leads nowhere."""
    files = [file for name in version.file_names for file in _spellings(name, version.gzipped)]
    return (path for folder in folders for file in files if (path := folder / file).is_symlink() and not path.exists())


def _nearby(name: str, version: Version, root: Path) -> dict[str, Path] | None:
    """The paths of all files of a version in the data folder itself, up to two folders below it or one above. Not
    where another set belongs, nor where the files are another set's, which has the same names."""
    for place in _places(name, version, root):
        with suppress(PermissionError):  # somebody's own
            if not _file_in(place, version.file_names[0], version.gzipped):
                continue
            found = _files_in(place, version)
            if len(found) == len(version.file_names) and _matches(found, version) is not False:
                return found
    return None


def _places(name: str, version: Version, root: Path) -> Iterator[Path]:
    """The folders nearby in which a version's files may be, but those where another set belongs."""
    bases = [root, *_folders_below(root)]
    others = (v.folders for other, known in CATALOG.items() if other != name for v in known.versions)
    others_alone = {folder for folders in others for folder in folders} - {".", *version.folders}
    taken = {base / folder for base in bases for folder in others_alone}
    places = [base / folder for base in bases for folder in (".", *version.folders)] + [root.parent]
    if any(root.name in Path(folder).parts for v in CATALOG[name].versions for folder in v.folders):
        places += [root.parent / folder for folder in version.folders]
    for place in places:
        with suppress(PermissionError):
            if place not in taken and place.is_dir():
                yield place


def _matches(found: Mapping[str, Path], version: Version) -> bool | None:
    """Whether the smallest file of a version is the published one; None where that is not known, or it has another
    size."""
    known = [file for file in (*version.train, *version.test) if file.size and file.name in found]
    smallest = min(known, key=lambda file: file.size, default=None)
    return None if smallest is None else is_published(found[smallest.name], smallest)


def _refuse_exchanged(version: Version, found: Mapping[str, Path]) -> None:
    """Refuse a published file under the name of another, as far as the small ones tell: labels."""
    small = [file for file in (*version.train, *version.test) if 0 < file.size <= _SMALL]
    for file, other in permutations(small, 2):
        if is_published(found[file.name], other):
            raise UserError(
                f"{found[file.name]} must be {file.name} as published, but is {other.name}\nrename both pairs"
            )


def _another_sets(version: Version, found: Mapping[str, Path]) -> str | None:
    """The set of the catalog whose published files these are, where they are not the version's."""
    if _matches(found, version) is not False:
        return None
    return next((name for name, known in CATALOG.items() if any(_matches(found, v) for v in known.versions)), None)


def _folders_below(root: Path) -> Iterator[Path]:
    """The first folders in a folder, and in these."""
    layer = [root]
    for _ in range(2):
        below: list[Path] = []
        for folder in layer:
            with suppress(OSError), os.scandir(folder) as entries:
                shown = (entry for entry in islice(entries, _MOST_ENTRIES) if not entry.name.startswith("."))
                below += sorted(Path(entry.path) for entry in shown if entry.is_dir())
        layer = below[:_MOST_FOLDERS]
        yield from layer


def held(name: str, root: Path) -> str:
    """What a folder holds, by a few names; "nothing" where it cannot be seen; and where some of the files of the set
    `name` are."""
    names: list[str] = []
    with suppress(OSError):
        names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    folders = sum(map(Path.is_dir, map(root.joinpath, names)))
    unseen = f"; of its {folders:,} folders the first {_MOST_FOLDERS} are looked into" * (folders > _MOST_FOLDERS)
    others = {part for other in CATALOG.keys() - {name} for part in other.split("_")} - set(name.split("_"))
    packed = [it for it in names if it.endswith((".zip", ".tar", ".tar.gz", ".tgz")) and not _has(it, others)]
    unpack = f"; unpack {examples(packed)} there" if packed else ""
    return (examples(names) or "nothing") + unseen + unpack + _incomplete(name, root)


def _has(file: str, words: Iterable[str]) -> bool:
    """Whether a file's name has one of the words, however it is written."""
    return any(word.rstrip("0123456789") in file.lower() for word in words)


def _incomplete(name: str, root: Path) -> str:
    """Which folder nearby has most of the files of a set, and which it lacks."""
    version, place, found = CATALOG[name].versions[0], root, dict[str, Path]()
    for other in CATALOG[name].versions:
        for nearby in _places(name, other, root):
            with suppress(PermissionError):  # somebody's own
                if len(there := _files_in(nearby, other)) > len(found):
                    version, place, found = other, nearby, there
    missing = [file for file in version.file_names if file not in found]
    if not found:
        return ""
    if not missing:  # by their names, which another set's files have, too
        return f"; {place} has files of these names, which are another set's"
    return f"; {place} has {len(found)} of the {len(version.file_names)} files, not {', '.join(missing)}"


def _stamps(root: Path, files: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    inside = f"{root}/"  # no path arithmetic: there may be a million of them
    stats = [(str(path).removeprefix(inside), path.stat()) for path in files]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


def _looks(files: Sequence[Path]) -> Iterator[str]:
    """A hash of the beginning, the middle and the end of each of some files, evenly spread: it tells that others of the
    same sizes and times have taken their place, as archives with fixed times bring them. Inode and ctime would tell,
    too, but no copy keeps them: wherever `rsync -t`, an archive or a container's layer has put a folder and its
    prepared copy, that would be made again for nothing, and after a `chmod` here."""
    for path in files[:: 1 + len(files) // _LOOKS]:
        content = hashlib.sha256()
        with suppress(OSError), path.open("rb") as file:  # that it cannot be read is told where it is
            size = file.seek(0, os.SEEK_END)
            for place in (0, size // 2, max(0, size - _LOOK_BYTES)):
                file.seek(place)
                content.update(file.read(_LOOK_BYTES))
        yield content.hexdigest()[:12]
