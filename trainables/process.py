"""What a command makes of the process that it was started in: its streams, its signals, what a person's own settings
would do to it. Libraries are left as they are found; only `trainables.console.run` calls `settle`."""

import errno
import getpass
import io
import logging
import os
import select
import stat
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from trainables.errors import StudyWarning, WaitWarning
from trainables.interrupts import raise_interrupts
from trainables.text import printable

lost: list[OSError] = []
"""Why what was printed is not all there, such as a full disk."""


def settle() -> None:
    """Make this process ready for a command, before it writes anything."""
    _open_streams()
    _have_name_and_home()
    _have_threads_on_all_cores()
    sys.stdout, sys.stderr = _unfailing(sys.stdout, 1), _unfailing(sys.stderr, 2)
    raise_interrupts()
    os.environ.pop("PYTHONOPTIMIZE", None)  # without their docstrings, Ray's processes end at once
    # libraries' warnings are for who writes programs with them (`python -W default`); Ray's must not die of one
    theirs = os.environ.pop("PYTHONWARNINGS", "").split(",")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if os.environ.get("TORCH_DISTRIBUTED_DEBUG") == "DETAIL":
        os.environ["TORCH_DISTRIBUTED_DEBUG"] = "INFO"  # with that, torch's own DDP over gloo ends in SIGSEGV
    if not set(sys.warnoptions) - set(theirs):
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", StudyWarning)  # each once
        warnings.simplefilter("always", WaitWarning)
        warnings.showwarning = _show  # type: ignore[assignment]
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _open_streams() -> None:
    """Have the three standard descriptors taken where they were closed (`>&-`): the next file that is opened would get
    their number, and what a library prints."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _have_name_and_home() -> None:
    """Have what libraries ask for where this user is in no list of users, as in a container: a name, and a home."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user-{os.getuid()}"
    try:
        Path.home()
    except RuntimeError:
        with suppress(OSError):  # without it, what needs one says so
            os.environ["HOME"] = str(closed_folder(Path(tempfile.gettempdir()), "home"))


def _have_threads_on_all_cores() -> None:
    """Pass over what is no number of threads, such as "auto": of it the libraries of every process would complain; and
    over what binds threads to cores, which would have all processes of a study at once on the first ones."""
    for name in ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"):
        os.environ.pop(name, None)
    threads = [text.strip() for text in os.environ.get("OMP_NUM_THREADS", "1").split(",")]
    if not all(text.isascii() and text.isdecimal() and int(text) for text in threads):
        del os.environ["OMP_NUM_THREADS"]


def closed_folder(root: Path, name: str) -> Path:
    """A folder of this user's in ``root``, such as ray-1000, that no other user enters; a new one where another has
    taken that name. Raises: OSError."""
    path = root / f"{name}-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
    path.chmod(0o700)
    return path


def _unfailing(stream: TextIO | None, descriptor: int) -> TextIO:
    """A standard stream that takes any text, escaped where its encoding lacks letters, and that nobody need read. What
    has taken its place, such as a notebook's, is left as it is."""
    try:
        if stream is not None and not stream.closed and stream.fileno() != descriptor:
            return stream
    except (io.UnsupportedOperation, AttributeError):  # it is no file
        return stream  # type: ignore[return-value]
    written = io.BufferedWriter(_Unheard(descriptor, "w", closefd=False))
    encoding = stream.encoding if stream else "utf-8"
    at_once = descriptor == 2 or os.isatty(descriptor) or getattr(stream, "write_through", False)
    return io.TextIOWrapper(written, encoding, "backslashreplace", line_buffering=at_once)


class _Unheard(io.FileIO):
    """A standard stream's file. Where nobody reads it any more (`| head`, a terminal that was closed, a log on a full
    disk), what is written goes nowhere: a training does not end for that."""

    def write(self, content: Any) -> int:
        try:
            while (count := super().write(content)) is None:  # a pipe that does not block, and is full
                select.select([], [self], [])
            return count
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # that nobody reads is no fault
                lost.append(error)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(content) or 0


def _show(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a warning of this project's, in the style of its errors."""
    if issubclass(category, StudyWarning):
        print(f"warning: {printable(str(message))}", file=sys.stderr)
