"""What Ray leaves in temporary folders: a folder a session, with its logs, which it never removes, and one of Python's
multiprocessing, as it kills its dashboard before that can."""

import os
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

_KEPT_SECONDS = 86_400.0  # after a session that ended badly: somebody may want to read its logs


def remove_ended(folder: Path, own: Path) -> None:
    """Remove from ``folder`` the sessions that ended a day ago or longer, and were not removed as ``own`` will be at
    the end of its command. Those that still run, here or in another container that shares the folder, stay."""
    for path in folder.iterdir():
        if path.is_symlink():  # to the latest session, and to a file of it
            if not path.exists():
                path.unlink(missing_ok=True)
        elif path.name.startswith("session_") and path != own and not _is_kept(path):
            remove(path)


def remove(session: Path) -> None:
    """Remove a session that has ended, as far as that can be."""
    shutil.rmtree(session, ignore_errors=True)


def listening_folders() -> set[Path]:
    """Those of Python's multiprocessing in which this process' descendants listen."""
    found = set[Path]()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            paths = (Path(str(each.laddr)) for each in process.net_connections("unix"))
            found |= {path.parent for path in paths if path.parent.name.startswith("pymp-")}
    return found


def _is_kept(session: Path) -> bool:
    with suppress(OSError, ValueError):
        driver = int(session.name.rpartition("_")[2])
        last_written = max(path.stat().st_mtime for path in (session, session / "logs") if path.exists())
        if not psutil.pid_exists(driver) and time.time() - last_written > _KEPT_SECONDS:
            return any(map(_answers, session.glob("sockets/*")))
    return True


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True
