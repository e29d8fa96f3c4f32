"""Ctrl-C while a command is still importing what it needs, as a person sends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ROOT
from support.study_cases import synthetic

PROGRAMS = {
    "a study": (ROOT / "studies/digits_vae.py", "--dry-run"),
    "yardsticks": (ROOT / "studies/yardsticks.py",),
    "a model": (ROOT / "main.py", "--dataset", "digits"),
    "a list": ("-m", "analysis", "list", "STUDY"),
    "a report": ("-m", "analysis", "report", "STUDY"),
    "a status": ("-m", "studies", "status", "STUDY"),
    "a cluster": ("-m", "cluster", "local", "--nodes", "1"),
}
LIBRARIES = {
    "a study": "numpy sqlalchemy torch",
    "a model": "pydantic numpy torch",
    "a list": "pydantic pandas pyarrow",
}
LIBRARIES |= {"yardsticks": "numpy", "a report": "pydantic torch", "a status": "pydantic", "a cluster": "pydantic"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic(tmp_path_factory.mktemp("studies") / "study", 4)


INTERRUPT = """
import os, sys

def interrupt(event, details):
    if event == "import" and details[1] and "/{library}" in str(details[1]):
        os.kill(os.getpid(), {number})

sys.addaudithook(interrupt)
"""
"""Run by the interpreter before the command: the signal is there as soon as a library's compiled part is loaded. One
from outside may come too late on a busy machine."""


def interrupted(command: list[str], library: str, hook: Path, number: int) -> tuple[int, str]:
    """A command's exit code and output, interrupted while a library is imported."""
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(INTERRUPT.format(library=library, number=number))
    environment = os.environ | {"PYTHONPATH": f"{hook}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    place = hook.parent / "empty"
    place.mkdir()
    done = subprocess.run(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    assert list(place.iterdir()) == []
    return done.returncode, done.stdout


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("program", "library"), [(program, library) for program, names in LIBRARIES.items() for library in names.split()]
)
def test_ctrl_c_during_an_import_is_a_line(program: str, library: str, study: Path, tmp_path: Path) -> None:
    command = [sys.executable, *(str(study) if it == "STUDY" else str(it) for it in PROGRAMS[program])]
    code, output = interrupted(command, library, tmp_path / "hook", signal.SIGINT)
    assert (code, output.splitlines()) in [(130, ["interrupted: nothing was begun"]), (130, ["interrupted"])]


def test_sigterm_during_an_import_is_a_line(tmp_path: Path) -> None:
    command = [sys.executable, *map(str, PROGRAMS["a study"])]
    assert interrupted(command, "numpy", tmp_path / "hook", signal.SIGTERM) == (130, "interrupted: nothing was begun\n")


def test_who_imports_a_study_or_a_command_keeps_an_own_ctrl_c() -> None:
    modules = "main, studies.digits_vae, studies.yardsticks, analysis.__main__, studies.__main__, cluster.__main__"
    code = f"import signal, {modules}; print(signal.getsignal(2) is signal.default_int_handler, signal.getsignal(15))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True 0\n"
