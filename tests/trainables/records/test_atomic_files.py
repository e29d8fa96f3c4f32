"""What is written is read again, whatever the text."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest

from trainables.records.atomic_files import digest, seal, unseal, write_atomic

TEXTS = ["cat", "猫", "👩\u200d👩\u200d👧", "e\u0301", "\x00\x1b[31m\u2028", "a\n\r\tb", '"\\', "\ud800", "x" * 70_000]


@pytest.mark.parametrize("text", [*TEXTS, os.fsdecode(b"caf\xe9")])
def test_any_text_in_a_sealed_record_comes_back(text: str, tmp_path: Path) -> None:
    write_atomic(tmp_path / "record", seal({text: [text]}))
    assert unseal((tmp_path / "record").read_bytes()) == {text: [text]}


def test_a_copy_with_other_ends_of_lines_is_what_was_sealed() -> None:
    text = seal({"a": 1, "text": "b\r\nc\n"}, indent=2)
    assert text.count("\n") > 3
    assert unseal(text.replace("\n", "\r\n")) == {"a": 1, "text": "b\r\nc\n"}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "style", [{"indent": 4}, {"indent": "\t"}, {"separators": (",", ":")}, {"ensure_ascii": False}], ids=str
)
def test_what_a_formatter_sets_anew_is_what_was_sealed(indent: int | None, style: dict[str, Any]) -> None:
    values = {"a": [1, 0.1 + 0.2, 1e-9], "b": {"c": "caf\u00e9 \U0001f600", "d": None}, "e": True}
    anew = json.dumps(json.loads(seal(values, indent)), **style)
    assert unseal(anew) == values
    with pytest.raises(ValueError, match="does not fit its checksum"):
        unseal(anew.replace("true", "false"))


def test_a_page_with_a_name_that_is_not_utf_8_is_utf_8(tmp_path: Path) -> None:
    write_atomic(tmp_path / "page", os.fsdecode(b"caf\xe9 \xc3\xa9"))
    assert (tmp_path / "page").read_text("utf-8") == r"caf\xe9 é"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_no_number_of_json_is_refused_beside_any_text(number: str) -> None:
    body = f'{{"name": "\\udce9", "value": {number}'
    sealed = f'{body}, "content_sha256": "{digest(body.encode())}"}}'
    with pytest.raises(ValueError, match="is no number of JSON"):
        unseal(sealed)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(sealed)


def test_a_pipe_or_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no file that could be replaced"):
        write_atomic(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_flushed_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def flushed(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", flushed)
    write_atomic(tmp_path / "record", "text")
    assert (tmp_path / "record").read_text() == "text"
