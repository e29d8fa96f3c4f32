"""Files that no crash can tear, and that tell when something else did. `write_atomic` shows a reader the old file or
the new one, never a part; `seal` and `unseal` put a hash into JSON, so that a flipped bit is found and not believed."""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson

from trainables.errors import UserError
from trainables.text import legible

_SEAL = "content_sha256"
_HASH_DIGITS = 16
PARTIAL = ".*.partial"  # names of what a crash left half written
_LITTER = {"__macosx", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store"} | {
    *("lost+found", ".trashes", ".fseventsd", ".spotlight-v100"),  # in the root of a disk
    *("#recycle", "@recycle", "$recycle.bin", "recycler", "system volume information"),  # what somebody has deleted
    *("#snapshot", "@snapshot", "~snapshot", ".snapshot", ".snapshots"),  # and what was there before
}
_LARGEST_RECORD = 1 << 28  # bytes of a JSON file that is read as a whole


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write to a temporary name beside ``path``, flush to disk, rename. Raises: OSError where it cannot be written, and
    where ``path`` is a device or a pipe, which a file must not replace; a folder that has vanished is not made anew."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file that could be replaced", str(path))
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        with partial.open("wb") as file:
            file.write(legible(content).encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that cannot, as those that machines share with their guests
                raise
        finally:
            os.close(folder)
    finally:
        partial.unlink(missing_ok=True)


def is_litter(name: str) -> bool:
    """Whether systems leave a file or folder of this name where nobody means one."""
    return name.lower() in _LITTER or name.startswith(".Trash-")


def read_bounded(path: Path) -> bytes:
    """A record's content. Raises: OSError; ValueError for a file that no record can be as large as."""
    if (size := path.stat().st_size) > _LARGEST_RECORD:
        raise ValueError(f"it must hold at most {_LARGEST_RECORD:,} bytes, got {size:,}")
    return path.read_bytes()


def refuse_escapes(folder: Path, unread: str = "", passed_over: Callable[[str], bool] = lambda _: False) -> None:
    """Refuse a folder from which a path leads out, or where opening a file may wait for ever. Raises: UserError for a
    link to somewhere outside, and for what is neither file, folder nor link. A folder ``unread`` and what `is_litter`
    directly in it are left out, as nothing reads them; no link may lead there. So are, at any depth, what has a name
    that is ``passed_over``."""
    root = folder.resolve()
    left_out = [it for it in root.glob("*") if it.name == unread or is_litter(it.name)]
    places = [root]
    while places:
        # of a study that runs, a folder may be renamed meanwhile; what may not be entered, nothing is read from
        with suppress(FileNotFoundError, PermissionError), os.scandir(places.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if passed_over(entry.name) or (path in left_out and entry.is_dir(follow_symlinks=False)):
                    continue
                if entry.is_symlink():
                    target = Path(os.path.realpath(path))  # of a loop too
                    if not target.is_relative_to(root) or any(map(target.is_relative_to, left_out)):
                        raise UserError(f"{path} must not be a link out of {root}\ncopy what it names, or remove it")
                elif entry.is_dir():
                    places.append(path)
                elif not entry.is_file():
                    raise UserError(f"{path} must be a file, a folder or a link\nremove it")


def seal(values: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON of ``values`` with the hash of its own text as the last key. Raises: ValueError for NaN and infinity."""
    body = _body(values, indent)
    comma, space, end = ("," if values else "", "\n" + " " * indent if indent else " ", "\n}" if indent else "}")
    return f'{body.decode()}{comma}{space}"{_SEAL}": "{digest(body)}"{end}'


def unseal(text: bytes | str) -> dict[str, Any]:
    """What was sealed. Raises: ValueError where the text is not what its hash says, nor the same values in the same
    order as an editor or a copy has set them anew, or no JSON."""
    data = text.encode() if isinstance(text, str) else text
    if f'"{_SEAL}"'.encode() not in data:
        raise ValueError(f"it is cut off, or another program's: it lacks the checksum at its end ({_SEAL})")
    body, _, rest = data.rpartition(f'"{_SEAL}": "'.encode())
    is_untouched = rest[:_HASH_DIGITS] == digest(body.rstrip().removesuffix(b",")).encode()
    try:
        values = _parsed(data)
    except ValueError:
        if is_untouched:
            raise
        values = None
    sealed = values.pop(_SEAL, None) if isinstance(values, dict) else None
    if sealed is None or not (is_untouched or sealed in (digest(_body(values, indent)) for indent in (None, 2))):
        raise ValueError(f"its content does not fit its checksum ({_SEAL})")
    return cast(dict[str, Any], values)


def _body(values: Mapping[str, Any], indent: int | None) -> bytes:
    """JSON of ``values`` up to where the hash of this text stands in it."""
    return json.dumps(values, indent=indent, allow_nan=False)[:-1].rstrip().encode()


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # strict about text: a name of a file that is not UTF-8 is none to it
        return json.loads(data, parse_constant=_no_number)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def digest(content: bytes) -> str:
    """The first 16 hexadecimal digits of the content's SHA-256."""
    return hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]
