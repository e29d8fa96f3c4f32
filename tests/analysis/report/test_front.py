"""The front as a table, against the frames and the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from support.analysis_fixture import BASE, SIX, SPACE, Made, build_study, record
from support.study_cases import drawn, synthetic

from analysis import load_trials
from analysis.figures.registry import StudyContext
from analysis.measures.held_out import image_losses
from analysis.reading.certainty import Certainty
from analysis.reading.choice import Wish, choose, price_of
from analysis.reading.study_record import read_study
from analysis.report.front import front_table, held_out_table
from analysis.report.report import write_report
from analysis.statistics.resampling import Interval
from analysis.statistics.separability import Difference
from trainables.data.datasets import load_dataset
from trainables.records.trial_folder import TrialFolder
from vae_models.vae import parameter_count

pytestmark = pytest.mark.usefixtures("one_thread")


def context(folder: Path, *, images: bool = False) -> StudyContext:
    return StudyContext(read_study(folder), load_dataset("digits") if images else None)


def test_its_rows_are_the_fronts_trials_and_their_longer_trainings_by_rate(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")
    longer = BASE.of_trial(0, SIX[0].params).replace({"epochs": 4})
    record(TrialFolder(folder / "trials" / "final_0000"), longer, [3.0, 2.6, 2.5, 2.4])
    study = context(folder)
    table = front_table(study)
    assert table["run"].tolist() == ["trial 1", "trial 0", "final of trial 0", "trial 4"]
    rate, distortion = table["rate (nats)"].to_numpy(), table["distortion (nats)"].to_numpy()
    assert distortion[3] == distortion[2]  # so that trial 4 is not on the front of all runs, and no nat of its saves
    assert table["a nat saves"].to_numpy()[1:3] == pytest.approx((-np.diff(distortion) / np.diff(rate))[:2])
    assert np.isnan(table["a nat saves"][[0, 3]]).all()
    trials = load_trials(folder).set_index("number")
    assert set(trials.index[trials["front"]]) == {0, 1, 4}
    for row in table.to_dict("records"):
        if row["run"].startswith("trial"):
            trial = trials.loc[int(row["run"].split()[1])]
            columns = ["rate (nats)", "distortion (nats)", "MSE", "bits/dim", "KL weight β", "latent size"]
            names = ["val_rate", "val_distortion", "val_mse", "val_bits_per_dim", "beta", "latent_dim"]
            assert [row[column] for column in columns] == trial[names].tolist()
            assert row["network"] == f"depth {trial['depth']}, width 8"
            model = BASE.of_trial(0, {"model.latent_dim": int(trial["latent_dim"]), "model.depth": int(trial["depth"])})
            assert row["parameters"] == parameter_count(model.model)
            assert row["s an epoch"] == 1.5
            assert row["how sure"] == "one training"


def test_of_a_long_front_it_has_the_knee_the_ends_and_what_is_spread_between(tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "study", 60, objective="rate_distortion")
    study = context(folder)
    every, few = front_table(study, 1000), front_table(study, 5)
    assert len(few) == 5 < len(every) == study.trials["front"].sum()
    assert few["rate (nats)"].is_monotonic_increasing
    assert few["distortion (nats)"].is_monotonic_decreasing
    assert few["rate (nats)"].iloc[[0, -1]].tolist() == every["rate (nats)"].iloc[[0, -1]].tolist()
    assert study.searched_runs[0].label in set(few["run"])
    prices = every.set_index("run")["a nat saves"]  # against neighbours that the shorter table leaves out, too
    np.testing.assert_array_equal(few["a nat saves"], prices[few["run"]])
    taken = choose(study.record, Wish.of(rate=float(few["rate (nats)"].iloc[2])))
    assert taken.beside.shorter is not None
    assert price_of(taken.run.best, taken.beside.shorter.best) == pytest.approx(few["a nat saves"].iloc[2])


@pytest.mark.heavy
def test_of_several_likelihoods_each_has_its_front_and_is_named(tmp_path: Path) -> None:
    likelihoods = ["beta_binomial", "discretised_logistic", "logistic_mixture"]
    space: dict[str, BaseDistribution] = {**SPACE, "model.likelihood": CategoricalDistribution(likelihoods)}
    folder = synthetic(
        tmp_path / "study", 60, space, lambda rng: {**drawn(rng), "model.likelihood": str(rng.choice(likelihoods))}
    )
    study = context(folder)
    few = front_table(study, 7)
    assert len(few) <= 7
    assert set(few["likelihood"]) == {"beta binomial", "discretised logistic", "logistic mixture"}
    for _, own in few.groupby("likelihood"):
        assert own["rate (nats)"].is_monotonic_increasing
        assert own["distortion (nats)"].is_monotonic_decreasing
    assert "likelihood" not in front_table(context(build_study(tmp_path / "plain", objective="rate_distortion")))
    write_report(folder, quick=True)
    page = (folder / "report.html").read_text()
    assert "--rate 20" not in page
    assert "of which each has a front" in page


@pytest.mark.parametrize("trials", [[], [SIX[3]], [SIX[2]]], ids=["none", "failed", "pruned"])
def test_without_a_front_it_is_empty(trials: list[Made], tmp_path: Path) -> None:
    study = context(build_study(tmp_path / "study", trials, objective="rate_distortion"), images=True)
    assert len(front_table(study)) == len(held_out_table(study)) == 0


def test_how_sure_is_said_in_words() -> None:
    value = Interval(861, 856, 866)
    apart, close = (Difference(Interval(3, 1, 5), True), Difference(Interval(3, -1, 7), False))
    assert Certainty(0, None, 4, 1.0, None).words == "one training"
    assert Certainty(3, value, 4, 1.0, None).words == "3 seeds: ±5 nats"
    assert Certainty(3, value, 4, 1.0, apart).words == "3 seeds: ±5 nats, separable from trial 4"
    assert Certainty(3, value, 4, 1.0, close).words == "3 seeds: ±5 nats, not separable from trial 4"


@pytest.mark.heavy
def test_the_test_images_are_those_of_the_set_and_compared_in_pairs(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")
    study = context(folder, images=True)
    table = held_out_table(study)
    assert table["run"].tolist() == ["trial 1", "trial 0", "trial 4"]
    assert study.data is not None
    images = study.data.test.images
    losses = {run.number: image_losses(run.load(), images, np.arange(len(images))) for run in study.searched_runs}
    for number, row in zip((1, 0, 4), table.to_dict("records"), strict=True):
        own = losses[number]
        error = own.rate.std(ddof=1) / np.sqrt(len(own.rate))
        assert row["rate (nats), test"] == f"{own.rate.mean():.2f} ± {error:.2f}"
        beta = SIX[number].params["beta"]
        gaps = {k: float((it.at(beta) - own.at(beta)).mean()) for k, it in losses.items() if k != number}
        rival = min(gaps, key=gaps.__getitem__)
        last = row["at its own KL weight, on the test images"]
        assert last.endswith(f"trial {rival}")
        if "not" not in last:
            word = "ahead of" if gaps[rival] > 0 else "behind"
            assert last == f"{abs(gaps[rival]):.2f} nats {word} trial {rival}"
    assert isinstance(table, pd.DataFrame)
