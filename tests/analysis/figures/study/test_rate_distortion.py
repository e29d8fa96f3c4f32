"""The rate-distortion plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.study_cases import CASES, DIMENSIONS

from analysis import load_trials
from analysis.figures.study.rate_distortion import compute_rate_distortion, rate_distortion_chart
from analysis.reading.best_runs import final_runs, ranked_runs
from analysis.reading.study_record import read_study
from analysis.statistics.pareto import hypervolume

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_plane_s_hypervolume_and_knee_are_the_trials_and_not_the_final_s(tmp_path: Path) -> None:
    study = read_study(CASES["six"](tmp_path / "study"))
    trials = load_trials(study)
    plane = compute_rate_distortion(trials, final_runs(study.folder)[0], DIMENSIONS)
    alone = compute_rate_distortion(trials, None, DIMENSIONS)
    assert plane.hypervolume == alone.hypervolume
    assert plane.knee == alone.knee
    assert plane.hypervolume is not None
    assert plane.hypervolume.estimate == hypervolume(plane.rate[:3], plane.distortion[:3], plane.reference)
    shared = compute_rate_distortion(trials, None, DIMENSIONS, reference=(1e4, 1e4)).hypervolume
    assert shared is not None
    assert shared.estimate > 1e7
    chart = rate_distortion_chart(plane)
    named = {trace.name: trace for trace in chart.data}
    assert (named["hypervolume's reference"].x[0], named["hypervolume's reference"].y[0]) == plane.reference
    assert "hypervolume" in named["hypervolume's reference"].hovertemplate
    assert named["knee of the front"].x[0] == plane.rate[plane.knee]


def test_the_plane_adds_up_to_the_yardstick(six: Path) -> None:
    trials = load_trials(six)
    plane = compute_rate_distortion(trials, ranked_runs(six)[0], 784)
    assert plane.label == ["trial 0", "trial 1", "trial 4", "final"]
    np.testing.assert_allclose(plane.bits_per_dim, [2.5, 2.65, 2.4, 2.35])
    assert not plane.is_front[-1]
