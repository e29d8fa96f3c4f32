"""What a command makes of the process that it was started in, as seen from outside."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.process import _have_name_and_home, _have_threads_on_all_cores, closed_folder

_COMMAND = """
import sys, time, typer, warnings
from trainables.console import command_line, run
from trainables.errors import StudyWarning
from trainables.terminal import screen

app = command_line()

@app.command()
def main(lines: int = 1, seconds: float = 0.0) -> None:
    warnings.warn("of a library", DeprecationWarning)
    warnings.warn(StudyWarning("of ours"))
    for _ in range(lines):
        print("caf\\udce9 \u5185\u4e2d nats\u00b2")
    screen().print("more \u5185")
    sys.stdout.flush()
    open("done", "w").close()
    time.sleep(seconds)

run(app)
"""


def command(folder: Path, shell: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a shell, where it is ``$IT``."""
    (folder / "it.py").write_text(_COMMAND)
    environment = os.environ | {"IT": f"{sys.executable} it.py"} | variables
    return subprocess.run(["bash", "-c", shell], cwd=folder, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}],
    ids=["ascii", "latin-1", "C"],
)
def test_an_output_that_lacks_letters_gets_escapes(variables: dict[str, str], tmp_path: Path) -> None:
    done = command(tmp_path, "$IT", **variables)
    assert (done.returncode, done.stdout.split()[0]) == (0, rb"caf\udce9")
    assert done.stderr == b"warning: of ours\n"


@pytest.mark.parametrize("where", ["| head -1", ">&-", ">/dev/full", "2>&-", ">&- 2>&- <&-", "| true"])
def test_what_nobody_reads_ends_no_command(where: str, tmp_path: Path) -> None:
    done = command(tmp_path, f"$IT --lines 20000 {where}; echo ${{PIPESTATUS[0]}} > code")
    # it goes on to its end, and fails then where what was to be kept is not
    assert (tmp_path / "code").read_text() == ("1\n" if where == ">/dev/full" else "0\n")
    assert (tmp_path / "done").exists()
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr


def test_a_closed_output_is_not_the_next_file_that_is_opened(tmp_path: Path) -> None:
    command(tmp_path, "$IT >&-")
    assert (tmp_path / "done").read_bytes() == b""


@pytest.mark.parametrize("variables", [{"PYTHONWARNINGS": "error"}, {"FORCE_COLOR": "1"}, {"COLUMNS": "1"}])
def test_variables_of_a_person_change_nothing(variables: dict[str, str], tmp_path: Path) -> None:
    expected = command(tmp_path, "$IT")
    found = command(tmp_path, "$IT", **variables)
    assert (found.returncode, found.stdout, found.stderr) == (0, expected.stdout, expected.stderr)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("auto", None), ("", None), ("0", None), ("-3", None), ("2, x", None), ("²", None), ("4", "4"), (" 2,4", " 2,4")],
)
def test_what_is_no_number_of_threads_is_passed_over(
    said: str, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    _have_threads_on_all_cores()
    assert os.environ.get("OMP_NUM_THREADS") == kept


def test_threads_that_are_bound_to_cores_leave_a_command_its_cores() -> None:
    """In a process of its own: OpenMP reads them once, and binds the process that loads torch."""
    code = (
        "from trainables.process import settle; settle(); import torch; from trainables.machine import cores;"
        "torch.ones(999, 999) @ torch.ones(999, 999); print(cores())"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | more, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, {"OMP_PROC_BIND": "true"}, {"OMP_PLACES": "cores"}, {"GOMP_CPU_AFFINITY": "0-1"})
    ]
    assert len(set(said)) == 1, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_what_ends_a_command_ends_it_as_ctrl_c(number: signal.Signals, tmp_path: Path) -> None:
    done = command(tmp_path, f"$IT --seconds 60 & while [ ! -e done ]; do sleep 0.1; done; kill -{number} $!; wait $!")
    assert done.returncode == 130


def test_a_hang_up_under_nohup_is_none(tmp_path: Path) -> None:
    wait = "while [ ! -e done ]; do sleep 0.1; done"
    done = command(tmp_path, f"nohup $IT --seconds 2 >/dev/null 2>&1 & {wait}; kill -HUP $!; wait $!")
    assert done.returncode == 0


def test_a_user_without_name_and_home_has_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> None:
        raise KeyError("getpwuid(): uid not found: 12345")

    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("USER", "before")
    monkeypatch.setenv("HOME", "before")
    _have_name_and_home()
    home = Path(os.environ["HOME"])
    assert os.environ["USER"] == f"user-{os.getuid()}"
    assert (home.parent, home.stat().st_mode & 0o777) == (tmp_path, 0o700)


def test_a_closed_folder_is_never_anothers(tmp_path: Path) -> None:
    taken = tmp_path / f"ray-{os.getuid()}"
    taken.write_text("")
    found = closed_folder(tmp_path, "ray")
    assert found != taken
    assert found.stat().st_mode & 0o777 == 0o700
    taken.unlink()
    assert closed_folder(tmp_path, "ray") == taken == closed_folder(tmp_path, "ray")
