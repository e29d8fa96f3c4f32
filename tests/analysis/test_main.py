"""The command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.analysis_fixture import build_study

from analysis.report.compare import compare_studies
from trainables.errors import UserError


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analysis", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    missing = command("report", str(tmp_path / "none"))
    assert missing.returncode == 1
    assert missing.stderr.startswith(f"error: no study folder at {tmp_path}")
    assert len(missing.stderr.splitlines()) <= 2
    assert command("report", "x", "--no-such-option").returncode == 2
    assert "report" in command().stdout + command("--help").stdout


@pytest.mark.heavy
def test_the_commands_say_what_is_wrong(tmp_path: Path) -> None:
    two = build_study(tmp_path / "a"), build_study(tmp_path / "b")
    for arguments, message in [
        (("compare", two[0]), "a comparison needs at least 2 studies, got 1"),
        (("compare", two[0], two[0]), "cannot be compared with itself"),
        (("compare", two[0], tmp_path / "none"), "no study folder at"),
        (("compare", *two, "--out", tmp_path / "no" / "such.html"), "cannot write"),
        (("list", tmp_path / "none"), "no folder at"),
    ]:
        done = command(*arguments)
        assert done.returncode == 1, done.stdout
        assert message in done.stderr
        assert len(done.stderr.splitlines()) <= 2
    with pytest.raises(UserError):
        compare_studies([])
