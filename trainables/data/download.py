"""Downloading a named set from its publisher's mirrors."""

import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from trainables.data.cache import FULL
from trainables.data.catalog import CATALOG, Version
from trainables.data.sources import find, held
from trainables.errors import UserError, reason_of

_NETWORK_SECONDS = 10.0  # of silence that count as no network


def download(name: str, root: Path) -> None:
    """Download the set `name` of the catalog into the data folder `root`, whole or not at all; archives that lie there
    are taken as they are. Raises: UserError, which says what to put where, when there is no network or anything goes
    wrong on the way."""
    packed = [version for version in CATALOG[name].versions if _is_packed_in(root, version)]
    version = packed[0] if packed else CATALOG[name].versions[0]
    target = root / version.folders[0]
    try:
        if not version.mirrors:
            raise OSError("no mirror is known")
        mirrors = version.mirrors if packed else _answering(version.mirrors)
        print(f"{'unpacking' if packed else 'downloading'} {name} to {target}", file=sys.stderr)
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary:
            for archive in version.archives if packed else ():  # nothing is asked of a mirror for what is there
                Path(temporary, archive).symlink_to(root / archive)
            unpacked = _fetch(version, mirrors, Path(temporary))
            target.parent.mkdir(parents=True, exist_ok=True)
            if find(name, root, CATALOG[name].shape) is None:  # else another machine that shares the folder was faster
                if target.is_dir():  # with something else in it
                    for file in unpacked.iterdir():
                        file.rename(target / file.name)
                else:
                    unpacked.rename(target)
    except Exception as error:  # whatever a network or a mirror comes up with
        if isinstance(error, OSError) and error.errno in FULL:
            fault = f"{root} is on a disk or a quota that is full: {error.strerror}"
            raise UserError(f"{fault}\nset --data-dir or VAE_DATA_DIR to another folder") from error
        found = f" (which holds {held(name, root)})" if root.is_dir() else ""
        raise UserError(
            f"{name} is not in {root}{found} and cannot be downloaded: {' '.join(str(error).split())}\n"
            f"put its published files into {target} (or set --data-dir or VAE_DATA_DIR): "
            f"{', '.join(version.file_names)}; or use digits, which needs no files"
        ) from error


def not_there(name: str, root: Path) -> str:
    """That a set is not in a data folder, and which of its files are wanted."""
    version = CATALOG[name].versions[0]
    packed = f", which are in {next(iter(version.archives))}" if len(version.archives) == 1 else ""
    wanted = ", ".join(version.file_names) + packed
    return f"{root} must hold the files of {name}, found {held(name, root)}\nwanted: {wanted}"


def _is_packed_in(root: Path, version: Version) -> bool:
    """Whether a data folder has all archives of a version, as they were published."""
    from pooch import file_hash  # few runs download

    def is_there(archive: str, known_hash: str) -> bool:
        algorithm, _, digits = known_hash.partition(":")
        with suppress(OSError):
            return (root / archive).is_file() and bool(file_hash(str(root / archive), algorithm) == digits)
        return False

    return bool(version.archives) and all(is_there(*each) for each in version.archives.items())


def _fetch(version: Version, mirrors: Sequence[str], folder: Path) -> Path:
    """Download and unpack the archives in ``folder``; the path of the folder in it that holds the set's files."""
    for archive, known_hash in version.archives.items():
        _fetch_archive(archive, known_hash, mirrors, folder)
    files = {path.name: path for path in folder.rglob("*")}
    complete = folder / "complete"
    complete.mkdir()
    for name in version.file_names:
        files[name].rename(complete / name)
    return complete


def _fetch_archive(archive: str, known_hash: str, mirrors: Sequence[str], folder: Path) -> None:
    """Download an archive from the first mirror that has it as it was published, and unpack it in ``folder``."""
    import pooch  # few runs download

    pooch.get_logger().setLevel("ERROR")
    unpack = pooch.Untar() if archive.endswith(".tar.gz") else pooch.Decompress(name=archive.removesuffix(".gz"))
    download_file = pooch.HTTPDownloader(timeout=_NETWORK_SECONDS, chunk_size=1 << 16)
    failures = []
    for mirror in mirrors:
        try:
            pooch.retrieve(mirror + archive, known_hash, archive, folder, unpack, download_file)
            return
        except (OSError, ValueError) as error:  # silence, an answer without the file, another file
            failures.append(f"{mirror}: {_told(error)}")
    raise OSError(f"Error downloading {archive} from {', '.join(failures)}")


def _told(error: BaseException) -> str:
    """Why a mirror did not give what it should, without its libraries' words for what people meet."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate is not trusted here; that of a proxy which reads along is named by REQUESTS_CA_BUNDLE"
    if "does not match the known hash" in text:
        return "it sent another file, such as the page of a network's login"
    return reason_of(error)


def _answering(mirrors: Sequence[str]) -> Sequence[str]:
    """The mirrors from the first that answers on, be it with an error. Raises: OSError where none does within
    2 x `_NETWORK_SECONDS`; a name look-up knows no limit of time, hence the thread."""
    import pooch

    answering: list[str] = []
    failures: list[BaseException] = []
    ask = pooch.HTTPDownloader(timeout=_NETWORK_SECONDS)

    def look() -> None:
        for number, mirror in enumerate(mirrors):
            try:
                ask(mirror, None, None, check_only=True)
                answering.extend(mirrors[number:])
                return
            except Exception as error:
                cause: BaseException = error
                while cause.__context__ is not None:  # what requests and urllib3 put around it takes lines
                    cause = cause.__context__
                failures.append(cause)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(2 * _NETWORK_SECONDS)
    if not answering:
        reason = _told(failures[0]) if failures else f"no answer in {2 * _NETWORK_SECONDS:.0f} s"
        raise OSError(reason if "certificate" in reason else f"no network ({reason})")
    return answering
