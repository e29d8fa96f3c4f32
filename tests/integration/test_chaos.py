"""The first runs of `make chaos`, with two victims that no other test kills."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import ROOT, script


@pytest.mark.slow
def test_kills_change_no_study(tmp_path: Path) -> None:
    options = ("--kills", "2", "--seed", "37", "--trials", "3")
    done = script(ROOT / "tests/support/chaos.py", *options, cwd=tmp_path, timeout=1100)
    assert done.returncode == 0, done.stdout + done.stderr
    for victim, again in (("Tune actor", 0), ("GCS", 1)):  # without the GCS its whole cluster goes down
        assert f"| {victim} | 1 | 0 | {again} |" in done.stdout
