"""Text before a person, or a shell, sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.text import as_typed, one_line, printable, python_command, spoken

WORDS = [
    "plain",
    "a b",
    "",
    "it's",
    'a "b" $HOME `id` \\',
    "Grüße 数字",
    "a\nb'c\\x41",
    "\x1b[2J",
    "*?[a]",
    "!x",
    "~",
    "-x",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_shell_reads_a_printed_command_as_it_was_meant(word: str) -> None:
    line = as_typed("printf", "%s|%s", word, "end")
    assert line.isprintable()
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == f"{word}|end".encode()


def test_bytes_that_are_no_text_are_escaped() -> None:
    name = os.fsdecode(b"caf\xe9 1")
    line = as_typed("printf", "%s", name)
    assert line.isascii()
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == b"caf\xe9 1"


def test_a_printed_command_runs_this_python_where_its_name_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    venv = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"{venv}{os.pathsep}/bin")
    assert python_command("-m", "studies") == "python -m studies"
    monkeypatch.setenv("PATH", f"/nowhere{os.pathsep}/bin")
    there = python_command("-c", "import sys; print(sys.prefix)")
    assert subprocess.run(["sh", "-c", there], capture_output=True, text=True, check=True).stdout.strip() == sys.prefix


def test_blanks_and_joiners_of_other_scripts_are_printed_and_what_moves_a_cursor_is_not() -> None:
    names = (
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f469\u200d\U0001f52c",
        "Foto\u3000\u732b",
        "a\u00a0b",
    )
    assert [printable(name) for name in names] == [*names]
    assert printable("a\u202eb\x1b[2Jc\u2028d\u200b") == "a?b?[2Jc?d?"


def test_a_path_is_no_option() -> None:
    assert as_typed("ls", Path("-rf"), Path("a b")) == "ls ./-rf 'a b'"


def test_a_path_is_in_one_line_and_moves_no_cursor() -> None:
    assert one_line(Path("a b/c.png")) == "a b/c.png"
    assert one_line("a\nb\x1b[31m\r\t.png") == "a?b?[31m??.png"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.84, "0.84 s"), (59.9, "60 s"), (600, "10 min"), (5 * 3600, "5.0 h"), (50 * 86_400, "50 days")],
)
def test_times_are_spoken(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
