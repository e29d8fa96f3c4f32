"""A folder of a person's own pictures: which of its files are read, by class, and which are left out."""

import difflib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path

import numpy as np

from trainables.data.colour_tags import SAID
from trainables.data.pictures import endings, read_picture
from trainables.errors import UserError
from trainables.records.atomic_files import is_litter, refuse_escapes
from trainables.text import examples, legible, one_line

# names of folders that are no classes: of splits, and of pictures beside what is drawn upon them
_SPLIT = re.compile(
    r"(.*[ _.-])?(train(ing)?|test(ing)?|val(id(ation)?)?|dev)"
    r"([ _.-].*|\d*|[A-D]|set|data|images?|masks?|labels?|annot(ations?)?)",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(JPEG)?images?|imgs?|masks?|labels?|annotations?|segmentations?(class|object)?|ground[ _-]?truth|gt",
    re.IGNORECASE,
)
# of these, what is no picture, and what is the nearest reading
_DRAWN = re.compile("mask|label|annot|segm|ground[ _-]?truth|^gt(fine|coarse|[ _-]|$)", re.IGNORECASE)
_FIRST = re.compile("(^|[ _.-])train|^im|^jpegim", re.IGNORECASE)
_MOST_REFUSED = 20  # files that cannot be read, after which the others are not tried


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a folder by class, and `notes` of what in it is not read."""

    classes: dict[str, list[Path]]
    notes: tuple[str, ...]


class Pictures:
    """Pictures (N, C, S, S) uint8 that are read, row by row, when they are asked for; of each, `read_picture` says
    how."""

    def __init__(self, paths: Sequence[Path], shape: tuple[int, int, int]) -> None:
        self.shape, self.dtype = (len(paths), *shape), np.dtype(np.uint8)
        self._paths = paths
        self._seen: Counter[str] = Counter()
        self._digests: set[int] = set()
        self._refused: list[tuple[Path, str]] = []

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Raises: UserError where many of the files so far are no pictures."""
        images = np.zeros((len(rows), *self.shape[1:]), np.uint8)
        for image, row in zip(images, rows, strict=True):
            try:
                picture = read_picture(self._paths[row], *self.shape[1:3])
            except UserError as error:
                self._refused.append((self._paths[row], str(error)))
                if len(self._refused) >= _MOST_REFUSED:
                    self.notes()
                continue
            image[:] = picture.pixels
            grey = bool((image == image[:1]).all())
            self._seen.update(picture.unfollowed, frames=picture.has_frames, transparent=picture.is_transparent)
            is_empty = picture.is_transparent and image.min() == image.max()
            self._seen.update(dark=picture.is_dark, grey=grey, empty=bool(is_empty))
            digest = hash(image.tobytes())
            self._seen.update(again=digest in self._digests)
            self._digests.add(digest)
        return images

    def notes(self) -> tuple[str, ...]:
        """What the pictures that were read have which their pixels do not show. Raises: UserError where some of the
        files are no pictures."""
        if self._refused:
            (_, fault), *others = self._refused
            names = examples([one_line(path) for path, _ in others])
            most = " or more" if len(self._refused) >= _MOST_REFUSED else ""
            more = f", and {len(others)}{most} others that cannot be read: {names}" if others else ""
            raise UserError(f"{fault}\nmend or remove it{more}")
        said = []
        if count := self._seen["frames"]:
            said.append(f"{count:,} picture(s) have several frames or pages: the first is read")
        if count := self._seen["transparent"]:
            ground = "white, or black where white would hide what they show"
            said.append(f"{count:,} picture(s) are transparent in parts: the ground behind them is {ground}")
        if count := self._seen["empty"]:
            said.append(f"{count:,} picture(s) of these show nothing but the ground: what they hold is transparent")
        if count := self._seen["again"]:
            said.append(f"{count:,} picture(s) are, at this size, the same as others: some may train and validate both")
        if count := self._seen["dark"]:
            dark = "use less than a sixteenth of their 16 bits (or floats), and are as dark as a viewer shows them"
            said.append(f"{count:,} picture(s) {dark}: scaled to the whole range they keep their shades")
        said += [f"{self._seen[tags]:,} picture(s) {tags}" for tags in SAID if self._seen[tags]]
        if self.shape[1] > 1 and self._seen["grey"] == self.shape[0]:
            said.append("all pictures are grey, and have 3 equal channels: greyfolder:PATH reads them as 1")
        return tuple(said)


def find_pictures(root: Path) -> PictureFolder:
    """The pictures `root/class/*` by class, both sorted by name. Where there are none but `root/*`, they are one
    class. What systems leave behind and hidden files are passed over without a word. Links out of `root` are refused,
    as a set from elsewhere must not show what else is here. Raises: UserError where there are none, with the nearest
    reading; OSError."""
    if not root.is_dir():
        raise UserError(f"dataset must name a folder, of class folders or of pictures, got {root}, {_near(root)}")
    refuse_escapes(root, passed_over=_is_litter)
    top = _Contents(root)
    folders = [_Contents(folder) for folder in top.folders]
    classes = {inside.path.name: inside.pictures for inside in folders if inside.pictures}
    is_flat = bool(top.pictures) and not classes
    if is_flat:
        classes = {root.name: top.pictures}  # without labels
    deeper = [below for inside in folders for folder in inside.folders for below in _walk(folder)]
    left_out = "; ".join(_left_out(top, folders, deeper, is_flat))
    notes = [f"left out of {root}: {left_out}"] if left_out else []
    notes += _odd(classes)
    read = sum(map(len, classes.values()))
    undrawn = [below for below in deeper if not any(map(_DRAWN.search, below.path.relative_to(root).parts))]
    if sum(len(below.pictures) for below in (undrawn if classes else deeper)) > read:
        notes += _nearest(root, deeper, read)
    elif classes and not is_flat and len(top.pictures) >= read:
        beside = " and ".join(classes)
        notes.append(f"half of the pictures or more lie beside {beside}: to read them, move those folders elsewhere")
    elif not is_flat and any(classes and all(map(kind.fullmatch, classes)) for kind in (_SPLIT, _PART)):
        most = max(classes, key=lambda name: _rank(name, len(classes[name])))
        notes.append(f"{' and '.join(classes)} are read as classes: did you mean {root / most}?")
    elif not classes and any(inside.lost for inside in (top, *folders)):
        notes.append("fetch what the links lead to, as git-annex, DVC or a disk that is not mounted has it")
    elif not classes and any(inside.others for inside in (top, *folders)):
        notes.append("a picture is known by how its name ends, such as .png or .jpg: save others so, or name them so")
    if not classes:
        found = "\n".join(["; ".join(["found none", *notes[:1]]), *notes[1:]])
        raise UserError(f"{root} must hold pictures (such as png, jpg, webp, tif) in CLASS/, or directly, {found}")
    return PictureFolder(classes, tuple(map(legible, notes)))


def _odd(classes: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    """What a person would wonder at in the classes, and did perhaps not mean."""
    yield from _alike(classes)
    single = [name for name, pictures in classes.items() if len(pictures) == 1]
    if single and len(classes) > 1:
        told = f"{examples(single)} {'has' if len(single) == 1 else 'have'} one picture"
        yield f"{told}: what validates and tests is drawn without regard to class"
    windows = [path.name for pictures in classes.values() for path in pictures if "\\" in path.name]
    if windows and len(classes) == 1:
        told = examples(windows)
        yield f"names hold a path of Windows ({told}): unpack them so that it becomes folders, to have classes"


def _alike(classes: Iterable[str]) -> Iterator[str]:
    """Of classes whose names a person takes for one."""
    spelt: dict[str, list[str]] = {}
    for name in classes:
        seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")  # which nobody sees
        spelt.setdefault(_composed(" ".join(seen.split())), []).append(name)
    for names in spelt.values():
        if len(names) > 1:
            how = "in blanks or in signs that are not seen"
            if len({*map(_composed, names)}) == 1:
                how = "in case" if len({*map(str.casefold, names)}) == 1 else "in how their letters are encoded"
            yield f"{' and '.join(names)} are {len(names)} classes, whose names differ only {how}: did you mean one?"


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _left_out(
    top: "_Contents", folders: Sequence["_Contents"], deeper: Sequence["_Contents"], is_flat: bool
) -> Iterator[str]:
    """How much of each kind is not read, with examples."""
    kinds = {
        "picture(s) beside the class folders": [] if is_flat else top.pictures,
        "picture(s) in folders further down": [*chain(*(below.pictures for below in deeper))],
        "link(s) to files that are not here": [*chain(*(inside.lost for inside in (top, *folders, *deeper)))],
        "file(s) of other kinds": [*chain(*(inside.others for inside in (top, *folders, *deeper)))],
        "folder(s) without pictures": [inside.path for inside in folders if not inside.pictures],
    }
    for kind, paths in kinds.items():
        if paths:
            shown: Sequence[Path] = paths
            endings = ""
            if kind == "file(s) of other kinds":
                shown, endings = _by_ending(paths)
            names = [str(path.relative_to(top.path)) for path in shown]
            yield f"{len(paths):,} {kind}{endings} ({examples(names)})"


def _by_ending(paths: Sequence[Path]) -> tuple[Sequence[Path], str]:
    """The first of each ending, the most frequent before, and how many have each; all, and nothing, where they have
    one: pictures that are not read hide behind what a phone or a program writes beside others."""
    counts = Counter(path.suffix.lower() for path in paths)
    if len(counts) == 1:
        return paths, ""
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(path.suffix.lower(), path)
    common = counts.most_common()
    told = examples([f"{count:,} {ending or 'without an ending'}" for ending, count in common])
    return [first[ending] for ending, _ in common], f": {told}"


class _Contents:
    """What is directly in a folder, each sorted by name. Raises: OSError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.folders: list[Path] = []
        self.pictures: list[Path] = []
        self.others: list[Path] = []
        self.lost: list[Path] = []  # links to nothing
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not _is_litter(entry.name)), key=lambda entry: entry.name)
        for entry in entries:
            path = Path(entry.path)
            kind = self.others
            with suppress(OSError):  # a link to itself
                if entry.is_symlink() and not path.exists():
                    kind = self.lost
                elif entry.is_dir():
                    kind = self.folders
                elif path.suffix.lower() in endings() and entry.is_file():
                    kind = self.pictures
            kind.append(path)


def _walk(folder: Path) -> Iterator[_Contents]:
    if folder.is_symlink():  # which may lead back
        return
    contents = _Contents(folder)
    yield contents
    for below in contents.folders:
        yield from _walk(below)


def _rank(name: str, count: int) -> tuple[bool, bool, int]:
    """How near the reading of a folder is, beside others: pictures before what is drawn upon them, what one trains on
    before what one tests on, many before few."""
    return not _DRAWN.search(name), bool(_FIRST.search(name)), count


def _nearest(root: Path, deeper: Sequence["_Contents"], read: int) -> Iterator[str]:
    """What else may be meant where folders further down have more pictures than are read: on the way down by the
    nearest folders, the first that has folders of pictures; or, where it is one of several that each have one folder
    of the same name, classes."""
    counts: Counter[Path] = Counter()  # pictures in folders of a folder, however deep
    names: dict[Path, dict[str, int]] = {}  # how many are directly in those that have some
    for contents in deeper:
        if contents.pictures:
            names.setdefault(contents.path.parent, {})[contents.path.name] = len(contents.pictures)
            for above in takewhile(lambda folder: folder != root, contents.path.parents):
                counts[above] += len(contents.pictures)
    here = root
    while here not in names:
        inside = [folder for folder in counts if folder.parent == here]
        here = max(inside, key=lambda folder: _rank(folder.name, counts[folder]))
    alike = [folder for folder in names if folder.parent == here.parent and set(names[folder]) == set(names[here])]
    if len(alike) > 1 and len(names[here]) == 1 and not _SPLIT.fullmatch(here.name):
        (name,) = names[here]
        yield f"the pictures of a class must lie directly in its folder: move those of {here / name} to {here}"
    elif sum(names[here].values()) > read:
        yield f"did you mean {here}?"


def _is_litter(name: str) -> bool:
    is_of_icloud = name.endswith(".icloud")  # what stands for a file that was not downloaded
    return (name.startswith(".") and not is_of_icloud) or is_litter(name)


def _near(root: Path) -> str:
    """What the name of a folder that is not there, or is a file, may be meant to be."""
    if root.is_file():
        return "which is a file\nunpack it, or name a folder"
    what = "which is no folder" if root.exists() else "which is not there"
    try:
        names = [path.name for path in root.parent.iterdir() if path.is_dir()]
    except OSError:
        return what
    found = difflib.get_close_matches(root.name, names, 1)
    return f"{what}\ndid you mean {root.parent / found[0]}?" if found else what
