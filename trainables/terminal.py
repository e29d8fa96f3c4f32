"""What is printed as tables and facts: for people in a terminal, and for programs in a pipe."""

import csv
import math
import os
import sys
import termios
import textwrap
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from trainables.text import printable

_MINUTE = 60.0  # seconds
_UNKNOWN = "-"
_GAP = 2  # blanks between columns
_NAME_SHARE = 1 / 3  # of the width: a longer name has a line of its own
_UNBOUNDED = 10_000  # the width of what is no terminal


def screen(stderr: bool = False) -> Console:
    """Where a command prints for a person. It is a terminal where one is there that can move its cursor, whatever
    FORCE_COLOR and COLUMNS say: what goes into a pipe or a log has no control characters, nor what goes into a
    notebook's cell, whose ``!command`` has a terminal that keeps them all."""
    stream = sys.stderr if stderr else sys.stdout
    moves = os.environ.get("TERM", "") not in ("dumb", "unknown") and "JPY_PARENT_PID" not in os.environ
    is_terminal = stream is not None and stream.isatty() and moves
    width = None if is_terminal else _UNBOUNDED
    return Console(stderr=stderr, highlight=False, markup=False, force_terminal=is_terminal, width=width)


class Seldom:
    """When to print a line in a log, where no bar is seen: after so many seconds, then once a minute."""

    def __init__(self, first: float) -> None:
        self._next = time.monotonic() + first

    def is_due(self) -> bool:
        """Whether to print one now; then the next is due in a minute."""
        if (now := time.monotonic()) < self._next:
            return False
        self._next = now + _MINUTE
        return True


@contextmanager
def silent_keys() -> Iterator[None]:
    """Inside, the keyboard's terminal does not show what is typed, such as the ^C that would push a board out of its
    place, and draws to its end what ^C meets half drawn. Only in the foreground: a terminal stops who asks for that in
    the background."""
    before = _keys()
    if before is not None:
        local = before[3] & ~termios.ECHO | termios.NOFLSH
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, [*before[:3], local, *before[4:]])
    try:
        yield
    finally:
        if before is not None and _keys() is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _keys() -> list[Any] | None:
    """How the keyboard's terminal is set, if this process may set it."""
    with suppress(termios.error, ValueError, OSError, AttributeError):  # no keyboard, or a closed one
        if os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
            return termios.tcgetattr(sys.stdin)
    return None


@dataclass(frozen=True)
class Column:
    """What a terminal shows of a row: under which title, with its unit, and in which format."""

    name: str
    title: str
    format: str = ""
    is_text: bool = False  # stands to the left

    def is_unknown(self, row: Mapping[str, Any]) -> bool:
        """Whether the row has nothing to show here."""
        return _is_unknown(row.get(self.name))

    def cell(self, row: Mapping[str, Any]) -> str:
        """What is unknown is a dash; a fraction without a format, as a searched one, has four digits."""
        value = row[self.name]
        is_fraction = isinstance(value, float) and not value.is_integer()
        return _UNKNOWN if _is_unknown(value) else _line(format(value, self.format or ".4g" * is_fraction))

    def padded(self, text: str, size: int) -> str:
        """A cell of so many characters."""
        blanks = " " * (size - cell_len(text))
        return text + blanks if self.is_text else blanks + text


def print_table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    console: Console,
    unknown: str = "",
    is_data: bool = True,
) -> None:
    """Rows of the same keys; None and NaN are unknown. In a terminal they have the ``columns``, of which the first
    names the row and the others come in the order of their importance: those without room are left out, and named
    below. Nothing is cut or broken. What a dash means is said once: ``unknown``.

    Elsewhere it is ``is_data``, tab-separated: all keys, a header, numbers in full precision and nothing where they are
    unknown, as `pandas.read_table` reads it; or the same table as in a terminal of any width."""
    if is_data and not console.is_terminal:
        writer = csv.writer(console.file, delimiter="\t", lineterminator="\n")
        writer.writerow(rows[0] if rows else [column.name for column in columns])
        writer.writerows([_datum(value) for value in row.values()] for row in rows)
        return
    width = console.width if console.is_terminal else _UNBOUNDED
    cells = [[column.cell(row) for column in columns] for row in rows]
    widths = _widths(columns, cells, width)
    fitting = sum(end - _GAP <= width for end in accumulate(size + _GAP for size in widths))
    shown = columns[: max(2, fitting)]
    for number, line in enumerate(_table_lines(shown, cells, widths)):
        console.print(Text(line, "" if number else "bold"), soft_wrap=True)
    if unknown and any(_UNKNOWN in row[: len(shown)] for row in cells):
        print_text(f"{_UNKNOWN}: {unknown}", console)
    if more := [column.title for column in columns[len(shown) :]]:
        print_text(f"with a wider terminal {len(more)} more: {'; '.join(more)}", console)


def _is_unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _datum(value: Any) -> Any:
    return "" if _is_unknown(value) else _line(value) if isinstance(value, str) else value


def _line(text: str) -> str:
    return printable(text).replace("\n", "?")


def _widths(columns: Sequence[Column], cells: list[list[str]], width: int) -> list[int]:
    """What each column takes; the names, without those that have a line of their own."""
    titles = [cell_len(column.title) for column in columns]
    sizes = [[cell_len(text) for text in row] for row in cells]
    for row in sizes:
        row[0] = row[0] if row[0] <= _NAME_SHARE * width else 0
    return [max(each) for each in zip(titles, *sizes, strict=True)]


def _table_lines(columns: Sequence[Column], cells: list[list[str]], widths: list[int]) -> Iterator[str]:
    for row in [[column.title for column in columns], *cells]:
        name = row[0]
        if cell_len(name) > widths[0]:
            yield name
            name = ""
        line = zip(columns, [name, *row[1:]], widths, strict=False)
        yield (" " * _GAP).join(column.padded(text, size) for column, text, size in line).rstrip()


def print_facts(facts: Mapping[str, str | Sequence[str]], console: Console, whole: Collection[str] = ()) -> None:
    """What is known by name, in a line or more; a terminal's are broken between words, but for those that are
    ``whole``, as a command that a person may copy."""
    size = max(map(cell_len, facts), default=0) + _GAP
    for name, found in facts.items():
        texts = [_line(text) for text in ([found] if isinstance(found, str) else found)]
        lines = texts if name in whole else [line for text in texts for line in _folded(text, console, size)]
        for number, line in enumerate(lines):
            console.print(Text(("" if number else name).ljust(size) + line), soft_wrap=True)


def print_text(text: str, console: Console) -> None:
    """A sentence; a terminal's is broken between words."""
    for line in _folded(_line(text), console):
        console.print(Text(line), soft_wrap=True)


def _folded(text: str, console: Console, indent: int = 0) -> list[str]:
    if not console.is_terminal:
        return [text]
    room = max(20, console.width - indent)
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
