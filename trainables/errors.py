"""The exceptions that command lines show without a traceback, and how a library's are said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """A mistake the person at the keyboard can mend.

    Its text is one or two lines that name the thing, the rule and the value.
    """


class Early(Exception):
    """A study is to end before its plan is done, in order and through no fault: what is open is closed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after which what was under way has come to its end."""


def explain(error: ValidationError) -> str:
    """A pydantic error as one line a problem: "model.latent_dim: must be at least 1, got 0"."""
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        got = "" if problem["type"] == "value_error" else f", got {problem['input']!r}"
        lines.append(f"{where}: {message}{got}" if where else f"{message}{got}")
    return "\n".join(lines)
