"""Several studies, their repeats and what is said of them, against what was put into the folders."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from support.analysis_fixture import BASE, SIX, Made, build_study, record

from analysis import StudyView, load_trials
from analysis.figures.charts import fronts_chart
from analysis.figures.study.rate_distortion import compute_rate_distortion
from analysis.reading.best_runs import rank_runs
from analysis.reading.frames import trials_frame
from analysis.reading.repeats import load_repeats, repeats_frame
from analysis.reading.study_record import read_study
from analysis.report.compare import compare_studies, labels, list_studies, write_comparison
from analysis.report.findings import Findings, collapsed, findings, last_gain, no_bend
from analysis.statistics.importance import Importance
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder


def repeat(folder: Path, number: int, values: list[float], base: object = BASE) -> None:
    """Repeats of a trial of SIX whose best epochs have these bits per dimension."""
    config = BASE.of_trial(number, SIX[number].params)
    for k, value in enumerate(values, 1):
        record(TrialFolder(StudyLayout(folder).repeat(number, k)), config.of_repeat(k), [3.0, 2.9, value])


def said(folder: Path) -> Findings:
    study = read_study(folder)
    trials = trials_frame(study)
    shares = Importance(["beta", "depth"], np.array([0.7, 0.3]), 30)
    plane = compute_rate_distortion(trials, None, study.base.model.dimensions)
    return findings(trials, repeats_frame(study), rank_runs(study), shares, plane)


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "analysis", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=Path(__file__).parents[3])


# ---- repeats


def test_repeats_are_read_and_those_of_another_config_left_out(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    assert len(load_repeats(folder)) == 0
    repeat(folder, 4, [2.41, 2.43])
    failed = TrialFolder(StudyLayout(folder).repeat(4, 3))
    failed.create(BASE.of_trial(4, SIX[4].params).of_repeat(3))
    failed.fail("the loss is nan")
    TrialFolder(StudyLayout(folder).repeat(0, 1)).create(BASE.of_trial(0, SIX[0].params).of_repeat(1))
    record(TrialFolder(StudyLayout(folder).repeat(1, 1)), BASE, [1.0, 1.0, 1.0])  # another's
    (folder / "repeats" / "0004" / "4x").mkdir()
    found = load_repeats(folder)
    assert found["number"].tolist() == [4, 4, 4]
    assert found["repeat"].tolist() == [1, 2, 3]
    assert found["state"].tolist() == ["COMPLETE", "COMPLETE", "FAIL"]
    assert found["val_bits_per_dim"].tolist()[:2] == [2.41, 2.43]
    assert found["cause"][2] == "the loss is nan"
    assert found["seed"].nunique() == 3
    assert found.dtypes.equals(load_repeats(build_study(tmp_path / "none")).dtypes)


def test_the_cause_of_a_failed_repeat_is_whole_or_refused(tmp_path: Path) -> None:
    failed = TrialFolder(tmp_path)
    assert failed.cause() is None
    failed.fail("the loss is nan")
    whole = (tmp_path / "failed.json").read_bytes()
    for length in range(len(whole) - 1):  # the last byte ends the line
        (tmp_path / "failed.json").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"failed\.json is damaged"):
            failed.cause()
    (tmp_path / "failed.json").write_bytes(whole)
    assert failed.cause() == "the loss is nan"


# ---- findings


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
    answer, notes = said(folder).answer, said(folder).notes
    ranked = " ".join(notes)
    if len(best) > 1 and len(second) > 1:  # the ranks are never of another opinion
        assert ("; not separable: trial" in ranked) == ("the two are separable" not in answer[0])
        assert ("rank 1 to 2" in ranked) == ("; not separable: trial" in ranked)
    assert answer[0].startswith("The best trial is trial 4, with KL weight 0.5, latent size 16 and depth 1")
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
    trials = trials_frame(read_study(folder))
    rate, distortion = trials["val_rate"], trials["val_nelbo"] - trials["val_rate"]
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
    assert found.notes == ["Of 1 trial, 1 complete.", "Trial 0 has both the lowest rate and the lowest distortion."]


def test_what_is_said_of_equal_values_is_true(tmp_path: Path) -> None:
    made = complete([2.5, 2.5, 2.5], [2.5, 2.5, 2.5], [2.5, 2.5, 2.5])
    found = said(build_study(tmp_path / "s", made, final_bits=[2.5] * 4))
    assert "no fewer than the runner-up, trial 1; one training of each" in found.answer[0]
    assert "it has 1 point," in found.answer[-1]
    assert found.notes == [
        "Of 3 trials, 3 complete.",
        "The median complete trial lies 0.0000 bits behind the best.",
        "A final training of 4 epochs reached 2.5000, as the best trial.",
        "Trial 0 has both the lowest rate and the lowest distortion, as 2 more.",
    ]


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
    base = BASE.model_copy(update={"epochs": len(bits)})
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
    assert words in no_bend(np.array(rate), np.array(distortion))


def test_failed_repeats_are_counted(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    for k in (1, 2):
        lost = TrialFolder(StudyLayout(folder).repeat(4, k))
        lost.create(BASE.of_trial(4, SIX[4].params).of_repeat(k))
        lost.fail("the loss is nan")
    found = said(folder)
    assert "one training of each (2 repeats failed) cannot tell merit from luck." in found.answer[0]
    assert "2 repeats with other seeds failed." in found.notes
    assert "The cause of the failure: non-finite <script>." in found.notes


def test_a_best_trial_without_a_code_is_no_answer(tmp_path: Path) -> None:
    run = rank_runs(read_study(build_study(tmp_path / "study")))[0]
    assert collapsed(run) == []
    (warning,) = collapsed(replace(run, best={**run.best, "val_rate": 0.193}))
    assert "carries 0.19 nats an image, next to nothing" in warning


# ---- in a notebook


def test_a_study_shows_itself_and_escapes_what_it_holds(tmp_path: Path) -> None:
    view = StudyView(build_study(tmp_path / "study", name="<b>bold"))
    assert view.title == "<b>bold: 6 trials (3 complete, 1 running, 1 pruned, 1 fail)"
    assert view.table["number"].tolist()[:3] == [4, 0, 1]
    assert view.run().best["val_bits_per_dim"] == 2.4
    low = [SIX[0], Made("PRUNED", SIX[2].params, [1.0])]
    assert StudyView(build_study(tmp_path / "low", low)).table["number"].tolist() == [0, 1]
    assert "2.40" in repr(view)
    assert "<h4>&lt;b&gt;bold: 6 trials" in view._repr_html_()
    assert "<b>bold" not in view._repr_html_()
    pd.testing.assert_frame_equal(view.trials, load_trials(tmp_path / "study"))
    assert len(StudyView(build_study(tmp_path / "empty", [])).table) == 0


@pytest.mark.parametrize(
    ("readme", "heading", "printed"),
    [
        ("README.md", "## In pandas", "torch.Size([16, 1, 28, 28])"),
        ("analysis/README.md", "## In Python", "nats an image"),
    ],
)
def test_the_readme_s_analysis_runs_as_it_stands(readme: str, heading: str, printed: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / readme).read_text()
    part = text.split(heading)[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", part, re.MULTILINE)
    code = textwrap.dedent(next(block for block in blocks if "import" in block))
    build_study(tmp_path / "runs" / "digits_vae", final_bits=[2.6, 2.4, 2.35, 2.37])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


# ---- compare and list


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    worse = [Made(m.state, m.params, [bits + 0.3 for bits in m.bits], m.attrs) for m in SIX]
    space = {"beta": FloatDistribution(0.1, 10, log=True)}
    return (
        build_study(tmp_path / "a" / "study", final_bits=[2.6, 2.4, 2.35, 2.37]),
        build_study(
            tmp_path / "b" / "study",
            [Made(m.state, {"beta": m.params["beta"]}, m.bits, m.attrs) for m in worse],
            space=space,
        ),
    )


def test_a_comparison_is_of_what_the_folders_hold(two: tuple[Path, Path], tmp_path: Path) -> None:
    comparison = compare_studies(two)
    table = comparison.table
    assert table["study"].tolist() == ["a/study", "b/study"]
    assert table["val_bits_per_dim"].tolist() == pytest.approx([2.4, 2.7])
    assert table["final_bits_per_dim"][0] == 2.35
    assert table["final_bits_per_dim"].isna().tolist() == [False, True]
    assert table["complete"].tolist() == [3, 3]
    assert table["best_trial"].tolist() == [4, 4]
    assert table["hypervolume"][0] > table["hypervolume"][1]  # the same rates at lower distortions
    assert "trial 4 of a/study, 2.4000 bits per dimension; the best of b/study lies 0.3000" in " ".join(
        comparison.findings
    )
    page = write_comparison(comparison, tmp_path / "compare.html").read_text()
    assert "What was asked differently" in page
    assert "model.latent_dim" in page
    markup = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", markup)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([], [], "One training of each cannot tell merit from luck (--seeds 3 would)."),
        ([2.4], [2.7], "1 and 1 repeats of them cannot tell"),
        ([2.40, 2.41], [2.70, 2.71], "With 2 other seeds each the two are separable, and trial 4 of a is better"),
        ([2.80, 2.81], [2.70, 2.71], "With 2 other seeds each the two are separable, and trial 4 of b is better"),
        ([2.40, 2.80], [2.70, 2.71], "With 2 other seeds each the two are not separable: trial 4 of b lies"),
    ],
)
def test_other_seeds_say_which_study_is_better(
    first: list[float], second: list[float], words: str, tmp_path: Path
) -> None:
    worse = [Made(m.state, m.params, [bits + 0.3 for bits in m.bits], m.attrs) for m in SIX]
    folders = build_study(tmp_path / "a"), build_study(tmp_path / "b", worse)
    for folder, values in zip(folders, (first, second), strict=True):
        repeat(folder, 4, values)
    said = compare_studies(folders).findings
    assert said[0].startswith("The best trial is trial 4 of a, ")
    assert said[1].startswith(words)


def test_fronts_are_ranked_by_what_resamples_of_their_trials_leave(tmp_path: Path) -> None:
    def study(name: str, more: float, copies: int) -> Path:
        made = [Made(m.state, m.params, [bits + more for bits in m.bits]) for m in SIX if m.bits] * copies
        return build_study(tmp_path / name, made)

    few, alike, many, worse = study("f", 0, 1), study("s", 0, 1), study("m", 0, 9), study("w", 0.3, 9)
    assert "fronts of f and s dominate equally much" in compare_studies([few, alike]).findings[2]
    assert "the two are not separable, as some resamples" in compare_studies([few, worse]).findings[2]
    apart = compare_studies([worse, many]).findings[2]
    assert apart.startswith("The front of m dominates the largest part")
    assert "the two are separable" in apart


def test_a_dominated_outlier_does_not_change_what_a_comparison_says(two: tuple[Path, Path], tmp_path: Path) -> None:
    before = compare_studies(two)
    far = Made("COMPLETE", {"beta": 0.1, "model.latent_dim": 8, "model.depth": 0}, [300.0])
    after = compare_studies([build_study(tmp_path / "c" / "study", [*SIX, far]), two[1]])
    assert after.table["hypervolume"].tolist() == before.table["hypervolume"].tolist()
    outside = after.studies[0].plane.outside
    assert outside.tolist() == [False, False, False, True]
    chart = fronts_chart([(s.name, s.plane) for s in after.studies])
    assert chart.layout.yaxis.range[1] < 1e5
    assert "1 run lies outside the frame" in chart.layout.annotations[0].text


def test_studies_of_other_images_are_not_ranked(tmp_path: Path) -> None:
    fewer = BASE.model_copy(update={"limit_val": 50})
    folders = [build_study(tmp_path / "a"), build_study(tmp_path / "b", base=fewer)]
    comparison = compare_studies(folders)
    assert "not validated on the same images" in comparison.findings[0]
    assert comparison.table["hypervolume"].isna().all()


def test_studies_without_a_complete_trial_compare_too(tmp_path: Path) -> None:
    folders = [build_study(tmp_path / name, []) for name in "ab"]
    comparison = compare_studies(folders)
    assert "nothing to compare yet" in comparison.findings[0]
    assert write_comparison(comparison, tmp_path / "out.html").exists()


def test_labels_tell_folders_apart() -> None:
    assert labels([Path("/x/a/s"), Path("/x/b/s")]) == ["a/s", "b/s"]
    assert labels([Path("/x/a"), Path("/x/b")]) == ["a", "b"]


def test_list_shows_what_can_be_read_and_says_what_cannot(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "study.json").write_text("{")
    found = list_studies(tmp_path)
    assert found["study"].tolist() == ["a/study", "b/study", "torn"]
    assert found["trials"].tolist()[:2] == [6, 6]
    assert found["fault"].isna().tolist() == [True, True, False]
    assert found.dtypes.equals(list_studies(tmp_path / "torn" / "..").dtypes)
    shown = command("list", tmp_path)
    assert shown.returncode == 0
    assert "2.4000" in shown.stdout
    assert "torn cannot be read" in shown.stderr
    pd.testing.assert_index_equal(list_studies(two[0] / "trials").columns, found.columns)


def test_the_commands_say_what_is_wrong(two: tuple[Path, Path], tmp_path: Path) -> None:
    for arguments, message in [
        (("compare", two[0]), "a comparison needs at least 2 studies, got 1"),
        (("compare", two[0], two[0]), "cannot be compared with itself"),
        (("compare", two[0], tmp_path / "none"), "no study folder at"),
        (("compare", *two, "--out", tmp_path / "no" / "such.html"), "cannot write"),
        (("list", tmp_path / "none"), "no folder at"),
    ]:
        done = command(*arguments)
        assert done.returncode == 1, done.stdout
        assert message in done.stderr
        assert len(done.stderr.splitlines()) <= 2
    with pytest.raises(UserError):
        compare_studies([])
