"""What a study of multi-rate networks says: its page, which model to take, and against plain trials."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from support.analysis_fixture import BASE as PLAIN
from support.analysis_fixture import Made
from support.front_study import Ran, at, front_study
from support.multi_rate_study import BASE, drawn, multi_rate_study

from analysis import StudyView, load_best, load_rates, load_trials
from analysis.figures.registry import StudyContext
from analysis.figures.study import importance, rate_curve, rate_distortion
from analysis.reading.best_runs import ranked_runs
from analysis.reading.choice import Wish, choose
from analysis.reading.study_record import read_study
from analysis.report.best import best_facts, best_json
from analysis.report.compare import compare_studies, write_comparison
from analysis.report.compare_rates import AgainstPlain
from analysis.report.findings import findings
from analysis.report.listing import list_studies
from analysis.report.multi_rate import OVER_LINEAR, rates_table
from analysis.report.report import write_report
from trainables.data.datasets import load_dataset
from trainables.errors import OptionError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_first_screen_is_the_best_network_s_curve(networks: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(networks, tmp_path / "study")
    steps: dict[str, float] = {}
    paths = write_report(folder, quick=True, progress=steps.__setitem__)
    assert list(steps.values()) == [k / len(steps) for k in range(len(steps))]
    page = paths["report"].read_text()
    first, second = load_trials(folder).sort_values("val_relative_loss").to_dict("records")
    assert (
        f"The best network is trial {first['number']} (latent size {first['latent_dim']}, depth 0): its distortion + β "
        f"rate is {first['val_relative_loss']:.3f} of a linear model&#39;s, in the mean over KL weights from 0.1 to "
        f"10, and that of the runner-up, trial {second['number']}, {second['val_relative_loss']:.3f}; one training of "
    ) in page
    assert "<b>Figure 1. Rate against distortion of one network.</b>" in page
    assert "a linear model (PCA) could be better at each of its 9 measured weights" in page
    assert page.count("bits per dimension") == 0
    assert [path.name for path in (folder / "visu").glob("**/*.png")] == ["rate_curve.png"]


def test_the_table_has_the_best_network_s_measured_weights(networks: Path) -> None:
    study = StudyContext(read_study(networks), load_dataset("digits").limited(192))
    table = rates_table(study.of(rate_curve.FIGURE))
    rates, best = load_rates(networks), study.searched_runs[0]
    own = rates[rates["number"] == best.number].iloc[::-1]
    np.testing.assert_allclose(table["KL weight β"], own["beta"])
    np.testing.assert_allclose(table["rate (nats)"], own["val_rate"])
    assert table[OVER_LINEAR].mean() == pytest.approx(best.best["val_relative_loss"], rel=1e-5)
    unknown = rates_table(StudyContext(read_study(networks)).of(rate_curve.FIGURE))
    assert OVER_LINEAR not in unknown


def test_one_network_has_no_runner_up_and_none_no_curve(tmp_path: Path) -> None:
    one = StudyContext(read_study(multi_rate_study(tmp_path / "one", [Made("COMPLETE", drawn(2))])))
    said = findings(one, one.of(importance.FIGURE), one.of(rate_distortion.FIGURE))
    assert "no other is complete to compare it with" in said.answer[0]
    assert said.answer[2].startswith("From a KL weight of 10 down to 0.1 the code of trial 0 goes from ")
    failed = StudyContext(read_study(multi_rate_study(tmp_path / "none", [Made("FAIL", drawn(2))])))
    said = findings(failed, failed.of(importance.FIGURE), failed.of(rate_distortion.FIGURE))
    assert said.answer[0] == "No trial is complete, so there is no best model."
    assert rates_table(failed.of(rate_curve.FIGURE)).empty


def test_best_names_the_network_and_how_it_is_used(networks: Path) -> None:
    facts = best_facts(choose(networks))
    run = ranked_runs(networks)[0]
    assert (
        facts["take"] == f"{run.label}, one network for every KL weight from 0.1 to 10, at 1: the middle of its range"
    )
    assert facts["use"] == f"load_best({str(networks)!r}, beta=1) of analysis is the plain network at this weight"
    told = json.loads(json.dumps(best_json(choose(networks))))
    assert told["beta"] == 1.0
    assert told["metrics"]["val_rate"] == run.best["val_rate"]
    assert told["certainty"]["rival"] is None


def test_a_wish_is_met_at_the_weight_of_its_curve_that_meets_it_best(networks: Path) -> None:
    rates = load_rates(networks)
    own = rates[rates["number"] == ranked_runs(networks)[0].number].reset_index(drop=True)
    rate, distortion = own["val_rate"].to_numpy(float), own["val_distortion"].to_numpy(float)
    for price in (0.0, 1.0, 7.0):
        choice = choose(networks, Wish("price", price))
        assert choice.place == (distortion + price * rate).argmin()
    limit = float(np.median(rate))
    choice = choose(networks, Wish("rate", limit))
    assert choice.is_met
    assert choice.place == np.where(rate <= limit, distortion, np.inf).argmin()
    nearest = choose(networks, Wish("rate", 0.0))
    assert not nearest.is_met
    assert nearest.place == rate.argmin()
    assert "none of its weights has a rate of 0 nats or less" in best_facts(nearest)["take"]
    with torch.no_grad():
        images = torch.rand(2, 1, 28, 28)
        taken, same = (
            load_best(networks, price=7.0),
            load_best(networks, beta=choose(networks, Wish("price", 7.0)).beta),
        )
        torch.testing.assert_close(taken.reconstruct(images), same.reconstruct(images))
    with pytest.raises(OptionError, match="a KL weight"):
        load_best(networks, rate=3.0, beta=1.0)


def test_in_a_notebook_it_has_no_numbers_of_one_weight(networks: Path) -> None:
    table = StudyView(networks).table
    assert list(table) == ["number", "state", "latent_dim", "depth", "val_relative_loss"]
    assert table["val_relative_loss"].is_monotonic_increasing


def test_a_list_has_what_it_minimised(networks: Path) -> None:
    (row,) = list_studies(networks.parent).to_dict("records")
    assert row["val_relative_loss"] == load_trials(networks)["val_relative_loss"].min()
    assert np.isnan(row["val_bits_per_dim"])


def test_it_is_compared_with_the_best_plain_trial_of_each_weight(networks: Path, tmp_path: Path) -> None:
    rates = load_rates(networks)
    own = rates[rates["number"] == ranked_runs(networks)[0].number]
    base = PLAIN.replace({"limit_train": BASE.limit_train, "limit_val": BASE.limit_val})
    points = [(2.0, 1000.0), (20.0, 860.0), (60.0, 850.0), (1.0, 700.0)]
    ran = [Ran(at(1.0), [point], "COMPLETE" if k < 3 else "PRUNED") for k, point in enumerate(points)]
    plain = front_study(tmp_path / "plain", ran, base=base.replace({"epochs": 1}))
    comparison = compare_studies([networks, plain])
    (found,) = comparison.networks
    for k, (beta, rate, distortion) in enumerate(own[["beta", "val_rate", "val_distortion"]].to_numpy(float)):
        lowest = min(d + beta * r for r, d in points[:3])
        assert found.above[k] == pytest.approx(distortion + beta * rate - lowest)
        assert found.trial[k] == [d + beta * r for r, d in points[:3]].index(lowest)
    assert comparison.findings[0] == found.sentence
    table = comparison.table.set_index("study")
    assert table.loc["study", "val_relative_loss"] == load_trials(networks)["val_relative_loss"].min()
    assert table.loc["study", ["front", "hypervolume", "front_excess"]].isna().all()
    page = write_comparison(comparison, tmp_path / "compare.html").read_text()
    assert "<h2>One network against plain</h2>" in page
    assert 'id="against_0"' in page


def test_the_sentence_says_where_and_by_how_much() -> None:
    beta, loss = np.array([0.1, 1.0, 10.0]), np.array([22.0, 50.0, 90.0])
    nothing = np.zeros(3)
    found = AgainstPlain(
        "trial 2 of a", "b", nothing, nothing, beta, loss, np.array([0, 1, 1]), np.array([20, 50, 100])
    )
    assert found.sentence == (
        "One network, trial 2 of a, against the best trial of b for each KL weight: distortion + β rate, without the "
        "distortion's constant, is 0.0% lower in the mean over its 3 weights, from -10.00 nats at a KL weight of 10 to "
        "+2.00 nats at a KL weight of 0.1; at 2 of them the network is as good or better."
    )


def test_networks_are_compared_by_what_they_minimise_where_their_weights_are_the_same(
    networks: Path, tmp_path: Path
) -> None:
    other = multi_rate_study(tmp_path / "other", [Made("COMPLETE", drawn(2))])
    said = compare_studies([networks, other]).findings[0]
    best = [load_trials(folder)["val_relative_loss"].min() for folder in (networks, other)]
    assert all(f"{loss:.3f}" in said for loss in best)
    wide = BASE.replace({"model.beta_range": (0.1, 20.0)})
    another = multi_rate_study(tmp_path / "another", [Made("COMPLETE", drawn(2))], wide)
    assert "different ranges of KL weights" in compare_studies([networks, another]).findings[0]
