"""What a command line says of an error, and what it keeps to itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
import typer
from pydantic import BaseModel, Field, ValidationError
from support.commands import ROOT, script

from trainables.console import command_line, folder_of, known_file_of, known_folder_of, new_page_of, path_of, run
from trainables.errors import OptionError, UserError, explain

APP = """
import logging, sys, warnings
from trainables.console import command_line, run
from trainables.errors import OptionError, UserError
app = command_line()
@app.command()
def main():
    {body}
run(app)
"""


def command(body: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", APP.format(body=body)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    "body", ["warnings.warn('look here', DeprecationWarning)", "logging.getLogger('a.library').warning('look here')"]
)
def test_warnings_of_libraries_do_not_reach_the_terminal(body: str) -> None:
    done = command(body)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_who_asks_for_warnings_gets_them() -> None:
    assert "look here" in command("warnings.warn('look here', DeprecationWarning)", "-W", "default").stderr


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise OSError(28, 'No space left on device', '/x')", 1, "error: /x: No space left on device\n"),
        (
            "from trainables.errors import UserError; raise UserError('a torn record\\\\nrestore it')",
            1,
            "error: a torn",
        ),
        ("from trainables.errors import OptionError; raise OptionError('no such thing')", 2, "error: no such thing\n"),
        ("raise SystemExit(4)", 4, ""),
    ],
)
def test_a_failure_is_1_and_a_mistake_is_2(body: str, code: int, said: str) -> None:
    done = command(body.replace("\\\\n", "\\n"))
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) in (0, 2)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "arguments", [["main.py", "--epochs", "1"], ["studies/digits_vae.py"], ["-m", "studies", "list"]]
)
def test_a_working_folder_that_is_gone_is_named(tmp_path: Path, arguments: list[str]) -> None:
    words = [str(ROOT / word) if word.endswith(".py") else word for word in arguments]
    gone = 'cd "$0" && rmdir "$0" && exec "$@"'
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = ["sh", "-c", gone, str(tmp_path), sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stderr.splitlines() == [
        "error: the working folder was removed or moved away",
        "cd to one that is there",
    ]
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.heavy
def test_a_variable_is_named_where_it_is_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_DATA_DIR", "~nobody-here")
    done = script(ROOT / "studies/digits_vae.py", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: VAE_DATA_DIR must be a path, got '~nobody-here'")
    monkeypatch.setenv("VAE_STORAGE", "nonsense")
    done = script(ROOT / "studies/digits_vae.py", "--data-dir", tmp_path, cwd=tmp_path)
    assert done.stderr.startswith("error: VAE_STORAGE must be a database's URL, got 'nonsense'")


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A link to itself, in the working folder."""
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "loop"
    link.symlink_to("loop")
    return link


@pytest.mark.parametrize("kind", [path_of, folder_of, known_folder_of, known_file_of, new_page_of])
@pytest.mark.parametrize("text", ["", "~nobody-here", "a\0b", "n" * 256, "loop/x"])
def test_what_cannot_be_a_path_is_none(
    kind: object, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(Exception, match="must be a path, got ") as refused:
        kind(text)  # type: ignore[operator]
    assert type(refused.value).__name__ == "BadParameter"


def test_paths_that_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_of("~/new") == tmp_path / "new"
    assert known_folder_of(str(tmp_path)) == tmp_path
    assert new_page_of(f"{tmp_path}/é ü.html") == tmp_path / "é ü.html"
    assert path_of("./~") == Path.cwd() / "~"  # who reads that as a path again finds no home in it
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cmp", "page.txt", ".html", "folder.html"])
def test_a_page_is_named_as_one_before_there_is_one(name: str, tmp_path: Path) -> None:
    if name.startswith("folder"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(Exception, match=r"must be a page \(\.html\), got "):
        new_page_of(tmp_path / name)


def test_a_folder_whose_files_are_known_need_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of mode 0711, as the system shows it to others than its owner."""
    monkeypatch.setattr(os, "access", lambda _, asked: not asked & os.R_OK)
    assert folder_of(tmp_path) == tmp_path
    with pytest.raises(Exception, match="must be a folder that can be read"):
        known_folder_of(tmp_path)
    monkeypatch.setattr(os, "access", lambda _, asked: not asked & os.X_OK)
    with pytest.raises(Exception, match="must be a folder that can be read"):
        folder_of(tmp_path)


@pytest.mark.parametrize("typed", ["a\nb", "./a\nb", "x/../a\nb", "--out=./a\nb"])
@pytest.mark.parametrize("written", [str, Path, Path.resolve])
def test_an_error_has_two_lines_whatever_the_path(
    typed: str,
    written: Callable[[Path], str | Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = command_line()
    within = tmp_path / "c\nd"
    within.mkdir()
    monkeypatch.chdir(within)

    @app.command()
    def command(place: str = "", out: str = "") -> None:
        raise UserError(f"nobody runs {written(Path(typed.removeprefix('--out=')))}/x\nrun it")

    monkeypatch.setattr(sys, "argv", ["it", *(["--place"] if typed[0] != "-" else []), typed])
    with pytest.raises(SystemExit):
        run(app)
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"error: nobody runs (.*/)?a\?b/x", first)
    assert second == "run it"


def test_the_way_out_has_an_option_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = command_line()

    @app.command()
    def command(data: Annotated[str, typer.Option("--data-dir", "--data_dir")] = "") -> None:
        raise OptionError(f"{data} has no data\nset --data-dir or DATA (or set --data-dir-of), or --other")

    for typed in ("--data_dir", "--data-dir"):
        monkeypatch.setattr(sys, "argv", ["it", typed, "x"])
        with pytest.raises(SystemExit):
            run(app)
        way_out = f"set {typed} or DATA (or set --data-dir-of), or --other"
        assert capsys.readouterr().err == f"error: x has no data\n{way_out}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_the_command_as_it_is_typed(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = command_line()
    app.command()(lambda: None)
    monkeypatch.setattr(sys, "argv", ["studies/my study.py", option])
    with pytest.raises(SystemExit) as ended:
        run(app)
    assert ended.value.code == 0
    assert "python 'studies/my study.py'" in capsys.readouterr().out


class _Numbers(BaseModel):
    count: int = Field(1, ge=1, le=9)
    share: float = Field(0.5, gt=0, lt=1, allow_inf_nan=False)
    names: tuple[str, ...] = ("a",)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": 10}, "count must be at most 9, got 10"),
        ({"count": 10**400}, "count must be "),
        ({"count": "x"}, "count must be a whole number, got 'x'"),
        ({"share": 0}, "share must be above 0, got 0"),
        ({"share": 1}, "share must be below 1, got 1"),
        ({"share": "nan"}, "share must be a finite number, got 'nan'"),
        ({"names": 3}, "names must be a list, got 3"),
        ({"names": [3]}, "names.0 must be text, got 3"),
        ({"count": 0, "share": 2}, "count must be at least 1, got 0\nshare must be below 1, got 2"),
    ],
)
def test_a_library_s_problem_is_said_in_our_words(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        _Numbers.model_validate(values)
    assert explain(refused.value).startswith(said)
