"""How a cluster is reached, and by whom: its address, the token, encryption, and folders that others do not enter."""

import errno
import ipaddress
import os
import re
import secrets
import socket
import tempfile
import uuid
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil

from cluster.ray_private import is_copied_for_a_job
from trainables.errors import UserError, reason_of
from trainables.process import closed_folder
from trainables.text import legible

_CONNECT_SECONDS = 5.0
_ADDRESS_HINT = "it is that of the head's `ray start --head`, such as 10.0.0.1:6379, and not the dashboard's"
_ANOTHER = "set RAY_TMPDIR to a folder with room"
_ROOM_BYTES = 16 << 20  # what Ray writes while it starts, and its first logs
_LONGEST_SOCKET = 107  # bytes of its path, and of what may hold those of Ray and of Python's multiprocessing:
_LONGEST_ROOT = _LONGEST_SOCKET - len(
    f"/ray-{os.getuid():0>8}/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
)
_LONGEST_TMPDIR = _LONGEST_SOCKET - len("/pymp-01234567/listener-01234567")
_TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def _token_path() -> Path | None:
    """Where Ray keeps the token that the processes of a cluster show each other; None where a variable has it."""
    return None if any(name in os.environ for name in _TOKEN_VARIABLES) else Path.home() / ".ray" / "auth_token"


def ensure_token() -> None:
    """Make the token that the processes of a cluster show each other, unless there is one; mode 0600. Where the home
    cannot be written it is beside what Ray writes, and a variable says so to Ray. Raises: as `temporary_root`."""
    path = _token_path()
    if path is None:
        return
    try:
        if not (path.is_file() and os.access(path, os.R_OK)):
            _make_token(path)
        elif path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError:
        path = private_folder().with_name("auth_token")
        _make_token(path)
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)


def _make_token(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    # whole and closed to others from the moment that it has its name; who comes second takes the first's
    handle, new = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        Path(new).unlink()
    path.chmod(0o600)


def refuse_lost_token() -> None:
    """Raises: UserError where a variable names a file for the token, and none is there that can be read."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named is None or os.environ.get("RAY_AUTH_TOKEN"):
        return
    try:
        if Path(named).read_bytes().strip():
            return
        fault = "it is empty"
    except (OSError, ValueError) as error:
        fault = reason_of(error)
    rule = f"RAY_AUTH_TOKEN_PATH must name a file with the cluster's token, got {named!r}: {fault}"
    raise UserError(f"{rule}\nput the token there, or unset the variable: a cluster on this machine makes one")


def use_token() -> None:
    """Have the token, where there is one, asked for by a cluster that this process starts, and shown to one that it
    joins: not every Ray does the one by itself, nor `ray.init` the other. To be called before Ray is imported. Raises:
    as `refuse_lost_token`."""
    refuse_lost_token()
    path = _token_path()
    if path is None or os.access(path, os.R_OK):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def temporary_root() -> Path:
    """Where Ray may write: RAY_TMPDIR, else TMPDIR, else /tmp; /tmp too where TMPDIR is too long for a socket's path.
    Raises: UserError where it cannot be written, is full, or RAY_TMPDIR too long."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    root = Path(os.path.realpath(os.environ[variable])) if variable else Path("/tmp")
    if variable and (size := len(os.fsencode(root))) > _LONGEST_ROOT:
        if variable == "RAY_TMPDIR":
            rule = f"RAY_TMPDIR must have at most {_LONGEST_ROOT} bytes, as the paths of sockets have {_LONGEST_SOCKET}"
            raise UserError(f"{rule}, got {size}: {root}\nset it to a shorter one")
        variable, root = None, Path("/tmp")
    what = f"{variable or 'the temporary folder'} {root}"
    if legible(str(root)) != str(root):
        raise UserError(f"{what} must have a name in UTF-8, as Ray writes it\n{_ANOTHER}")
    check_room(root, what)
    return root


def shorten_tmpdir() -> None:
    """Have other processes use the temporary root where TMPDIR is too long for the sockets of Python's multiprocessing,
    by which Ray's dashboard starts its parts. Raises: as `temporary_root`."""
    if len(os.fsencode(os.environ.get("TMPDIR", ""))) > _LONGEST_TMPDIR:
        os.environ["TMPDIR"] = str(temporary_root())


def check_room(folder: Path, what: str) -> None:
    """Raises: UserError where Ray could not write its first files in a folder, which is called ``what``: it would say
    so in a log of its own."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            os.posix_fallocate(probe.fileno(), 0, _ROOM_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fault = f"is full: Ray needs {_ROOM_BYTES >> 20} MiB there ({error.strerror})"
        else:
            fault = f"must be a folder that can be written: {error.strerror}"
        raise UserError(f"{what} {fault}\n{_ANOTHER}") from error
    place = folder / f".{uuid.uuid4().hex[:8]}"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(place))
    except OSError as error:
        if error.errno:  # else its path is too long for one, which is told elsewhere
            fault = "must be a folder in which a program can listen, which its disk does not allow"
            raise UserError(f"{what} {fault}: {error.strerror}\n{_ANOTHER}") from error
    finally:
        place.unlink(missing_ok=True)


def private_folder() -> Path:
    """A folder for what Ray writes, below one that no other user of this machine enters: Ray opens its own to all,
    sockets and logs too. Raises: as `temporary_root`."""
    folder = closed_folder(temporary_root(), "ray")
    check_room(folder, f"the temporary folder {folder}")  # it may be a mount of its own
    return folder / "ray"


def check_address(address: str | None, trusted_network: bool = False) -> str | None:
    """The address as Ray is told of it: "auto" is RAY_ADDRESS, where there is one; None is this machine. Raises:
    UserError where nobody answers, or others could listen: Ray itself waits for minutes where no cluster is."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    if address in (None, "local", "auto"):
        return "auto" if address == "auto" else None
    if address.startswith("ray://"):
        way_out = "use its head's, such as 10.0.0.1:6379, on a machine that reaches all nodes, or `ray job submit`"
        raise UserError(
            f"{said_by(address)} must be host:port or auto, got {address}, which is Ray Client's\n{way_out}"
        )
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        raise UserError(f"{said_by(address)} must be host:port or auto, got {address!r}\n{_ADDRESS_HINT}")
    refuse_eavesdroppers(address, trusted_network)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        leave_out = "unset RAY_ADDRESS" if said_by(address) == "RAY_ADDRESS" else "leave --address out"
        raise UserError(
            f"no Ray cluster answers at {address}, as {said_by(address)} says: {reason_of(error)}\n"
            f"start one with `ray start --head`, or {leave_out} to run on this machine"
        ) from error
    return address


def said_by(address: str) -> str:
    """The name of what says an address: a variable that a person may have forgotten, or the option."""
    return "RAY_ADDRESS" if address == os.environ.get("RAY_ADDRESS") else "--address"


def refuse_eavesdroppers(address: str, trusted_network: bool) -> None:
    """Raises: UserError for an address on another machine where nothing is encrypted, as what a driver sends is run
    there, and who sees its token can send as much."""
    if trusted_network or os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true"):
        return
    host = address.rpartition(":")[0].strip("[]")
    try:
        found = [ipaddress.ip_address(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError, ValueError) as error:
        fault = f"no Ray cluster answers at {address}, as {said_by(address)} says: {reason_of(error)}"
        raise UserError(f"{fault}\n{_ADDRESS_HINT}") from error
    own = (a for a in chain(*psutil.net_if_addrs().values()) if a.family in (socket.AF_INET, socket.AF_INET6))
    here = {ipaddress.ip_address(a.address.partition("%")[0]) for a in own}
    if not all(ip.is_loopback or ip in here for ip in found):
        raise UserError(
            f"a cluster on another machine must be reached by TLS (RAY_USE_TLS=1), got {said_by(address)} {address}\n"
            "--trusted-network says that nobody else can listen there; see cluster/README.md"
        )


def refuse_vanishing(path: Path) -> None:
    """Raises: UserError for a path in the copy of a working directory that Ray makes for a job."""
    if is_copied_for_a_job(path):
        raise UserError(
            f"--out must be outside the job's working directory, which Ray removes, got {path}\n"
            "give an absolute path, in a folder that all nodes see"
        )
