"""What the command lines share: how they are made, and how they say what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from trainables.errors import UserError
from trainables.text import printable


def command_line(**options: Any) -> typer.Typer:
    """A program, or a command of one; ``options`` are Typer's."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **options)


def tell(error: str) -> None:
    """Print an error that is not the program's own."""
    print(f"error: {printable(error)}", file=sys.stderr)


@contextmanager
def guarded(leave: Callable[[int], NoReturn] = sys.exit) -> Iterator[None]:
    """A person's mistake, or a file that cannot be had, becomes a line or two and exit code 1."""
    try:
        yield
    except UserError as error:
        tell(str(error))
        leave(1)
    except OSError as error:
        tell(f"{error.strerror}: {error.filename}" if error.filename else str(error))
        leave(1)
