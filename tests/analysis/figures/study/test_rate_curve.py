"""The curves of multi-rate networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.analysis_fixture import Made
from support.multi_rate_study import drawn, multi_rate_study
from support.pictures import looks_drawn

from analysis import load_rates, load_trials
from analysis.figures.files import draw_study, study_charts
from analysis.figures.registry import StudyContext, study_figures
from analysis.figures.study.rate_curve import FIGURE, compute_rate_curves
from analysis.reading.study_record import read_study
from trainables.data.datasets import Dataset, load_dataset

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits").limited(192)


def test_the_ratios_are_what_the_trials_were_judged_by(networks: Path, data: Dataset) -> None:
    curves = compute_rate_curves(StudyContext(read_study(networks), data))
    trials = load_trials(networks).sort_values("val_relative_loss")
    assert curves.label == [f"trial {number}" for number in trials["number"]]
    assert curves.optimum is not None
    np.testing.assert_allclose((curves.loss / curves.optimum).mean(1), trials["val_relative_loss"], rtol=1e-5)
    rates = load_rates(networks)
    best = rates[rates["number"] == trials["number"].iloc[0]]
    np.testing.assert_array_equal(curves.rate[0], best["val_rate"])
    np.testing.assert_array_equal(curves.others["sigma"][0], best["sigma"])
    assert curves.latent_dim.tolist() == trials["latent_dim"].tolist()


def test_a_study_of_networks_has_curves_where_others_have_dots(networks: Path, data: Dataset, tmp_path: Path) -> None:
    study = StudyContext(read_study(networks), data)
    names = ["rate_curve", "rate_distortion", "bits_by_beta", "active_units", "latents_by_beta", "across_beta"]
    paths = draw_study(study, tmp_path, names=names)
    assert list(paths) == ["rate_curve", "latents_by_beta", "across_beta"]
    for path in paths.values():
        looks_drawn(path)
    charts = study_charts(study, paths)
    assert set(charts) == {"rate_curve", "latents_by_beta"}
    assert "KL weight β 0.1" in str(charts["rate_curve"].to_dict())
    assert charts["rate_curve"].data[-1].name == "best linear model (PCA, latent size 3)"


@pytest.mark.heavy
@pytest.mark.parametrize(
    "made",
    [[], [Made("FAIL", drawn(4))] * 2, [Made("PRUNED", drawn(4))], [Made("COMPLETE", drawn(2))]],
    ids=["empty", "failed", "pruned", "one"],
)
def test_odd_studies(made: list[Made], tmp_path: Path) -> None:
    study = StudyContext(read_study(multi_rate_study(tmp_path / "study", made)))
    paths = draw_study(study, tmp_path)
    expected = study_figures().keys() - {"rate_distortion", "bits_by_beta", "active_units"}
    assert set(paths) == expected - {"across_beta", "search_quality"}
    complete = any(each.state == "COMPLETE" for each in made)
    assert bool(FIGURE.note(study.of(FIGURE))) != complete
    assert ("rate_curve" in study_charts(study, paths)) == complete
