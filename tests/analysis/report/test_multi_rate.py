"""What a study of multi-rate networks says: its page, which model to take, and against plain trials."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.analysis_fixture import BASE as PLAIN
from support.analysis_fixture import Made
from support.front_study import Ran, at, front_study
from support.multi_rate_study import BASE, drawn, multi_rate_study, trained

from analysis import StudyView, load_best, load_rates, load_trials
from analysis.figures.registry import StudyContext
from analysis.figures.study import importance, rate_curve, rate_distortion
from analysis.reading.best_runs import Run, ranked_runs
from analysis.reading.choice import Wish, choose, typed_weight
from analysis.reading.study_record import read_study
from analysis.reading.validation import read_rates
from analysis.report.best import best_facts, best_json
from analysis.report.compare import Comparison, compare_studies, write_comparison
from analysis.report.compare_rates import AgainstPlain, against_plain
from analysis.report.findings import findings
from analysis.report.listing import list_studies
from analysis.report.multi_rate import OVER_LINEAR, curve_sentence, rates_table
from analysis.report.report import write_report
from trainables.data.datasets import load_dataset
from trainables.errors import OptionError
from trainables.records.trial_folder import TrialFolder

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


def longer(folder: Path, epochs: int = 6) -> Path:
    """The study with a final training of its best trial, which is better."""
    run = ranked_runs(folder)[0]
    record, config = TrialFolder(folder / "trials" / f"final_{run.number:04d}"), run.config.replace({"epochs": epochs})
    record.create(config)
    trained(record, config, epochs)
    return folder


def test_a_final_training_is_the_answer_and_no_part_of_a_comparison(networks: Path, tmp_path: Path) -> None:
    study = StudyContext(read_study(longer(shutil.copytree(networks, tmp_path / "study"))))
    final, trial = study.runs[0], study.searched_runs[0]
    assert final.label == f"final of {trial.label}"
    said = findings(study, study.of(importance.FIGURE), study.of(rate_distortion.FIGURE)).answer
    losses = [run.best["val_relative_loss"] for run in (final, trial)]
    assert said[0].startswith(f"The best network is {final.label} (")
    assert f"rate is {losses[0]:.3f} of a linear model's" in said[0]
    assert f"; that of the best trial of the search, {trial.label}, is {losses[1]:.3f}, and that of" in said[0]
    assert f"the code of {final.label} goes" in said[2]
    np.testing.assert_allclose(rates_table(study.of(rate_curve.FIGURE))["rate (nats)"].iloc[-1], rate_of(final, 0))
    plain = front_study(tmp_path / "plain", [Ran(at(1.0), [(2.0, 1000.0)])], base=PLAIN.replace({"epochs": 1}))
    found = against_plain(("a", study), ("b", StudyContext(read_study(plain))))
    assert found
    assert found.network == f"{trial.label} of a"
    assert found.rate[0] == rate_of(trial, 0)


def rate_of(run: Run, place: int) -> float:
    return read_rates(run.folder, run.config, run.best)["val_rate"][place]


def laplace(folder: Path, likelihood: str = "laplace") -> Path:
    """Two plain trials, validated on the networks' images."""
    same = {"limit_train": BASE.limit_train, "limit_val": BASE.limit_val, "epochs": 1, "model.likelihood": likelihood}
    return front_study(folder, [Ran(at(1.0), [(2.0, 1000.0)]), Ran(at(0.5), [(9.0, 900.0)])], base=PLAIN.replace(same))


def test_distortions_of_other_likelihoods_are_no_rivals(networks: Path, tmp_path: Path) -> None:
    other, same = laplace(tmp_path / "other"), laplace(tmp_path / "same", "gaussian")
    comparison = compare_studies([networks, other])
    assert comparison.networks == []
    differ = "Their likelihoods differ (gaussian, laplace), and so does what their distortions mean: a network is"
    assert comparison.findings[0].startswith(differ)
    three = compare_studies([networks, other, same])
    (found,) = three.networks
    assert three.findings[0] == found.sentence
    assert three.findings[1].startswith(differ)

    def drawn_first(comparison: Comparison) -> str:
        page = write_comparison(comparison, tmp_path / "c.html").read_text()
        start = page.index('<div class="chart" id="fronts">')
        return page[start : page.index("</figure>", start)]

    assert found.network not in drawn_first(three)
    assert "Networks for many KL weights are left out" in drawn_first(three)
    alone = drawn_first(compare_studies([networks, same]))
    assert found.network in alone
    assert "left out" not in alone


@pytest.mark.parametrize(
    ("better", "where"),
    [
        ([0, 1, 2], "3 of 9 weights, 0.1 to 0.316"),
        ([0, 1, 2, 5], "4 of 9 weights, 0.1 to 0.316 and 1.78"),
        ([1, 4, 7, 8], "4 of 9 weights, 0.178, 1 and 5.62 to 10"),
    ],
)
def test_a_span_of_weights_has_no_gap(networks: Path, better: list[int], where: str) -> None:
    curves = StudyContext(read_study(networks)).of(rate_curve.FIGURE)
    optimum = curves.loss[0] * np.where(np.isin(np.arange(9), better), 1.1, 0.9)
    assert curve_sentence(replace(curves, optimum=optimum)).endswith(f"(PCA) at {where}.")


def test_a_weight_that_is_printed_is_within_the_range(tmp_path: Path) -> None:
    low, high = 0.123456, 0.123459
    base = BASE.replace({"model.beta_range": (low, high), "epochs": 1})
    folder = multi_rate_study(tmp_path / "study", [Made("COMPLETE", drawn(2))], base)
    for price in (0.0, 1e6):  # the ends of the range, as a rule
        used = best_facts(choose(folder, Wish("price", price)))["use"]
        load_best(folder, beta=float(re.findall(r"beta=(\S+)\)", used)[0]))
    page = write_report(folder, quick=True)["report"].read_text()
    (shown,) = re.findall(r"load_best\(.*, beta=(\S+)\)", page)
    load_best(folder, beta=float(shown))
    assert typed_weight(low, (low, high)) == "0.123456"
    assert typed_weight(1.0, (0.1, 10.0)) == "1"
    assert typed_weight(10 / 3, (10 / 3, 4.0), 2) == "3.3333333333333335"
    assert typed_weight(math.nextafter(1, 2), (math.nextafter(1, 2), 2.0)) == "1.0000000000000002"


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
