"""The search by trial."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis import load_trials
from analysis.figures.study._judged import Judged
from analysis.figures.study.history import compute_history


def test_the_best_so_far_is_of_the_complete_trials(six: Path) -> None:
    np.testing.assert_array_equal(
        compute_history(load_trials(six), Judged("val_bits_per_dim")).best, [2.5, 2.5, 2.5, 2.5, 2.4, 2.4]
    )
