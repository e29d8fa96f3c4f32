"""Parallel coordinates."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import load_trials
from analysis.figures.study._judged import Judged
from analysis.figures.study.parallel import compute_parallel
from analysis.reading.study_record import read_study

pytestmark = pytest.mark.usefixtures("one_thread")


def test_lines_meet_the_axes_at_their_values(six: Path) -> None:
    trials, study = load_trials(six), read_study(six)
    parallel = compute_parallel(trials, study.searched, Judged("val_bits_per_dim"))
    assert parallel.numbers.tolist() == [0, 1, 2, 4]
    assert parallel.positions[0, :3] == pytest.approx([0.5, 0.5, 0.0])
    assert parallel.positions[:, -1] == pytest.approx((parallel.values - 2.4) / 1.1)
