"""By what a study was made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from studies.record import provenance as recorded
from studies.record.provenance import provenance


def repository(folder: Path) -> str:
    """A new one, with a commit of these tests; its commit."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    folder.mkdir()
    for command in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    found = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_the_commit_is_the_projects_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of a repository that it was unpacked in, nor of one that a variable names, as in a hook."""
    other, own = tmp_path / "thesis", tmp_path / "project"
    commit, _ = repository(own), repository(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setattr(recorded, "_ROOT", str(own))
    assert provenance()["git_commit"] == commit
    inside = other / "unpacked"
    inside.mkdir()
    monkeypatch.setattr(recorded, "_ROOT", str(inside))
    assert provenance()["git_commit"] is None
    monkeypatch.setattr(recorded, "_ROOT", str(tmp_path))
    assert provenance()["git_commit"] is None
