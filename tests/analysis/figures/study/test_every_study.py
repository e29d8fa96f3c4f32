"""Every figure and chart of every kind of study, and what must hold of all of them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from PIL import Image
from support.analysis_fixture import SPACE
from support.study_cases import CASES, drawn, synthetic

from analysis.figures.files import draw_study, study_charts
from analysis.figures.plotly_style import to_json
from analysis.figures.registry import StudyContext, study_figures
from analysis.figures.study import bits_by_beta, contour, learning_curves
from analysis.figures.study._judged import Judged
from analysis.figures.study.contour import compute_contours, contour_chart
from analysis.figures.study.importance import importance_chart
from analysis.figures.study.parallel import compute_parallel, parallel_chart
from analysis.reading.frames import load_trials
from analysis.reading.study_record import read_study
from analysis.statistics.importance import Importance

NEEDS_MORE = {"across_beta", "search_quality"}  # than these studies have: images, and two objectives
NEEDS_MORE |= {"rate_curve", "latents_by_beta"}  # and multi-rate networks


@pytest.mark.heavy
@pytest.mark.parametrize("case", CASES)
def test_every_study_has_every_figure_and_its_charts(case: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if case != next(iter(CASES)):
        request.getfixturevalue("pixels_alone")
    study = StudyContext(read_study(CASES[case](tmp_path / "study")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = draw_study(study, tmp_path)
    assert list(paths) == [name for name in study_figures() if name not in NEEDS_MORE]
    for name, path in paths.items():
        assert path == tmp_path / f"{name}.png"
        assert path.with_suffix(".pdf").exists()
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"
    charts = study_charts(study, study_figures())
    complete = len(study.of(bits_by_beta.FIGURE).trials.number) > 0
    assert ({"rate_distortion", "bits_by_beta", "active_units"} <= set(charts)) == complete
    assert ("learning_curves" in charts) == (len(study.of(learning_curves.FIGURE).numbers) > 0)
    panels = study.of(contour.FIGURE).panels
    assert len(charts["contour"].data if panels else ()) == 3 * len(panels)
    for name, chart in charts.items():
        text = to_json(chart)
        assert "rgba(0,0,0,0)" in text
        assert "NaN" not in text
        assert json.loads(text)["data"], name


def test_what_a_study_names_is_escaped_in_charts(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    space: dict[str, BaseDistribution] = {**SPACE, "optimizer": CategoricalDistribution(["adam", "adamw"])}
    folder = synthetic(
        tmp_path / "study", 12, space, lambda rng: {**drawn(rng), "optimizer": str(rng.choice(["adam", "adamw"]))}
    )
    study = read_study(folder)
    trials = load_trials(study).rename(columns={"optimizer": hostile})
    trials[hostile] = trials[hostile].replace({"adam": hostile})
    searched = {**study.searched, hostile: CategoricalDistribution([hostile, "adamw"])}
    del searched["optimizer"]
    bits = Judged("val_bits_per_dim")
    contours = compute_contours(trials, searched, bits)
    shares = np.array([1.0])
    for chart in (
        contour_chart(contours),
        importance_chart(Importance([hostile], shares, 9)),
        parallel_chart(compute_parallel(trials, searched, bits)),
    ):
        text = str(chart.to_dict())
        assert hostile not in text
        assert "&lt;img src=x" in text
        assert "<" not in to_json(chart)
