"""The one way in which this project's command lines are made, run, and say what went wrong."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from trainables.errors import EndedEarly, ExitCode, OptionError, UserError, explain
from trainables.process import settle
from trainables.text import printable


def _print_version(asked: bool) -> None:
    if asked:
        print(version("vae-studies"))
        raise typer.Exit


_version_flag = typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
Version = Annotated[bool, _version_flag]  # an option of every command that is not one of a group


def command_line(help: str | None = None, no_args_is_help: bool = False) -> typer.Typer:
    """A program of one command, which takes `Version` itself."""
    plain: Any = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
    return typer.Typer(help=help, no_args_is_help=no_args_is_help, **plain)


def command_group(help: str) -> typer.Typer:
    """A program of several commands."""
    app = command_line(help, no_args_is_help=True)

    @app.callback()
    def _options(_version: Version = False) -> None:
        """Take the options of the program itself."""

    return app


@contextmanager
def checked_options() -> Iterator[None]:
    """Inside, values of options become what they configure. Raises: OptionError for one that is refused."""
    try:
        yield
    except ValidationError as error:
        raise OptionError(explain(error)) from error
    except ValueError as error:
        raise OptionError(str(error)) from error


def run(app: typer.Typer, name: str | None = None, leave: Callable[[int], NoReturn] = sys.exit) -> None:
    """Run a command line, called ``name`` in its help, to the end of this process, which ``leave`` ends with one of
    `ExitCode`. What a person can mend is told in a line or two."""
    settle()
    try:
        app(prog_name=name)
    except EndedEarly as early:
        print(f"the study ended early: {early}; the same command goes on from there")
        leave(ExitCode.ENDED_EARLY)
    except UserError as error:
        code, text = ExitCode.WRONG_OPTION if isinstance(error, OptionError) else ExitCode.FAILED, str(error)
    except OSError as error:
        code, text = ExitCode.FAILED, f"{error.strerror}: {error.filename}" if error.filename else str(error)
    print(f"error: {printable(text)}", file=sys.stderr)
    leave(code)
