"""Tables and facts, in a terminal and in a pipe."""

from __future__ import annotations

import math
from io import StringIO
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from trainables.terminal import Column, print_facts, print_table, print_text, screen

COLUMNS = (
    Column("study", "study", is_text=True),
    Column("rate", "rate, nats", ".2f"),
    Column("count", "trials"),
    Column("kind", "data set", is_text=True),
    Column("bits", "bits/dim", ".4f"),
)
ROWS: list[dict[str, Any]] = [
    {"study": "a", "rate": 1.23456789012345, "count": 3, "kind": "digits", "bits": math.nan, "more": 0.1 + 0.2},
    {"study": "another of them", "rate": None, "count": 1234, "kind": "mnist", "bits": 2.5, "more": None},
]


def table(width: int | None, rows: list[dict[str, Any]] = ROWS, **more: Any) -> list[str]:
    """Of a terminal, or of a pipe where it has no width."""
    shown = StringIO()
    console = Console(file=shown, width=width, force_terminal=width is not None, color_system=None)
    print_table(rows, COLUMNS, console, **more)
    return shown.getvalue().splitlines()


def test_a_table_in_a_terminal() -> None:
    assert table(80, unknown="not measured") == [
        "study            rate, nats  trials  data set  bits/dim",
        "a                      1.23       3  digits           -",
        "another of them           -    1234  mnist       2.5000",
        "-: not measured",
    ]


def test_a_fraction_without_a_format_has_four_digits() -> None:
    column = Column("lr", "lr")
    cells = [column.cell({"lr": value}) for value in (0.0016886647953998767, 16.0, 1234567, "vamp", None)]
    assert cells == ["0.001689", "16.0", "1234567", "vamp", "-"]


@pytest.mark.parametrize("width", range(30, 81))
def test_what_has_no_room_is_left_out_whole_and_named(width: int) -> None:
    whole, shown = table(200), table(width)
    text = " ".join(shown)
    rows, _, more = text.partition("with a wider terminal ")
    assert all(len(line) <= width for line in shown)
    assert set(rows.split()) <= {cell for line in whole for cell in line.split()}
    left_out = [column.title for column in COLUMNS if column.title not in shown[0]]
    assert more == (f"{len(left_out)} more: {'; '.join(left_out)}" if left_out else "")


def test_a_long_name_has_a_line_of_its_own() -> None:
    long = "seed_0-prune_0.25-a_sampler_of_my_own/" * 3
    shown = table(60, [ROWS[0], ROWS[1] | {"study": long}])
    assert shown[:4] == [
        "study  rate, nats  trials  data set  bits/dim",
        "a            1.23       3  digits           -",
        long,
        "                -    1234  mnist       2.5000",
    ]


def test_what_is_wide_or_would_be_obeyed_is_printed() -> None:
    shown = table(80, [ROWS[0] | {"study": "数字"}, ROWS[1] | {"study": "\x1b[2J\n\t"}])
    assert shown[1].startswith("数字   ")
    assert shown[2].startswith("?[2J?? ")


def test_a_pipe_gets_data() -> None:
    rows = [ROWS[0] | {"study": 'a\tb "c"\n\x1b'}, ROWS[1]]
    lines = table(None, rows, unknown="not measured")
    assert lines[0] == "study\trate\tcount\tkind\tbits\tmore"
    assert lines[1] == '"a?b ""c""??"\t1.23456789012345\t3\tdigits\t\t0.30000000000000004'
    read = pd.read_table(StringIO("\n".join(lines)))
    assert read["more"].tolist()[0] == 0.1 + 0.2
    assert read["bits"].isna().tolist() == [True, False]
    assert read["study"].tolist() == ['a?b "c"??', "another of them"]
    assert table(None, []) == ["study\trate\tcount\tkind\tbits"]


def test_a_table_that_is_no_data_is_whole_in_a_pipe() -> None:
    assert table(None, is_data=False) == table(200)


def test_facts_are_broken_between_words_but_commands_are_not() -> None:
    command = "cd '/a folder' && python studies/digits_vae.py --out " + "x" * 60
    facts = {"state": "finished", "front": "trial " * 20, "go on by": command, "two": ["lines", "of it"]}
    shown = StringIO()
    print_facts(facts, Console(file=shown, width=50, force_terminal=True, color_system=None), whole=["go on by"])
    lines = shown.getvalue().splitlines()
    assert lines[0] == "state     finished"
    assert f"go on by  {command}" in lines
    assert [line for line in lines if len(line) > 50] == [f"go on by  {command}"]
    assert [
        line for line in lines if line.startswith("      ") and not set(line.split()) <= {"trial", "of", "it"}
    ] == []
    assert lines[-2:] == ["two       lines", "          of it"]
    shown = StringIO()
    print_facts(facts, Console(file=shown, width=50))
    assert len(shown.getvalue().splitlines()) == 5


def test_a_sentence_keeps_its_words() -> None:
    shown = StringIO()
    print_text("well-known " * 12, Console(file=shown, width=33, force_terminal=True, color_system=None))
    assert set(shown.getvalue().split()) == {"well-known"}
    assert max(map(len, shown.getvalue().splitlines())) <= 33


@pytest.mark.parametrize(
    ("is_terminal", "variables", "expected"),
    [
        (True, {"TERM": "xterm-256color"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (True, {"TERM": "dumb"}, False),  # as of an editor, which shows a line an event
        (False, {"TERM": "xterm", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}, False),
        (False, {"TERM": "xterm", "COLUMNS": "7"}, False),
        (True, {"TERM": "xterm-color", "JPY_PARENT_PID": "9"}, False),  # of a notebook's cell, which keeps each frame
    ],
)
def test_a_screen_is_what_it_is_whatever_variables_say(
    is_terminal: bool, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(StringIO):
        def isatty(self) -> bool:
            return is_terminal

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", stream := Stream())
    found = screen()
    assert found.is_terminal == expected
    found.print("x " * 100)
    assert expected or stream.getvalue() == "x " * 100 + "\n"


def test_a_command_that_nobody_can_see_prints_to_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    screen().print("x")
