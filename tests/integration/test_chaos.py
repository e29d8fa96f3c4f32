"""A study that loses the process that leads it and two more of its own, and the study that nobody touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import ROOT, script


@pytest.mark.slow
def test_kills_change_no_study(tmp_path: Path) -> None:
    """With one trial at a time it is the same to the bit; the driver goes in its second trial, the others soon after
    the same command goes on."""
    victims = ("driver", "Tune actor", "GCS")  # without the GCS its whole cluster goes down
    options = ("--alone", "--kills", "3", "--each", "3", "--trials", "4", "--settled", "7", "--latest", "0.02")
    kinds = [part for victim in victims for part in ("--victim", victim)]
    done = script(ROOT / "tests/support/chaos.py", *options, *kinds, cwd=tmp_path, timeout=1100)
    assert done.returncode == 0, done.stdout + done.stderr
    for victim, again in zip(victims, (1, 0, 1), strict=True):
        assert f"| {victim} | 1 | 0 | {again} |" in done.stdout
