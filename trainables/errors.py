"""The exceptions that command lines show without a traceback, their exit codes, and how a library's are said."""

from difflib import get_close_matches
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class ExitCode(IntEnum):
    """What each command of this project exits with. `python -m studies status` has three more of its own."""

    DONE = 0
    FAILED = 1  # it began, and could not be done: `UserError`; what was done before is kept
    WRONG_OPTION = 2  # it asks for what cannot be, and so nothing was begun: `OptionError`, and Typer's own
    ENDED_EARLY = 3
    INTERRUPTED = 130  # Ctrl-C, as shells count it


class UserError(Exception):
    """A mistake the person at the keyboard can mend. Its text, a line or two, names the thing, the rule, the value."""


class StudyWarning(UserWarning):
    """What a person should know of a study that goes on; said as a `UserError` is, and once."""


class WaitWarning(StudyWarning):
    """What a command waits for, said each time."""


class DamagedError(UserError):
    """A study's folder that is damaged, whatever option names it."""


class OptionError(UserError):
    """A command line's option with a value that it cannot have."""


def reason_of(error: BaseException) -> str:
    """Why something failed, in a line: what the system says, without its numbers; else what the error itself says."""
    said = (isinstance(error, OSError) and error.strerror) or str(error).strip() or type(error).__name__
    return str(said).splitlines()[0].rstrip(".")


class EndedEarly(Exception):  # noqa: N818 (it is no error)
    """A study is to end before its plan is done, in order and through no fault: what is open is closed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after which what was under way has come to its end."""


# pydantic's kinds of problem -> our rule, with what pydantic knows of it
_RULES = {
    "greater_than_equal": "at least {ge:,}",
    "greater_than": "above {gt:,}",
    "less_than_equal": "at most {le:,}",
    "less_than": "below {lt:,}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "literal_error": "one of {expected}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    **dict.fromkeys(["int_type", "int_parsing", "int_parsing_size", "int_from_float"], "a whole number"),
    **dict.fromkeys(["float_type", "float_parsing"], "a number"),
    **dict.fromkeys(["bool_type", "bool_parsing"], "true or false"),
    **dict.fromkeys(["tuple_type", "list_type"], "a list"),
    **dict.fromkeys(["model_type", "model_attributes_type", "dict_type"], "an object of fields"),
    "string_type": "text",
}


def explain(error: "ValidationError", most: int | None = None) -> str:
    """A pydantic error, or at ``most`` so many of its problems, in our words, a line a problem, and the way out of some
    in another: "model.latent_dim must be at least 1, got 0"."""
    return "\n".join(map(_explained, error.errors()[:most]))


def not_a_record(path: "Path", what: str, error: "ValidationError", way_out: str) -> str:
    """What to say of a file that is not ``what`` it should be; or that a newer version wrote, which has fields and
    definitions that this one has not."""
    found = error.errors()
    newer = (it for it in found if it["type"] == "extra_forbidden" or it["loc"][-1:] == ("definitions",))
    if problem := next(newer, None):
        field = f"{'.'.join(map(str, problem['loc']))} = {problem['input']!r:.200}"
        return f"{path} must be of this version or an older one, which know no {field}\nupdate, or {way_out}"
    missing = found[0]["type"] == "missing"
    fault = f"it has no {found[0]['loc'][-1]!r}" if missing else explain(error, 1).splitlines()[0]
    return f"{path} is not {what}: {fault:.300}\nrestore it, or {way_out}"


def _explained(problem: "ErrorDetails") -> str:
    path, known = ".".join(map(str, problem["loc"])), problem.get("ctx", {})
    if problem["type"] == "value_error":  # ours: of a model's own field, of this one, or of anything
        text = problem["msg"].removeprefix("Value error, ")
        between = "." if problem["loc"][-1:] == ("model",) else " " if text.startswith("must") else ": "
        return f"{path}{between}{text}" if path else text
    if problem["type"] == "missing":
        is_place = isinstance(problem["loc"][-1], int)  # in a field of several values
        return f"{path} must have more values, got {problem['input']!r:.200}" if is_place else f"{path} must be there"
    rule, near = _RULES.get(problem["type"], ""), list[str]()
    if "expected" in known:  # as pydantic lists them: "'adam' or 'adamw'"
        known = known | {"expected": str(known["expected"]).replace(" or ", ", ").replace("'", "")}
        near = get_close_matches(str(problem["input"]).lower(), known["expected"].split(", "), n=1)
    known = {name: int(it) if isinstance(it, float) and it.is_integer() else it for name, it in known.items()}
    said = f"must be {rule.format(**known)}" if rule else problem["msg"].removeprefix("Input ")
    way_out = f"\ndid you mean {near[0]}?" if near else ""
    return f"{path} {said}, got {problem['input']!r:.200}{way_out}".strip()
