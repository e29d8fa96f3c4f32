"""Commands run as a person would run them, and what differs between equal trainings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL_STUDY = (
    *(ROOT / "studies/digits_vae.py", "--set", "model.width=4"),
    *("--limit-train", "200", "--limit-val", "50"),
)
"""A command whose trials take a fraction of a second an epoch."""
TIMES = {"images_per_second", "epoch_seconds", "cpu_seconds", "gpu_seconds"}
"""What no two trainings have the same of."""


def timeless(rows: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    """Epochs' metrics without what differs between equal trainings."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def script(*arguments: str | Path, cwd: Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run one of the project's command lines as a person would, from ``cwd``."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
