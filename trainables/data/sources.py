"""The files of an image set on disk."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.data.catalog import CATALOG, IMAGE_FOLDER, NamedSet, Version
from trainables.data.readers import Labelled, PublishedFile, read_pictures
from trainables.errors import UserError
from trainables.records.atomic_files import refuse_escapes

_PICTURE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True)
class Source:
    """A set that is there to be read. `stamps` is name, size in bytes and time in ns of every file: a copy made from
    other stamps is stale. `read` gives the train and the test split; None for the test split leaves it to be cut from
    the other."""

    classes: tuple[str, ...]
    stamps: tuple[tuple[str, int, int], ...]
    read: Callable[[], tuple[Labelled, Labelled | None]]


def find(name: str, root: Path, image_size: int) -> Source | None:
    """The source of the set `name`, of the catalog or imagefolder..., in the folder `root`; None where there are none
    of its files. The images of a folder are resized to `image_size` pixels a side. Raises: UserError where only some of
    the files are there, and where the folder cannot be read."""
    try:
        if name.partition(":")[0] == IMAGE_FOLDER:
            return _find_pictures(root, image_size)
        found = (_find_version(CATALOG[name], version, root) for version in CATALOG[name].versions)
        return next((source for source in found if source is not None), None)
    except OSError as error:
        raise UserError(f"{root} must be readable to look for {name}: {error}") from error


def _find_version(known: NamedSet, version: Version, root: Path) -> Source | None:
    paths = _locate([root / folder for folder in version.folders], version.file_names, version.gzipped)
    if paths is None:
        return None

    def read_split(files: Sequence[PublishedFile]) -> Labelled:
        return version.read({paths[file.name]: file for file in files}, known.shape, len(known.classes))

    def read() -> tuple[Labelled, Labelled | None]:
        return read_split(version.train), read_split(version.test) if version.test else None

    return Source(known.classes, _stamps(root, paths.values()), read)


def _locate(folders: Sequence[Path], names: Sequence[str], gzipped: bool) -> dict[str, Path] | None:
    """The paths of `names` in the folder that has most of them, None where no folder has any; a plain file goes before
    a gzipped one."""
    endings = (".gz", "") if gzipped else ("",)
    candidates = [[(name, folder / (name + ending)) for name in names for ending in endings] for folder in folders]
    present = [{name: path for name, path in paths if path.is_file()} for paths in candidates]
    folder, found = max(zip(folders, present, strict=True), key=lambda pair: len(pair[1]))
    if names and not found:
        return None
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{folder} must hold all of {', '.join(names)}\nmissing: {', '.join(missing)}")
    return found


def _find_pictures(root: Path, image_size: int) -> Source:
    """The pictures `root/class/*.png` (or of another ending) by class, both sorted by name. Where there are none but
    `root/*.png`, they are one class. Folders without pictures are no classes; hidden files and folders are passed over.
    Links out of `root` are refused, as a set from elsewhere must not show what else is here."""
    if not root.is_dir():
        raise UserError(f"imagefolder must name a folder of class folders, but {root} is not a folder")
    refuse_escapes(root)
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    pictures = {folder.name: _pictures_in(folder) for folder in folders}
    if not any(pictures.values()):
        pictures = {root.name: _pictures_in(root)}  # without labels
    if not any(pictures.values()):
        endings = ",".join(ending[1:] for ending in _PICTURE_ENDINGS)
        raise UserError(f"{root} must hold images as *.{{{endings}}} or CLASS/*, found none")
    classes = {name: paths for name, paths in pictures.items() if paths}
    stamps = _stamps(root, [path for paths in classes.values() for path in paths])
    return Source(tuple(classes), stamps, lambda: (read_pictures([*classes.values()], image_size), None))


def _pictures_in(folder: Path) -> list[Path]:
    paths = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    return [path for path in paths if path.suffix.lower() in _PICTURE_ENDINGS and path.is_file()]


def _stamps(root: Path, files: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    stats = [(str(path.relative_to(root)), path.stat()) for path in files]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
