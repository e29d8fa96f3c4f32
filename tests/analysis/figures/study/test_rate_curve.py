"""The curves of multi-rate networks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.analysis_fixture import Made
from support.multi_rate_study import BASE, drawn, multi_rate_study, trained
from support.pictures import looks_drawn

from analysis import load_rates, load_trials
from analysis.figures.files import draw_study, study_charts
from analysis.figures.registry import StudyContext, study_figures
from analysis.figures.study.rate_curve import FIGURE, compute_rate_curves
from analysis.reading.best_runs import final_runs
from analysis.reading.study_record import read_study
from trainables.data.datasets import Dataset, load_dataset
from trainables.errors import StudyWarning
from trainables.metrics import at_rate
from trainables.records.atomic_files import seal
from trainables.records.trial_folder import TrialFolder

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


def test_of_large_images_the_ratios_are_the_trainings_too(tmp_path: Path) -> None:
    pictures, rng = tmp_path / "pictures", np.random.default_rng(0)
    for name in "ab":
        (pictures / name).mkdir(parents=True)
        for k in range(40):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(pictures / name / f"{k:02}.png")
    size = {"model.image_shape": (3, 40, 40), "image_size": 40, "epochs": 1, "model.latent_dim": 2}
    base = BASE.replace({"dataset": f"imagefolder:{pictures}", "limit_train": 48, "limit_val": 8, **size})
    folder = multi_rate_study(tmp_path / "study", [Made("COMPLETE", drawn(2))], base)
    data = load_dataset(base.dataset, image_size=40).limited(base.limit_train)
    curves = compute_rate_curves(StudyContext(read_study(folder), data))
    assert curves.optimum is not None
    (own,) = load_trials(folder)["val_relative_loss"]
    assert (curves.loss / curves.optimum).mean() == pytest.approx(own, rel=1e-5)


def test_a_network_whose_numbers_are_damaged_is_left_out(networks: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(networks, tmp_path / "study")
    record = TrialFolder(folder / "trials" / "0000")
    rows = record.rows()
    for row in rows:
        row[at_rate("val_mse", 3)] = "much"  # type: ignore[assignment]
    record.metrics.write_text("".join(f"{seal(row)}\n" for row in rows))
    with pytest.warns(StudyWarning, match="trial 0 is left out: .*numbers at each KL weight"):
        study = StudyContext(read_study(folder))
    assert study.of(FIGURE).label == ["trial 1"]
    assert set(study.record.faults) == {0}


def test_a_final_training_whose_numbers_are_damaged_is_left_out(networks: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(networks, tmp_path / "study")
    record = TrialFolder(folder / "trials" / "final_0000")
    config = BASE.of_trial(0, drawn(6)).replace({"epochs": 1})
    record.create(config)
    (row,) = trained(record, config, 1)
    assert [run.label for run in final_runs(folder)] == ["final of trial 0"]
    record.metrics.write_text(f"{seal({name: it for name, it in row.items() if name != at_rate('val_rate', 8)})}\n")
    with pytest.warns(StudyWarning, match="final_0000 is left out"):
        assert final_runs(folder) == []


@pytest.mark.heavy
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
