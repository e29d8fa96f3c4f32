"""Contours against a known bowl."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support.analysis_fixture import SPACE, Made, build_study
from support.study_cases import CASES, drawn

from analysis.figures.study._judged import Judged
from analysis.figures.study.contour import compute_contours
from analysis.reading.frames import load_trials
from analysis.reading.study_record import read_study

BITS = Judged("val_bits_per_dim")


def test_contours_find_the_bowl(tmp_path: Path) -> None:
    """Values are a quadratic in the positions: the fit's minimum is the bowl's, and it is near all over."""
    rng = np.random.default_rng(0)
    space = {name: SPACE[name] for name in ("beta", "model.latent_dim")}
    made = []
    for _ in range(50):
        params = {name: value for name, value in drawn(rng).items() if name in space}
        u, v = math.log(params["beta"] / 0.1, 100), math.log(params["model.latent_dim"] / 2, 16)
        made.append(Made("COMPLETE", params, [2 + (u - 0.3) ** 2 + (v - 0.6) ** 2]))
    study = read_study(build_study(tmp_path / "study", made, space=space))
    contours = compute_contours(load_trials(study), study.searched, BITS)
    (panel,) = contours.panels
    assert (panel.x.title, panel.y.title) == ("KL weight β", "latent size")
    u, v = np.meshgrid(panel.grid_x, panel.grid_y)
    np.testing.assert_allclose(panel.fit, 2 + (u - 0.3) ** 2 + (v - 0.6) ** 2, atol=0.05)
    row, column = np.unravel_index(panel.fit.argmin(), panel.fit.shape)
    assert panel.grid_x[column] == pytest.approx(0.3, abs=0.06)
    assert panel.grid_y[row] == pytest.approx(0.6, abs=0.06)
    assert panel.grid_x[[0, -1]] == pytest.approx([panel.x.position.min(), panel.x.position.max()])


def test_contours_of_many_parameters_and_of_too_little(tmp_path: Path) -> None:
    study = read_study(CASES["five parameters"](tmp_path / "wide"))
    trials = load_trials(study)
    contours = compute_contours(trials, study.searched, BITS)
    assert len(contours.panels) == 6
    assert contours.left_out == ["optimizer"]
    first = compute_contours(trials, study.searched, BITS, order=["optimizer", "lr"]).panels[0]
    assert (first.x.name, first.y.name) == ("optimizer", "lr")
    assert set(first.x.position) == {0.0, 1.0}
    assert first.x.ticks == [(0.0, "adam"), (1.0, "adamw")]
    assert first.x.drawn[0] in ("adam", "adamw")
    fixed = {"optimizer": study.searched["optimizer"]}
    assert "needs 2 parameters that differ" in compute_contours(trials, fixed, BITS).note
    assert "needs 6 complete trials; there are 3" in compute_contours(trials.iloc[:4], study.searched, BITS).note
