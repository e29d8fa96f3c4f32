"""Several studies beside each other, against what was put into the folders."""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from support.analysis_fixture import BASE, SIX, Made, build_study
from support.screens import Terminal
from support.study_cases import repeat, synthetic

from analysis.report.compare import compare_studies, fronts_chart, labels, write_comparison
from analysis.report.listing import list_studies
from trainables.config import TrialConfig


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "analysis", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, cwd=Path(__file__).parents[3])


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


@pytest.mark.heavy
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
    assert "1 run lies outside the frame" in chart.layout.xaxis.title.text


def fronts(tmp_path: Path, shift: float = 0.0, **second: object) -> tuple[Path, Path]:
    """Two studies of two objectives; the second's distortions are higher by 100 times its ``shift``."""
    made = [m for m in SIX if m.bits and m.state == "COMPLETE"] * 3
    worse = [Made(m.state, m.params, [bits + shift for bits in m.bits]) for m in made]
    options = {"objective": "rate_distortion"}
    return build_study(tmp_path / "a", made, **options), build_study(tmp_path / "b", worse, **options, **second)


@pytest.mark.heavy
def test_studies_of_two_objectives_are_ranked_by_their_fronts(tmp_path: Path) -> None:
    comparison = compare_studies(fronts(tmp_path, 0.2)[::-1])
    said, table = " ".join(comparison.findings), comparison.table
    assert "best trial" not in said
    assert comparison.findings[0].startswith("The front of a is better than that of b: ")
    assert "The front of a dominates the largest part" in said
    planes = [study.plane for study in comparison.studies]
    for k, (own, other) in enumerate((planes, planes[::-1])):
        at = own.front
        lowest = np.min(other.distortion + np.outer(own.beta[at], other.rate), 1)
        expected = (own.distortion[at] + own.beta[at] * own.rate[at] - lowest).mean()
        assert table["front_excess"][k] == pytest.approx(expected)
        assert table["front_excess_low"][k] <= expected <= table["front_excess_high"][k]
        assert f"{abs(expected):.2f} nats an image" in said
        assert table["front"][k] == len(at)
    assert table["front_excess"][0] > 0 > table["front_excess"][1]
    trials = comparison.studies[0].study.trials
    assert planes[0].distortion.tolist() == trials["val_distortion"].tolist()
    assert table["hypervolume_low"].le(table["hypervolume"]).all()
    page = write_comparison(comparison, tmp_path / "compare.html").read_text()
    assert "The likelihoods differ" not in page
    shown = command("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "compare.html")
    assert "The front of a is better" in shown.stderr  # a pipe gets data alone


def test_equal_fronts_are_not_separable(tmp_path: Path) -> None:
    said = compare_studies(fronts(tmp_path)).findings
    assert said[0].startswith("The fronts of a and b are not separable: ")
    assert "dominate equally much" in said[2]


def test_a_front_of_one_trial_is_not_ranked_yet(tmp_path: Path) -> None:
    few = [build_study(tmp_path / name, SIX[:1], objective="rate_distortion") for name in "ab"]
    comparison = compare_studies(few)
    assert comparison.findings == [
        "Whose front is better cannot be told yet: that takes 2 complete trials of each study."
    ]
    assert comparison.table["front_excess"].isna().all()


def test_the_best_of_three_fronts_is_compared_with_all_others(tmp_path: Path) -> None:
    first, second = fronts(tmp_path, 0.2)
    third = synthetic(tmp_path / "c", 12, objective="rate_distortion")
    comparison = compare_studies([first, second, third])
    assert "all that the other studies have" in comparison.findings[0]
    own, others = comparison.studies[1].plane, [study.plane for study in (comparison.studies[0], comparison.studies[2])]
    rate, distortion = (np.concatenate([getattr(it, name) for it in others]) for name in ("rate", "distortion"))
    lowest = np.min(distortion + np.outer(own.beta[own.front], rate), 1)
    losses = own.distortion[own.front] + own.beta[own.front] * own.rate[own.front]
    assert comparison.table["front_excess"][1] == pytest.approx((losses - lowest).mean())


def test_fronts_of_different_likelihoods_are_drawn_calibrated_and_not_ranked(tmp_path: Path) -> None:
    base = BASE.replace({"model.likelihood": "laplace"})
    comparison = compare_studies(fronts(tmp_path, base=base))
    said, bits = comparison.findings
    assert said.startswith("Their likelihoods differ (gaussian, laplace)")
    assert bits.startswith("The fewest bits per dimension: trial 2 of a 2.4000, trial 2 of b 2.4000; one training")
    assert comparison.table["likelihood"].tolist() == ["gaussian", "laplace"]
    assert comparison.table["front_excess"].isna().all()
    for study in comparison.studies:
        assert study.plane.calibrated
        nats = study.study.trials["val_nelbo"] - study.study.trials["val_rate"]
        assert study.plane.distortion.tolist() == nats.tolist()
    assert (
        "calibrated distortion"
        in fronts_chart([(it.name, it.plane) for it in comparison.studies]).layout.yaxis.title.text
    )
    assert "The likelihoods differ (gaussian, laplace)" in write_comparison(comparison, tmp_path / "c.html").read_text()


def test_final_trainings_are_no_part_of_a_comparison(two: tuple[Path, Path]) -> None:
    assert [study.plane.is_final.any() for study in compare_studies(two).studies] == [False, False]


def test_studies_of_other_images_are_not_ranked(tmp_path: Path) -> None:
    fewer = BASE.model_copy(update={"limit_val": 50})
    folders = [build_study(tmp_path / "a"), build_study(tmp_path / "b", base=fewer)]
    comparison = compare_studies(folders)
    assert "not validated on the same images" in comparison.findings[0]
    for column in ("hypervolume", "hypervolume_low", "front_excess"):
        assert comparison.table[column].isna().all()


BINARY = {
    how: BASE.replace({"model.likelihood": "bernoulli", "model.binarise": how})
    for how in ("dynamic", "fixed", "threshold")
}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (BASE, BINARY["fixed"], "those of a are grey, those of b are binary, each drawn once"),
        (BINARY["threshold"], BASE, "those of a are binary, white above half, those of b are grey"),
        (
            BINARY["dynamic"],
            BINARY["threshold"],
            "those of a are binary, each drawn once, those of b are binary, white",
        ),
    ],
)
@pytest.mark.parametrize("objective", ["rate_distortion", "bits_per_dim"])
def test_studies_of_other_pixels_are_not_ranked(
    first: TrialConfig, second: TrialConfig, words: str, objective: str, tmp_path: Path
) -> None:
    made = [m for m in SIX if m.state == "COMPLETE"]
    bases = {"a": first, "b": second}
    folders = [build_study(tmp_path / name, made, base=base, objective=objective) for name, base in bases.items()]
    comparison = compare_studies(folders)
    (said,) = comparison.findings
    assert said.startswith("These studies were not validated on the same pixels: ")
    assert words in said
    for column in ("hypervolume", "hypervolume_low", "front_excess"):
        assert comparison.table[column].isna().all()
    assert comparison.table["binarise"].tolist() == [first.model.binarise, second.model.binarise]
    assert not any(study.plane.calibrated for study in comparison.studies)
    page = write_comparison(comparison, tmp_path / "c.html").read_text()
    for heading in ("Rate against distortion: a", "Rate against distortion: b"):  # each alone
        assert heading in page
    assert "The likelihoods differ" not in page


def test_studies_whose_held_out_pixels_are_the_same_draw_are_ranked(tmp_path: Path) -> None:
    made = [m for m in SIX if m.state == "COMPLETE"]
    folders = [
        build_study(tmp_path / how, made, base=BINARY[how], objective="rate_distortion") for how in ("dynamic", "fixed")
    ]
    comparison = compare_studies(folders)
    assert comparison.findings[0].startswith("The fronts of dynamic and fixed are not separable")
    assert comparison.table["front_excess"].notna().all()


def test_studies_without_a_complete_trial_compare_too(tmp_path: Path) -> None:
    folders = [build_study(tmp_path / name, []) for name in "ab"]
    comparison = compare_studies(folders)
    assert "nothing to compare yet" in comparison.findings[0]
    assert write_comparison(comparison, tmp_path / "out.html").exists()


def test_labels_tell_folders_apart() -> None:
    assert labels([Path("/x/a/s"), Path("/x/b/s")]) == ["a/s", "b/s"]
    assert labels([Path("/x/a"), Path("/x/b")]) == ["a", "b"]


def assert_data(printed: str, expected: pd.DataFrame) -> None:
    """A pipe gets the whole frame and nothing else, to the last bit."""
    read = pd.read_table(StringIO(printed))
    assert read.columns.tolist() == expected.columns.tolist()
    for column in expected:
        kind = expected[column].dtype
        pd.testing.assert_series_equal(read[column].astype(kind), expected[column])


@pytest.mark.heavy
def test_a_comparison_in_a_pipe_is_data_and_what_it_says_goes_beside(two: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    shown = command("compare", *two, "--out", page)
    assert shown.returncode == 0, shown.stderr
    assert_data(shown.stdout, compare_studies(two).table)
    assert "2.4000 bits per dimension" in shown.stderr
    assert shown.stderr.splitlines()[-1] == f"page  {page}"


@pytest.mark.heavy
@pytest.mark.parametrize("width", [80, 120])
def test_a_list_and_a_comparison_fit_a_terminal(two: tuple[Path, Path], tmp_path: Path, width: int) -> None:
    build_study(tmp_path / "none", [])
    for arguments in (["list", tmp_path], ["compare", *two, "--out", tmp_path / "out.html"]):
        found = Terminal("-m", "analysis", *arguments, cwd=Path(__file__).parents[3], width=width)
        try:
            assert found.end() == 0, found.output
        finally:
            found.close()
        lines = found.screen()
        assert [line for line in lines if len(line) > width] == []
        assert "nan" not in " ".join(lines).replace("dominan", "")
        head = lines[0].split("  ")
        assert head[0] == "study"
        rows = [line for line in lines[1:4] if line.startswith(("a/study", "b/study", "none"))]
        assert len(rows) == (3 if arguments[0] == "list" else 2)
        assert all(len(re.split(r"\s{2,}", line.strip())) == len(re.split(r"\s{2,}", lines[0])) for line in rows)
        if arguments[0] == "list":
            said = "-: no trial is complete, or no front: one number is minimised, or each trial is a curve"
            assert said in " ".join(lines)


@pytest.mark.heavy
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
    assert "torn cannot be read" in shown.stderr
    assert_data(shown.stdout, found)
    pd.testing.assert_index_equal(list_studies(two[0] / "trials").columns, found.columns)


@pytest.mark.heavy
def test_studies_by_different_definitions_are_told_apart_and_not_ranked(two: tuple[Path, Path], tmp_path: Path) -> None:
    older = BASE.model_copy(update={"definitions": 1})
    build_study(tmp_path / "c" / "study", base=older)
    assert list_studies(tmp_path)["definitions"].tolist() == [2, 2, 1]
    shown = command("list", tmp_path)
    assert "by definitions 1, whose bits per dimension are not those of the others: c/study" in shown.stderr
    mixed = compare_studies([two[0], tmp_path / "c" / "study"])
    assert len(mixed.findings) == 1
    assert "not validated on the same images by the same definitions" in mixed.findings[0]
    assert mixed.table["hypervolume"].isna().all()
    assert len(compare_studies(two).findings) > 1


def test_a_list_has_the_front_and_one_trial_its_knee(tmp_path: Path) -> None:
    build_study(tmp_path / "two", objective="rate_distortion")
    (row,) = list_studies(tmp_path).to_dict("records")
    assert (row["front"], row["knee"]) == (3, 0)
    assert [row[name] for name in ("val_rate", "val_distortion", "val_bits_per_dim")] == [13.0, 855.0, 2.5]
