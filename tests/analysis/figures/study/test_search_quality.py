"""How a front grew, and what pruning saved, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.front_study import Ran, at, front_study, searched

from analysis.figures.registry import StudyContext
from analysis.figures.study.search_quality import (
    FIGURE,
    SearchQuality,
    growing_hypervolume,
    growth_sentence,
    pruning_sentence,
    search_quality_chart,
)
from analysis.reading.study_record import read_study
from analysis.statistics.pareto import hypervolume, reference_point


def quality(folder: Path) -> SearchQuality:
    return StudyContext(read_study(folder)).of(FIGURE)


def test_the_hypervolume_grows_as_if_it_were_measured_anew_after_each_trial() -> None:
    points = np.random.default_rng(0).uniform(size=(60, 2)) + 1
    points[::7] = np.nan  # pruned
    known = [points[: k + 1][np.isfinite(points[: k + 1]).all(1)] for k in range(60)]
    reference = reference_point((known[-1][:, 0], known[-1][:, 1]))
    areas = np.array([hypervolume(of[:, 0], of[:, 1], reference) if len(of) else 0.0 for of in known])
    np.testing.assert_allclose(growing_hypervolume(points), areas / areas[-1])
    assert growing_hypervolume(points[:1]).tolist() == [0.0]
    assert growing_hypervolume(np.empty((0, 2))).tolist() == []


def test_the_front_s_growth_by_hand(tmp_path: Path) -> None:
    """The front's ends (1, 12) and (2, 11) set the reference (2.1, 12.1): areas of 0.11 and 0.21 in all."""
    planned = 3
    ran = [
        Ran(at(1.0), [(1.0, 12.0)] * planned),
        Ran(at(1.0), [(9.0, 9.0)], "PRUNED"),
        Ran(at(1.0), [(2.0, 11.0)] * 2, "FAIL"),
        Ran(at(1.0), [(2.0, 11.0)] * planned),
        Ran(at(1.0), [], "FAIL"),
        Ran(at(1.0), [(3.0, 13.0)] * planned),
        Ran(at(1.0), [(1.0, 1.0)], "RUNNING"),
    ]
    found = quality(front_study(tmp_path / "study", ran))
    assert found.number.tolist() == [0, 1, 2, 3, 5, 6]
    assert found.epochs.tolist() == [3, 4, 6, 9, 12, 13]
    np.testing.assert_allclose(found.volume, [11 / 21] * 3 + [1.0] * 3)
    assert found.grew.tolist() == [True, False, False, True, False, False]
    assert found.last_part == 9.75
    assert found.growth == pytest.approx(0)
    assert "grew by 0.0% over the last quarter of the epochs, less than 1%: more trials may change" in growth_sentence(
        found
    )
    assert found.saved == 2
    assert pruning_sentence(found) == (
        "Pruning saved 13% of the epochs that all trials would have trained: those of the trial that was pruned."
    )


def test_a_front_that_grows_at_the_end_may_grow_on(tmp_path: Path) -> None:
    ran = [Ran(at(1.0), [(1.0 + k, 12.0 - k)] * 3) for k in range(4)]
    found = quality(front_study(tmp_path / "study", ran))
    before = np.array([[1.0 + k, 12.0 - k] for k in range(3)])
    reference = (4.3, 12.3)
    whole = hypervolume(np.arange(1.0, 5), 12.0 - np.arange(4), reference)
    assert found.growth == pytest.approx(1 - hypervolume(before[:, 0], before[:, 1], reference) / whole)
    assert growth_sentence(found).endswith("at least 1%: more trials may still widen it.")
    assert pruning_sentence(found) == ""


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        ([], "there are 0 so far"),
        ([Ran(at(1.0), [(5, 800)], "RUNNING")], "there are 0 so far"),
        ([Ran(at(1.0), [(5, 800)], "FAIL")] * 3, "there are 0 so far"),
        ([Ran(at(1.0), [(5, 800)] * 3)], "there is 1 so far"),
        ([Ran(at(1.0), [(5, 800)] * 3), *[Ran(at(2.0), [(5, 900)], "PRUNED")] * 4], "there is 1 so far"),
    ],
    ids=["empty", "running", "failed", "one", "pruned but one"],
)
def test_with_too_little_the_figure_says_so(ran: list[Ran], words: str, tmp_path: Path) -> None:
    found = quality(front_study(tmp_path / "study", ran))
    assert FIGURE.shown(found)
    assert words in FIGURE.note(found)
    assert words in growth_sentence(found)
    assert ("53%" in pruning_sentence(found)) == any(each.state == "PRUNED" for each in ran)  # 8 of 15 epochs


def test_the_hypervolume_is_of_the_trials_within_the_limits(tmp_path: Path) -> None:
    """Of one that grows beyond them there is no word; and where all but one are, there is no growth."""
    ran = [Ran(at(1.0), [(1.0 + k, 12.0 - k)] * 3) for k in range(4)]
    found = quality(front_study(tmp_path / "two", ran, where=["val_rate<=2"]))
    assert found.may_be_on_front.tolist() == [True, True, False, False]
    np.testing.assert_allclose(found.volume, [11 / 21, 1, 1, 1])
    assert found.growth == pytest.approx(0)
    alone = quality(front_study(tmp_path / "one", ran, where=["val_rate<=1"]))
    assert growth_sentence(alone) == (
        "How the front grew takes 2 complete trials within the study's limits; there is 1 so far."
    )
    none = quality(front_study(tmp_path / "none", ran, where=["val_rate<=0.5"]))  # so all count
    assert none.may_be_on_front.all()


def test_a_study_of_one_objective_has_no_such_figure(six: Path) -> None:
    found = quality(six)
    assert not FIGURE.shown(found)
    assert FIGURE.note(found)


def test_the_chart_shows_the_trials_that_moved_the_front(tmp_path: Path) -> None:
    found = quality(searched(tmp_path / "study", 24))
    _, grew, pruned = search_quality_chart(found).data
    assert [text.partition(":")[0] for text in grew.text] == [f"trial {number}" for number in found.number[found.grew]]
    assert list(grew.x) == found.epochs[found.grew].tolist()
    assert list(pruned.x) == found.epochs[found.state == "PRUNED"].tolist()
