"""What is said of a study, against what was put into its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.analysis_fixture import BASE, SIX, Made, build_study
from support.study_cases import repeat

from analysis.figures.registry import StudyContext
from analysis.figures.study import rate_distortion
from analysis.reading.best_runs import ranked_runs
from analysis.reading.frames import load_repeats, load_trials
from analysis.reading.study_record import read_study
from analysis.report.findings import Findings, collapse, findings, last_gain, no_knee_sentence, notes
from analysis.report.tables import study_tables
from analysis.statistics.importance import Importance
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder


def said(folder: Path) -> Findings:
    study = StudyContext(read_study(folder))
    return findings(study, Importance(["beta", "depth"], np.array([0.7, 0.3]), 30), study.of(rate_distortion.FIGURE))


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return study_tables(StudyContext(read_study(folder)))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("best", "second", "verdict"),
    [
        ([], [], "one training of each cannot tell merit from luck"),
        ([2.40], [2.50], "; 1 and 1 repeats of them cannot tell merit from luck: each needs 2."),
        ([2.40, 2.41], [], "; 2 and 0 repeats of them cannot tell merit from luck: each needs 2."),
        ([2.40, 2.40], [2.50, 2.50], "; the repeats of each agree to the last digit"),
        ([2.40, 2.41, 2.42], [2.50, 2.51, 2.52], "the two are separable, and trial 4 is better: trial 0 lies +"),
        ([2.40, 2.60, 2.42], [2.50, 2.41, 2.62], "with 3 other seeds each the two are not separable: trial 0"),
        ([2.40, 2.41, 2.42, 2.43], [2.50, 2.51, 2.52], "with 4 and 3 other seeds the two are separable"),
        ([2.60, 2.61, 2.62], [2.50, 2.51, 2.52], "the two are separable, and trial 0 is better: trial 0 lies -"),
    ],
)
def test_the_winner_is_told_from_the_runner_up_by_other_seeds_alone(
    best: list[float], second: list[float], verdict: str, tmp_path: Path
) -> None:
    folder = build_study(tmp_path / "study")
    repeat(folder, 4, best)
    repeat(folder, 0, second)
    answer = said(folder).answer
    if len(best) > 1 and len(second) > 1:  # the ranks are never of another opinion
        ranked = tables(folder)["With other seeds"].set_index("trial")
        alike = "the two are separable" not in answer[0]
        assert ranked.loc[4, "not separable from"] == "trial 0" * alike
        assert ranked.loc[0, "not separable from"] == "trial 4" * alike
        assert (set(ranked["rank"]) == {"1 to 2"}) == alike
        assert ranked["bits/dim, mean"].is_monotonic_increasing
        assert ranked.loc[4, ["bits/dim, mean", "bits/dim, standard deviation", "seeds", "failed"]].tolist() == [
            pytest.approx(np.mean(best)),
            pytest.approx(np.std(best, ddof=1)),
            len(best),
            0,
        ]
    assert answer[0].startswith("The best trial is trial 4, with KL weight 0.5, latent size 16, depth 1: ")
    assert verdict in answer[0]
    assert len(answer) == 3
    assert "KL weight β (70%) and depth (30%)" in answer[1]


def test_the_bend_and_its_prices_are_those_of_the_front(tmp_path: Path) -> None:
    """Rate falls with beta in the fixture, and distortion follows the bits: three points, two slopes."""
    made = [
        Made("COMPLETE", {"beta": beta, "model.latent_dim": 8, "model.depth": 0}, [bits])
        for beta, bits in [(9.0, 3.00), (3.0, 2.60), (1.0, 2.58)]
    ]
    folder = build_study(tmp_path / "study", made)
    trials = load_trials(read_study(folder))
    rate, distortion = trials["val_rate"], trials["val_distortion"]
    prices = -np.diff(distortion) / np.diff(rate)
    sentence = said(folder).answer[-1]
    assert "bends at trial 1 (β 3, latent size 8)" in sentence
    assert f"each nat saves {prices[0]:.1f} nats of distortion, beyond it {prices[1]:.1f}" in sentence


FLAT = {"beta": 1.0, "model.latent_dim": 8, "model.depth": 0}


def failed(*causes: str) -> list[Made]:
    return [Made("FAIL", FLAT, attrs={"cause": cause}) for cause in causes]


def complete(*bits: list[float]) -> list[Made]:
    return [Made("COMPLETE", FLAT, values) for values in bits]


@pytest.mark.parametrize(
    ("trials", "answer"),
    [
        ([], ["No trial is complete yet, so there is no best model."]),
        ([SIX[2], SIX[5]], ["No trial is complete yet, so there is no best model."]),
        ([SIX[2], SIX[2]], ["No trial is complete, so there is no best model."]),
        (
            failed("the loss is nan.\nTraceback"),
            ["No trial is complete, so there is no best model.", "The cause of the failure: the loss is nan."],
        ),
        (
            failed("a", "b", "a"),
            ["No trial is complete, so there is no best model.", "The commonest cause, of 2 of 3 failures: a."],
        ),
        (
            failed("s3://me:secret@host " + "long " * 99, "s3://me:secret@host " + "long " * 99),
            [
                "No trial is complete, so there is no best model.",
                "The cause of all 2 failures: s3://me:***@host " + ("long " * 99)[:143].rstrip() + " ….",
            ],
        ),
    ],
    ids=["none", "unfinished", "pruned", "failed", "causes", "long"],
)
def test_without_a_complete_trial_that_and_its_cause_are_the_answer(
    trials: list[Made], answer: list[str], tmp_path: Path
) -> None:
    assert said(build_study(tmp_path / "s", trials)).answer == answer


def test_of_one_trial_of_one_epoch_nothing_is_made_up(tmp_path: Path) -> None:
    base = BASE.model_copy(update={"epochs": 1})
    found = said(build_study(tmp_path / "s", complete([2.5]), base=base))
    assert found.answer[0].endswith("on the validation images; no other is complete to compare it with.")
    assert "bends cannot be told: it has 1 point, and a bend takes 3." in found.answer[-1]
    assert found.notes == []
    shown = tables(tmp_path / "s")
    assert shown["How the trials ended"][["state", "trials"]].to_numpy().tolist() == [["complete", 1]]
    assert "With other seeds" not in shown


def test_what_is_said_of_equal_values_is_true(tmp_path: Path) -> None:
    made = complete([2.5, 2.5, 2.5], [2.5, 2.5, 2.5], [2.5, 2.5, 2.5])
    found = said(build_study(tmp_path / "s", made, final_bits=[2.5] * 4))
    assert "no fewer than the runner-up, trial 1; one training of each" in found.answer[0]
    assert "it has 1 point," in found.answer[-1]
    assert found.notes == ["A final training of 4 epochs reached 2.5000, as the best trial."]
    shown = tables(tmp_path / "s")
    assert shown["How the trials ended"].to_numpy().tolist() == [["complete", 3, 2.5, 2.5, ""]]


def test_of_two_objectives_it_says_what_to_take_and_whether_more_would_change_it(tmp_path: Path) -> None:
    found = said(build_study(tmp_path / "six", objective="rate_distortion"))
    take, _, more = found.answer
    assert take == (
        "For a small code take trial 1 (8.0 nats of rate; latent size 4, depth 1); at the knee trial 0 (13.0 nats of "
        "rate; latent size 8, depth 0); for faithful pictures trial 4 (17.3 nats of rate; latent size 16, depth 1)."
    )
    # D + beta R by epoch: 917, 868, 879 of trial 0; 919, 903, 902 of trial 1; 892.7, 858.2, 853.7 of trial 4
    assert "2 of its 3 trials gained at least 1% of all their gain in the last epoch: more epochs may move it." in more
    assert "depth 0 to 1; 6 trials (3 complete, 1 pruned, 1 failed, 1 interrupted), seed 0" in found.asked
    assert any("bends at trial 0 (β 1, latent size 8)" in note for note in found.notes)
    one = said(build_study(tmp_path / "one", SIX[:1], objective="rate_distortion"))
    assert one.answer[0].startswith("The front of rate against distortion is one trial: trial 0 (13.0 nats of rate;")


def test_a_front_without_a_code_is_told(tmp_path: Path) -> None:
    run = ranked_runs(build_study(tmp_path / "s", objective="rate_distortion"))[0]
    assert list(collapse([run])) == []
    (warning,) = collapse([replace(run, best={**run.best, "val_rate": 0.193})])
    assert warning.startswith("No code of the front carries more than 0.19 nats an image")


def test_the_commonest_cause_of_failures_is_beside_their_number(tmp_path: Path) -> None:
    made = [*complete([2.5, 2.4]), *failed("a", "b", "a"), SIX[2], SIX[5]]
    shown = tables(build_study(tmp_path / "s", made))["How the trials ended"]
    assert shown[["state", "trials", "commonest cause"]].to_numpy().tolist() == [
        ["complete", 1, ""],
        ["pruned", 1, ""],
        ["failed", 3, "a (2 of 3)"],
        ["interrupted", 1, ""],
    ]
    stopped = "The search was stopped before its end, and these numbers may still change: 1 trial is interrupted, "
    assert said(tmp_path / "s").notes[0] == f"{stopped}and nobody runs it."


@pytest.mark.parametrize(
    ("bits", "share"),
    [
        ([2.5], 0),
        ([3.0, 2.5], 0),
        ([3.0, 2.5, 2.6], 0),
        ([2.5, 2.5, 2.5], 0),
        ([3.0, 2.5, 2.499], 0.001 / 0.501),
        ([3.0, 2.6, 2.7, 2.5], 0.2),
        ([2.0, 3.0, 1.0], 1.0),
    ],
)
def test_more_epochs_may_help_where_the_last_one_did(bits: list[float], share: float, tmp_path: Path) -> None:
    assert last_gain(np.array(bits))[1] == pytest.approx(share)
    base = BASE.model_copy(update={"epochs": len(bits), "definitions": 1})
    notes = said(build_study(tmp_path / "s", complete(bits), base=base)).notes
    assert any("more epochs may help" in note for note in notes) == (share >= 0.01)


@pytest.mark.parametrize(
    ("rate", "distortion", "words"),
    [
        ([1.0, 2.0], [2.0, 1.0], "it has 2 points, and a bend takes 3"),
        ([1.0, 1.0], [1.0, 1.0], "it has 1 point, and a bend takes 3"),
        ([0.1, 0.2, 0.3, 0.7], [0.9, 0.8, 0.7, 0.3], "its points lie on a line"),
        ([0.0, 1.0, 3.0], [3.0, 2.9, 0.0], "it bends outwards"),
    ],
)
def test_why_a_front_has_no_bend(rate: list[float], distortion: list[float], words: str) -> None:
    assert words in no_knee_sentence(np.array(rate), np.array(distortion))


def test_failed_repeats_are_counted(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    for k in (1, 2):
        lost = TrialFolder(StudyLayout(folder).repeat(4, k))
        lost.create(BASE.of_trial(4, SIX[4].params).of_repeat(k))
        lost.fail("the loss is nan")
    found = said(folder)
    assert "one training of each (2 repeats failed) cannot tell merit from luck." in found.answer[0]
    (row,) = tables(folder)["With other seeds"].to_dict("records")
    assert (row["trial"], row["seeds"], row["failed"], row["rank"]) == (4, 0, 2, "")
    states = tables(folder)["How the trials ended"].set_index("state")
    assert states.loc["failed", "commonest cause"] == "non-finite <script>"


def test_other_seeds_of_two_objectives_have_the_trade_off_with_intervals(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")
    for number, bits in {4: [2.40, 2.41, 2.43], 0: [2.60, 2.61, 2.62], 1: [2.5]}.items():
        repeat(folder, number, bits)
    table = tables(folder)["With other seeds: means ± 95%"].set_index("trial")
    assert table.index.tolist() == [1, 0, 4]  # by their rate
    of = load_repeats(folder).groupby("number").get_group(4)
    values = (of["val_distortion"] + 0.5 * of["val_rate"]).to_numpy()
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert table.loc[4, "D + βR (nats)"] == f"{values.mean():.2f} ± {(high - low) / 2:.2f}"
    trial = load_trials(folder).set_index("number").loc[4]
    assert table.loc[4, "in the search (nats)"] == trial["val_distortion"] + 0.5 * trial["val_rate"]
    assert table.loc[4, "at its own KL weight"] == "18.00 nats ahead of trial 0 (+14.88 to +21.12)"
    assert table.loc[1, ["rate (nats)", "seeds", "failed", "at its own KL weight"]].tolist() == ["8.00", 1, 0, ""]


def test_a_best_trial_without_a_code_is_no_answer(tmp_path: Path) -> None:
    run = ranked_runs(read_study(build_study(tmp_path / "study")))[0]
    said_of_it = list(notes(run, None))
    assert not any("next to nothing" in note for note in said_of_it)
    (warning, *others) = notes(replace(run, best={**run.best, "val_rate": 0.193}), None)
    assert others == said_of_it
    assert "carries 0.19 nats an image, next to nothing" in warning
