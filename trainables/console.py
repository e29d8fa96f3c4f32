"""The one way in which this project's command lines are made, run, and say what went wrong: in two lines, the option as
it was typed, the rule and the value; then the way out."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from typer.main import get_command

from trainables.config import MEANT, TrialConfig
from trainables.errors import DamagedError, EndedEarly, ExitCode, OptionError, UserError, explain, reason_of
from trainables.process import lost, settle
from trainables.text import as_typed, printable
from vae_models import ModelConfig

_UsageError: Any = typer.BadParameter.__mro__[1]  # Typer's, or Click's, which it once had: by no public name in both
_FIELDS = TrialConfig.model_fields | ModelConfig.model_fields
_ASKED_BY = {"model.image_shape": "image_size"}  # what is never typed itself -> what it follows from
_PROBE_BYTES = 1 << 20  # what there is to be room for at least: a study's ledger, a page
_AGAIN = "once the system lets it, the same command tries again"
_ALIKE = 0.7  # from how alike two options are, as `difflib` has it, the one may be meant by the other


def _print_version(asked: bool) -> None:
    if asked:
        print(version("vae-studies"))
        raise typer.Exit


_version_flag = typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
Version = Annotated[bool, _version_flag]  # an option of every command that is not one of a group


def command_line(help: str | None = None, no_args_is_help: bool = False) -> typer.Typer:
    """A program of one command, which takes `Version` itself."""
    plain: Any = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
    plain["context_settings"] = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(help=help, no_args_is_help=no_args_is_help, **plain)


def command_group(help: str) -> typer.Typer:
    """A program of several commands."""
    app = command_line(help, no_args_is_help=True)

    @app.callback()
    def _options(_version: Version = False) -> None:
        """Take the options of the program itself."""

    return app


def path_of(text: str | Path) -> Path:
    """An option's or argument's path, as it was typed or is the default, its ``~`` replaced. Raises: typer.BadParameter
    for what cannot be one."""
    text = str(text)
    try:
        if not text.strip():
            raise ValueError("it is empty")
        if re.match(r"[A-Za-z][\w+.-]*://", text):
            raise ValueError("it is a URL")
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
        is_there = False
        with suppress(FileNotFoundError, NotADirectoryError):
            is_there = bool(path.stat())
        if not is_there and text != text.strip():  # as of a script that was written on Windows
            raise ValueError("it begins or ends in a space or a line end, and none is there")
        if not is_there and re.match(r"[A-Za-z]:[\\/]", text):
            raise ValueError("it is a path of Windows, whose disks have other names here (in WSL /mnt/c)")
        return path.absolute() if str(path).startswith("~") else path  # ./~ is no home, to whoever reads it later
    except RuntimeError as error:
        raise typer.BadParameter(f"must be a path, got {shortened(text)}: there is no such user's home") from error
    except (OSError, ValueError) as error:  # too long, a loop of links; a null byte
        raise typer.BadParameter(f"must be a path, got {shortened(text)}: {reason_of(error)}") from error


def folder_of(text: str | Path) -> Path:
    """The path of a folder, which may not be there yet, or whose files are known but not listed. Raises:
    typer.BadParameter."""
    path = path_of(text)
    if path.exists() and not path.is_dir():
        raise typer.BadParameter(f"must be a folder, got {shortened(text)}, which is a file")
    if path.exists() and not os.access(path, os.X_OK):
        raise typer.BadParameter(f"must be a folder that can be read, got {shortened(text)}")
    return path


def known_folder_of(text: str | Path) -> Path:
    """The path of a folder that is there, and can be listed. Raises: typer.BadParameter."""
    path = folder_of(text)
    if not path.exists():
        raise typer.BadParameter(f"must be a folder, got {shortened(text)}, which is not there")
    if not os.access(path, os.R_OK):
        raise typer.BadParameter(f"must be a folder that can be read, got {shortened(text)}")
    return path


def known_file_of(text: str | Path) -> Path:
    """The path of a file that can be read. Raises: typer.BadParameter."""
    path = path_of(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise typer.BadParameter(f"must be a file that can be read, got {shortened(text)}")
    return path


def new_page_of(text: str | Path) -> Path:
    """The path of a page that can be written, tried now and not after hours; it replaces no file but another page.
    Raises: typer.BadParameter."""
    path = path_of(text).absolute()
    if path.is_dir() or str(text).endswith("/"):
        raise typer.BadParameter(f"must be a file, got {shortened(text)}, which is a folder")
    if path.suffix.lower() not in (".html", ".htm") or (path.exists() and not path.is_file()):
        raise typer.BadParameter(f"must be a page (.html), got {shortened(text)}")
    if fault := unwritable(path.parent):
        raise typer.BadParameter(f"must be in a folder that can be written, got {shortened(text)}: {fault}")
    return path_of(text)


def unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, and filled; empty where one can be."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())  # a disk that is full may say so then
            return ""
    except OSError as error:
        return reason_of(error)


def shortened(text: str | Path) -> str:
    """What was typed, as an error quotes it."""
    text = str(text)
    return repr(text if len(text) <= 200 else f"{text[:120]}...{text[-40:]}")


@contextmanager
def checked_options() -> Iterator[None]:
    """Inside, values of options become what they configure, and what a command needs is looked at before it begins
    anything. Raises: OptionError for what is refused."""
    try:
        yield
    except (OptionError, DamagedError):
        raise
    except ValidationError as error:
        raise OptionError(explain(error, most=1)) from error
    except (ValueError, UserError) as error:
        raise OptionError(str(error)) from error


def run(app: typer.Typer, name: str | None = None, leave: Callable[[int], NoReturn] = sys.exit) -> None:
    """Run a command line, called ``name`` in its help (else as its script), to the end of this process, which ``leave``
    ends with one of `ExitCode`. What a person can mend is told in two lines."""
    settle()
    try:
        _refuse_lost_folder()
        called = name or as_typed("python", Path(sys.argv[0]))
        code = app(prog_name=called, standalone_mode=False) or ExitCode.DONE
        if code == ExitCode.INTERRUPTED:  # to Typer a Ctrl-C is a number
            raise KeyboardInterrupt
        sys.stdout.flush()
        if lost:
            raise UserError(f"what was printed is not all there: {reason_of(lost[0])}\n{_AGAIN}")
        leave(code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        leave(ExitCode.INTERRUPTED)
    except EndedEarly as early:
        print(f"the study ended early: {early}; the same command goes on from there")
        leave(ExitCode.ENDED_EARLY)
    except _UsageError as error:
        code, text = ExitCode.WRONG_OPTION, _usage(error)
    except OptionError as error:
        code, text = ExitCode.WRONG_OPTION, _with_options(str(error), get_command(app))
    except UserError as error:
        code, text = ExitCode.FAILED, str(error)
    except OSError as error:
        fault = f"{error.filename}: {error.strerror}" if error.filename else reason_of(error)
        code, text = ExitCode.FAILED, f"{fault}\n{_AGAIN}"
    print(f"error: {printable(_in_lines(text))}", file=sys.stderr)
    leave(code)


def _refuse_lost_folder() -> None:
    """Raises: UserError where the working folder is gone, without which libraries fail in ways of their own."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UserError("the working folder was removed or moved away\ncd to one that is there") from error


def _in_lines(text: str) -> str:
    """An error's text without the line ends of paths in it, as they were typed, are written, or are resolved."""
    typed = [word[word.startswith("--") and word.find("=") + 1 :] for word in sys.argv]
    folders: list[str] = []
    with suppress(FileNotFoundError):
        folders = [str(Path.cwd()), *map(os.path.realpath, typed)]
    paths = {*folders, *typed, *map(str, map(Path, typed))}
    for path in sorted(paths, key=len, reverse=True):  # the longest first: it may begin with another
        text = text.replace(path, path.replace("\n", "?")) if path.strip() else text
    return text


def _usage(error: Any) -> str:
    """Typer's or Click's error of usage in our words."""
    text, context = str(error.message), error.ctx
    way = f"`{context.command_path} --help` says what there is" if context else "--help says what there is"
    kind = type(error).__name__
    if kind == "NoArgsIsHelpError":
        said, way = "a command must be given", context.get_help()
    elif kind == "NoSuchOption":
        near = " or ".join(_near(error.option_name, error.possibilities or ()))
        path, options = _path_of(error.option_name), {param.name for param in context.command.params} if context else {}
        near = f"--set {path}=VALUE" if path and "set" in options else near
        said, way = f"there is no option {error.option_name}", f"did you mean {near}? {way}" if near else way
    elif kind == "BadOptionUsage":
        asked = re.search(r"requires (\d+) arguments", text)  # an option of several values
        values = (
            f"{asked[1]} values, with blanks between them" if asked else "a value" if "requires" in text else "no value"
        )
        said = f"{error.option_name} must have {values}"
    elif param := getattr(error, "param", None):
        said = f"{_shown(param)} {'must be given' if kind == 'MissingParameter' else _rule(error)}"
        way = _about(param) or way
    elif found := re.match(r"No such command '(.*?)'", text):
        said, way = (
            f"there is no command {found[1]!r}",
            f"there are {', '.join(context.command.list_commands(context))}",
        )
    elif found := re.match(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", text):
        said = f"there is no place for {found[1]!r}"
    else:
        said = text
    return f"{said}\n{way}"


def _path_of(option: str) -> str | None:
    """The field of the configuration that an option such as --batch-size or --latent_dim would be of."""
    name = option.lstrip("-").replace("-", "_")
    if name in MEANT or name in TrialConfig.model_fields.keys() - {"model"}:
        return MEANT.get(name, name)
    return f"model.{name}" if name in ModelConfig.model_fields else None


def _near(typed: str, options: Sequence[str]) -> list[str]:
    """The options that are begun so, or are written almost so."""
    begun = [option for option in options if option.startswith(typed)]
    return begun or get_close_matches(typed, options, n=2, cutoff=_ALIKE)


def _rule(error: Any) -> str:
    """What is wrong with a value: our own words, pydantic's kind of problem, or Click's words."""
    cause, text = error.__cause__, str(error.message).removeprefix("Value error, ").rstrip(".")
    if isinstance(cause, ValidationError) and cause.errors()[0]["type"] != "value_error":
        return re.sub(r"^\S* ?(?=must)", "", explain(cause, most=1))
    if found := re.match(r"'(.*)' is not one of (.*)", text, re.DOTALL):
        return f"must be one of {found[2].replace(chr(39), '')}, got {found[1]!r}"
    if found := re.match(r"'(.*)' is not a valid (\w+)", text, re.DOTALL):
        kind = {"integer": "a whole number", "float": "a number"}.get(found[2], f"a {found[2]}")
        return f"must be {kind}, got {found[1]!r}"
    return text


def _with_options(text: str, command: Any) -> str:
    """An `OptionError`'s text with the fields in it as the options that were typed for them, and a way out."""
    commands = getattr(command, "commands", {"": command}).values()
    known = {param.name: param for each in commands for param in each.params}
    first, _, way = text.partition("\n")
    if "set" in known:
        first = re.sub(r"^'([^']*)'(?= is no field of )", r"--set \1", first)
    if found := re.match(r"([a-z_]+(?:\.[a-z_]+)*)(?:\.\d+)?(?= must | cannot )", first):
        path = _ASKED_BY.get(found[1], found[1])
        param = known.get(path.rpartition(".")[2] if "set" not in known else path)
        is_field = "set" in known and path.rpartition(".")[2] in _FIELDS
        param = None if is_field and _is_set(path) else param
        shown = _shown(param) if param else f"--set {path}" if is_field else found[1]
        first = shown + first[found.end() :]
        way = way or (_about(param) if param else "")
    first = re.sub(r"(?<![-.\w'])[a-z]+(?:_[a-z]+)+\b", lambda it: _shown(known.get(it[0])) or it[0], first)
    first = re.sub(r"(?:(?<= with )|(?<= of ))model\.([a-z_]+)", lambda it: _shown(known.get(it[1])) or it[0], first)
    first = re.sub(r"(?<= with )[a-z]+\b(?!\.)", lambda it: _shown(known.get(it[0])) or _set_to(it[0]), first)
    if both := re.search(r"(?<=, got )[a-z]+( and [a-z]+)+$", first):
        first = first[: both.start()] + " and ".join(_shown(known.get(it)) or it for it in both[0].split(" and "))
    option, named = re.match(r"--[a-z_-]+", first), {name: param for param in known.values() for name in param.opts}
    if option and (param := named.get(option[0])):
        first, way = _shown(param) + first[option.end() :], way or _about(param)
    way = re.sub(r"(?<![\w-])--[a-z-]+", lambda it: _typed(named.get(it[0])) or it[0], way)
    return f"{first}\n{way or '--help says what each option takes'}"


def _set_to(name: str) -> str:
    """A field of the model as it was typed after ``--set``, else its name."""
    return f"--set model.{name}" if _is_set(f"model.{name}") else name


def _is_set(path: str) -> bool:
    """Whether a field was typed after ``--set``."""
    return any(word.removeprefix("--set=").startswith(f"{path}=") for word in sys.argv[1:])


def _shown(param: Any) -> str:
    """An option as it was typed, the variable that has its value, or its first name; an argument by its name."""
    if param is None:
        return ""
    names = [name for name in param.opts if name.startswith("-")]
    variable = param.envvar if isinstance(param.envvar, str) and os.environ.get(param.envvar) else None
    return str(_typed(param) or variable or (names[0] if names else param.metavar or param.name.upper()))


def _typed(param: Any) -> str:
    """The name by which an option was typed; empty where it was not."""
    names = [name for name in param.opts if name.startswith("-")] if param else []
    return next((name for name in names for word in sys.argv if word.partition("=")[0] == name), "")


def _about(param: Any) -> str:
    """What an option or an argument is for, as its help says."""
    return f"{_shown(param)}: {param.help}" if param is not None and getattr(param, "help", None) else ""
