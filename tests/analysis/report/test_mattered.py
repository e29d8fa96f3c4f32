"""What mattered in studies whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import IntDistribution
from support.analysis_fixture import SPACE, Made, build_study
from support.front_study import Ran, at, front_study, searched

from analysis.figures.registry import StudyContext
from analysis.figures.study import importance, rate_distortion
from analysis.figures.study.importance import draw_importance, importance_chart
from analysis.reading.study_record import read_study
from analysis.report.findings import findings
from analysis.report.mattered import best_by_band, edge_sentences, importance_sentence, search_sentences
from analysis.report.tables import study_tables
from analysis.statistics.importance import Importance
from analysis.statistics.resampling import Interval

BANDS = "The best trial of each band of KL weights"


def context(folder: Path) -> StudyContext:
    return StudyContext(read_study(folder))


def weighted(count: int, seed: int = 0) -> list[Ran]:
    """What a deeper model saves falls with the KL weight, which itself costs far more: only within a band does depth
    tell good trials from bad ones."""
    rng, ran = np.random.default_rng(seed), []
    for beta in np.geomspace(0.1, 10, count):
        depth, size = int(rng.integers(2)), int(rng.integers(2, 33))
        rate = 20 / beta
        costs = 40 * (10 / beta) ** 0.5 * (1 - depth) + rng.exponential(0.5) * (10 / beta) ** 0.5
        ran.append(Ran(at(float(beta), size, depth), [(rate, 800 - 30 * np.log1p(rate) + costs)] * 3))
    return ran


@pytest.mark.heavy
def test_what_mattered_is_what_costs_at_the_same_kl_weight(tmp_path: Path) -> None:
    study = context(front_study(tmp_path / "study", weighted(60)))
    found = study.of(importance.FIGURE)
    assert found.of == "the rank of excess within 4 bands of KL weight"
    assert found.names == ["depth", "latent_dim"]  # and not the KL weight
    assert found.shares[0] > 0.6
    assert found.shares[1] < 0.1
    said = importance_sentence(found)
    assert said.startswith(
        "What mattered for the rank of excess within 4 bands of KL weight, by the share of its variance"
    )
    assert (
        draw_importance(found)
        .axes[0]
        .get_xlabel()
        .replace("\n", " ")
        .startswith(
            "share that each explains alone (%) of the variance of the rank of excess within 4 bands of KL weight"
        )
    )


def test_of_what_did_not_vary_nothing_is_said(tmp_path: Path) -> None:
    ran = [replace(each, params={**each.params, "model.latent_dim": 8}) for each in weighted(40)]
    found = context(front_study(tmp_path / "study", ran)).of(importance.FIGURE)
    assert (found.names, found.constant) == (["depth"], ["latent_dim"])
    said = importance_sentence(found)
    assert "; nothing can be said of latent size, which did not vary" in said
    assert "latent size (" not in said
    labels = [label.get_text() for label in draw_importance(found).axes[0].get_yticklabels()]
    assert labels == ["depth", "interactions\nand unexplained", "latent size"]
    assert [list(bar.y) for bar in importance_chart(found).data] == [
        ["depth"],
        ["interactions and unexplained"],
        ["latent size"],
    ]


def test_of_one_objective_the_kl_weight_counts_and_what_did_not_vary_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(30):
        params = {"beta": float(10 ** rng.uniform(-1, 1)), "model.latent_dim": 8, "model.depth": int(rng.integers(2))}
        made.append(Made("COMPLETE", params, [3 + np.log(params["beta"]) ** 2]))
    found = context(build_study(tmp_path / "study", made)).of(importance.FIGURE)
    assert found.of == "bits per dimension"
    assert found.names[0] == "beta"
    assert found.constant == ["latent_dim"]


def test_where_nothing_can_be_told_what_did_not_vary_is_named_too() -> None:
    found = Importance([], np.zeros(0), 9, "It cannot be told", constant=["latent_dim", "depth"])
    assert importance_sentence(found) == (
        "It cannot be told; nothing can be said of latent size and depth, which did not vary."
    )


def test_where_only_the_kl_weight_was_searched_that_is_said(tmp_path: Path) -> None:
    ran = [Ran({"beta": float(beta)}, [(20 / beta, 800 + beta)] * 3) for beta in np.geomspace(0.1, 10, 12)]
    study = context(front_study(tmp_path / "study", ran, space={"beta": SPACE["beta"]}))
    assert "Nothing but the KL weight was searched" in importance_sentence(study.of(importance.FIGURE))


def test_the_best_of_each_band_and_how_far_the_next_architecture_is(tmp_path: Path) -> None:
    """All of a band at one KL weight: its excess is what a trial's price lies above the lowest."""
    ran = []
    for beta, best in ((0.5, (16, 1)), (4.0, (4, 0))):
        rate = 20 / beta
        lowest = 800 - 30 * np.log1p(rate)
        ran += [
            Ran(at(beta, *best), [(rate, lowest)] * 3),
            Ran(at(beta, *best), [(rate, lowest + 0.5)] * 3),  # the same architecture again
            Ran(at(beta, 8, 1), [(rate, lowest + 2.0)] * 3),
            Ran(at(beta, 2, 1), [(rate, lowest + 7.0)] * 3),
            Ran(at(beta, 32, 0), [(rate, lowest + 9.0)] * 3),
            Ran(at(beta, 31, 0), [(rate, lowest + 99.0)], "PRUNED"),
        ]
    table = study_tables(context(front_study(tmp_path / "study", ran)))[BANDS]
    assert table["KL weight β"].tolist() == ["0.5", "4"]
    assert table["trials"].tolist() == [5, 5]
    assert table["best"].tolist() == ["trial 0", "trial 6"]
    assert table[["latent size", "depth"]].to_numpy().tolist() == [[16, 1], [4, 0]]
    assert table["rate, nats"].tolist() == [40, 5]
    assert table["next architecture"].tolist() == ["trial 2 (latent size 8)", "trial 8 (latent size 8, depth 1)"]
    assert table["nats behind"].tolist() == pytest.approx([2, 2])


def test_bands_leave_out_what_is_beyond_the_limits_and_one_architecture_has_no_next(tmp_path: Path) -> None:
    ran = [Ran(at(1.0), [(rate, 800.0 - rate)] * 3) for rate in (5.0, 10.0, 15.0, 20.0)]
    study = read_study(front_study(tmp_path / "study", ran, where=["val_rate<=12"]))
    (row,) = best_by_band(StudyContext(study).trials, study).to_dict("records")
    assert row["trials"] == 2
    assert (row["best"], row["rate, nats"]) == ("trials 0 and 1", "5.00 to 10.00")  # at one price for each nat
    assert "next architecture" not in row


def test_trials_that_tie_are_all_the_best(tmp_path: Path) -> None:
    """At one KL weight, of one D + beta R: three trials of two architectures; the next is 3 nats behind."""
    sizes = [(8, 5.0, 0.0), (16, 9.0, 0.0), (16, 7.0, 0.004), (4, 5.0, 3.0), (8, 5.0, 0.5)]
    ran = [Ran(at(1.0, size, 1), [(rate, 800.0 - rate + more)] * 3) for size, rate, more in sizes]
    study = read_study(front_study(tmp_path / "study", ran))
    (row,) = best_by_band(StudyContext(study).trials, study).to_dict("records")
    assert (row["best"], row["latent size"], row["depth"]) == ("trials 0, 2 and 1", "8 or 16", 1)
    assert (row["rate, nats"], row["distortion, nats"]) == ("5.00 to 9.00", "791.00 to 795.00")
    assert row["next architecture"] == "trial 3 (latent size 4)"
    assert row["nats behind"] == pytest.approx(3)


@pytest.mark.parametrize("state", ["FAIL", "RUNNING", "PRUNED"])
def test_without_a_complete_trial_there_is_no_table(state: str, tmp_path: Path) -> None:
    study = context(front_study(tmp_path / "study", [Ran(at(1.0), [(5, 800)], state)] * 3))
    assert BANDS not in study_tables(study)
    assert best_by_band(study.trials, study.record).empty


def test_a_study_of_one_objective_has_no_bands(tmp_path: Path) -> None:
    assert BANDS not in study_tables(context(build_study(tmp_path / "study")))


def test_a_run_at_an_end_of_the_range_says_where_to_go_on(tmp_path: Path) -> None:
    space = {**SPACE, "model.latent_dim": IntDistribution(2, 128, log=True)}
    ran = [Ran(at(10.0, 128), [(5.0, 800.0)] * 3)]
    study = context(front_study(tmp_path / "two", ran, space=space))
    (said,) = edge_sentences(study.searched_runs[0], study.record)  # the KL weight's ends are the front's
    assert said == "The latent size of trial 0, 128, is at the upper end of the range 2 to 128: try up to 256."
    made = [Made("COMPLETE", at(9.9, 8), [2.5])]
    study = context(build_study(tmp_path / "one", made))
    (said,) = edge_sentences(study.searched_runs[0], study.record)
    assert said == "The KL weight β of trial 0, 9.9, is near the upper end of the range 0.1 to 10: try up to 20."


def test_the_findings_of_two_objectives_say_what_mattered_and_what_to_do_next(tmp_path: Path) -> None:
    study = context(searched(tmp_path / "study", 30))
    told = Importance(["depth"], np.array([0.7]), 30, of="the rank of excess")
    found = findings(study, told, study.of(rate_distortion.FIGURE))
    said = " ".join([*found.answer, *found.notes])
    growth, saved = search_sentences(study)
    for sentence in (importance_sentence(told), growth, saved):
        assert sentence in said


def test_shares_that_may_be_nothing_are_said_to_be() -> None:
    names, shares = ["depth", "latent_dim"], np.array([0.03, 0.02])
    weak = Importance(names, shares, 30, intervals=[Interval(0.03, 0.0, 0.26), Interval(0.02, 0.0, 0.28)])
    assert "; none of these shares is separable from 0;" in importance_sentence(weak)
    told = Importance(names, shares, 30, intervals=[Interval(0.5, 0.2, 0.6), Interval(0.02, 0.0, 0.1)])
    assert "separable from 0" not in importance_sentence(told)
