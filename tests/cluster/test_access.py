"""How a cluster is reached."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from cluster.access import (
    _LONGEST_ROOT,
    _LONGEST_TMPDIR,
    check_address,
    check_room,
    ensure_token,
    private_folder,
    refuse_lost_token,
    shorten_tmpdir,
    temporary_root,
)
from trainables.errors import UserError


def test_a_cluster_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        check_address("127.0.0.1:1")
    with pytest.raises(UserError, match="must be host:port or auto, got 'nowhere'"):
        check_address("nowhere")
    with pytest.raises(UserError, match="must be host:port or auto, got ray://head:10001, which is Ray Client's\nuse"):
        check_address("ray://head:10001")


@pytest.mark.parametrize(
    ("address", "fault"), [("127.0.0.1:1", "no Ray cluster answers"), ("http://127.0.0.1:8265", "must be host:port")]
)
@pytest.mark.parametrize("asked", ["given", "auto"])
def test_an_address_of_the_environment_is_called_by_its_variable(
    address: str, fault: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=fault) as error:
        check_address(address if asked == "given" else "auto")
    assert "RAY_ADDRESS" in str(error.value)
    assert "--address" not in str(error.value)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for what Ray writes, as no variable says yet."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        yield Path(folder)


def test_ray_writes_where_its_variables_say(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert private_folder() == Path(f"/tmp/ray-{os.getuid()}/ray")
    monkeypatch.setenv("TMPDIR", str(short))
    assert private_folder() == short / f"ray-{os.getuid()}" / "ray"
    (short / "x").mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(short / "x"))
    assert private_folder() == short / "x" / f"ray-{os.getuid()}" / "ray"
    assert (short / "x" / f"ray-{os.getuid()}").stat().st_mode & 0o777 == 0o700


def test_a_socket_finds_room_in_the_longest_folder_and_in_no_longer_one(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = short / ("x" * (_LONGEST_ROOT - len(str(short)) - 1))
    longest.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(longest))
    path = private_folder() / "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))  # OSError above 107 bytes
    monkeypatch.setenv("RAY_TMPDIR", f"{longest}x")
    with pytest.raises(UserError, match=f"RAY_TMPDIR must have at most {_LONGEST_ROOT} bytes"):
        private_folder()
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", f"{longest}x")  # which others may need as it is
    assert temporary_root() == Path("/tmp")


@pytest.mark.parametrize(
    ("number", "rule"),
    [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EROFS, "must be a folder that can be written")],
)
def test_a_temporary_folder_is_called_what_it_is(
    number: int, rule: str, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    monkeypatch.setattr(os, "posix_fallocate", Mock(side_effect=OSError(number, os.strerror(number))))
    with pytest.raises(UserError, match=f"^RAY_TMPDIR {short} {rule}.*\nset RAY_TMPDIR"):
        private_folder()


def test_a_temporary_folder_that_is_none_is_named(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short / "gone"))
    with pytest.raises(UserError, match=r"^TMPDIR .*gone must be a folder that can be written: No such file"):
        private_folder()


def test_the_token_is_beside_what_ray_writes_where_home_cannot_be_written(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    monkeypatch.setenv("HOME", "/proc")  # nor can root
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    ensure_token()
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert token == short / f"ray-{os.getuid()}" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64


@pytest.mark.parametrize(("content", "fault"), [(None, "No such file or directory"), (" \n", "it is empty")])
def test_a_token_that_is_not_where_a_variable_says_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, fault: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with pytest.raises(UserError, match=rf"^RAY_AUTH_TOKEN_PATH must name a file .*token': {fault}\nput the token"):
        refuse_lost_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123")  # which goes before
    refuse_lost_token()


def test_a_folder_without_sockets_is_named_before_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of exFAT, or of a folder that a virtual machine shares."""
    check_room(tmp_path, "the folder")
    assert list(tmp_path.iterdir()) == []

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("socket.socket.bind", refused)
    with pytest.raises(UserError, match=r"must be a folder in which a program can listen, .*: Operation not"):
        check_room(tmp_path, "the folder")


def test_what_is_too_long_for_a_socket_is_not_where_other_processes_put_theirs(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python's multiprocessing does, which knows no other place than TMPDIR."""
    for size, expected in ((_LONGEST_TMPDIR, None), (_LONGEST_TMPDIR + 1, "/tmp")):
        place = short / ("x" * (size - len(str(short)) - 1))
        place.mkdir()
        monkeypatch.setenv("TMPDIR", str(place))
        shorten_tmpdir()
        assert os.environ["TMPDIR"] == (expected or str(place))
        code = "from multiprocessing.connection import Listener; Listener(family='AF_UNIX').close()"
        subprocess.run([sys.executable, "-c", code], check=True)
