"""The exceptions that command lines show without a traceback, their exit codes, and how a library's are said."""

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class ExitCode(IntEnum):
    """What each command of this project exits with. `python -m studies status` has three more of its own."""

    DONE = 0
    FAILED = 1  # something that the person at the keyboard can mend: `UserError`
    WRONG_OPTION = 2  # the command line asks for what there is not: `OptionError`, and Typer's own
    ENDED_EARLY = 3
    INTERRUPTED = 130  # Ctrl-C, as shells count it


class UserError(Exception):
    """A mistake the person at the keyboard can mend. Its text, a line or two, names the thing, the rule, the value."""


class StudyWarning(UserWarning):
    """What a person should know of a study that goes on; said as a `UserError` is."""


class OptionError(UserError):
    """A command line's option with a value that it cannot have."""


class EndedEarly(Exception):  # noqa: N818 (it is no error)
    """A study is to end before its plan is done, in order and through no fault: what is open is closed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after which what was under way has come to its end."""


def explain(error: "ValidationError") -> str:
    """A pydantic error as one line a problem: "model.latent_dim: must be at least 1, got 0"."""
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        got = "" if problem["type"] == "value_error" else f", got {problem['input']!r}"
        lines.append(f"{where}: {message}{got}" if where else f"{message}{got}")
    return "\n".join(lines)
