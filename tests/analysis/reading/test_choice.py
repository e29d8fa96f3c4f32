"""Which model is taken for a wish."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from support.analysis_fixture import BASE, SIX, build_study, record

from analysis import load_best, load_repeats, load_trials
from analysis.reading.best_runs import ranked_runs
from analysis.reading.certainty import certainty
from analysis.reading.choice import Neighbours, Wish, choose, neighbours
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """(rate, distortion) and beta of trial 0: (13, 855), 1; of trial 1: (8, 870), 4; of trial 4: (17.3, 845), 0.5. The
    knee is trial 0."""
    return build_study(tmp_path_factory.mktemp("six") / "study", objective="rate_distortion")


@pytest.mark.parametrize(
    ("wish", "number", "is_met"),
    [
        ({}, 0, True),
        ({"knee": True}, 0, True),
        ({"rate": 20}, 4, True),
        ({"rate": 17.3}, 0, True),
        ({"rate": 13}, 0, True),  # no more than, not less than
        ({"rate": 1}, 1, False),
        ({"distortion": 860}, 0, True),
        ({"distortion": 900}, 1, True),
        ({"distortion": 100}, 4, False),
        ({"price": 0}, 4, True),
        ({"price": 2.5}, 0, True),
        ({"price": 10}, 1, True),
        ({"bits": True}, 4, True),
    ],
)
def test_a_wish_takes_the_run_that_meets_it_best(six: Path, wish: dict[str, float], number: int, is_met: bool) -> None:
    choice = choose(six, Wish.of(**wish))  # type: ignore[arg-type]
    assert (choice.run.label, choice.is_met) == (f"trial {number}", is_met)
    with nullcontext() if is_met else pytest.warns(UserWarning, match=f"meets .*: trial {number} comes nearest"):
        assert load_best(six, **wish).config == choice.run.config.model  # type: ignore[arg-type]


def test_a_choice_has_its_neighbours_on_the_front(six: Path) -> None:
    middle = choose(six, Wish.of(knee=True))
    assert middle.beside.shorter
    assert middle.beside.shorter.label == "trial 1"
    assert middle.beside.faithful
    assert middle.beside.faithful.label == "trial 4"
    last = choose(six, Wish.of(rate=20))
    assert last.beside.faithful is None
    assert last.beside.shorter
    assert last.beside.shorter.label == "trial 0"


@pytest.mark.parametrize(
    ("rate", "distortion", "beside"),
    [
        (10.0, 860.0, {"shorter": "trial 1", "faithful": "trial 0"}),
        (7.0, 871.0, {"faithful": "trial 1"}),
        (18.0, 840.0, {"shorter": "trial 4"}),
        (14.0, 860.0, {"better": "trial 0"}),
        (14.0, 855.0, {"better": "trial 0"}),
        (30.0, 900.0, {"better": "trial 4"}),
        (1.0, 1.0, {}),
    ],
)
def test_neighbours_are_on_the_front_of_all(six: Path, rate: float, distortion: float, beside: dict[str, str]) -> None:
    runs = ranked_runs(six)
    run = replace(runs[0], best={**runs[0].best, "val_rate": rate, "val_distortion": distortion})
    found = neighbours(run, [*runs, run])
    assert {name: it.label for name, it in vars(found).items() if it} == beside


def test_a_longer_training_is_taken_where_it_is_better_and_at_the_knee(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")
    longer = BASE.of_trial(0, SIX[0].params).replace({"epochs": 4})
    record(TrialFolder(folder / "trials" / "final_0000"), longer, [3.0, 2.6, 2.5, 2.4])  # (15, 845)
    for wish in ({}, {"knee": True}, {"rate": 16}, {"distortion": 850}):
        assert choose(folder, Wish.of(**wish)).run.label == "final of trial 0"
    assert choose(folder, Wish.of(rate=14)).run.label == "trial 0"
    same = BASE.of_trial(1, SIX[1].params)  # not longer than its trial
    record(TrialFolder(folder / "trials" / "final_0001"), same, list(SIX[1].bits))
    assert choose(folder, Wish.of(rate=8)).run.label == "trial 1"


def test_a_limit_of_the_study_is_kept_to_where_a_trial_does(tmp_path: Path) -> None:
    def limited(limit: str) -> str:
        folder = build_study(tmp_path / limit, objective="rate_distortion", where=[limit])
        return choose(folder, Wish.of(price=0)).run.label

    assert limited("val_rate<=14") == "trial 0"
    assert limited("val_rate<=1") == "trial 4"  # none keeps to it


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"rate": 3, "bits": True}, "one wish, got rate and bits"),
        ({"rate": float("nan")}, "rate must be a number from 0 up, got nan"),
        ({"price": -1}, "price must be a number from 0 up, got -1"),
        ({"distortion": float("inf")}, "distortion must be a number, got inf"),
        ({"rate": 3, "rank": 1}, "got rank 1 and rate"),
    ],
)
def test_wishes_that_cannot_be_are_refused(six: Path, wish: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_best(six, **wish)  # type: ignore[arg-type]


def test_without_a_complete_trial_there_is_nothing_to_take(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", [SIX[2], SIX[3]], objective="rate_distortion")
    with pytest.raises(UserError, match=r"no trial of .* is complete"):
        choose(folder, Wish.of(rate=20))


def test_of_one_objective_the_best_run_is_taken_without_a_wish(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", final_bits=[2.6, 2.4, 2.35, 2.37])
    assert choose(folder).run.label == "final"
    assert choose(folder, Wish.of(knee=True)).run.label == "trial 0"


def test_one_trial_is_taken_for_every_wish(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", SIX[:1], objective="rate_distortion")
    for wish, is_met in (({}, True), ({"knee": True}, False), ({"rate": 1}, False), ({"price": 1}, True)):
        choice = choose(folder, Wish.of(**wish))
        assert (choice.run.label, choice.is_met, choice.beside) == ("trial 0", is_met, Neighbours())


def test_without_other_seeds_the_next_at_the_same_price_is_the_rival(six: Path) -> None:
    found = certainty(load_trials(six), load_repeats(six), 1)  # at beta 4: 902; trial 0 has 907, trial 4 914.3
    assert (found.seeds, found.value, found.rival, found.difference) == (0, None, 0, None)
    assert found.ahead == pytest.approx(5)
    behind = certainty(load_trials(six), load_repeats(six), 0)  # at beta 1: 868; trial 4 has 862.3
    assert behind.rival == 4
    assert behind.ahead == pytest.approx(-17 / 3)


def test_other_seeds_say_how_sure_it_is(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")

    def repeat(number: int, k: int, bits: float) -> None:
        config = BASE.of_trial(number, SIX[number].params).of_repeat(k)
        record(TrialFolder(StudyLayout(folder).repeat(number, k)), config, [3.0, 2.9, bits])

    for k, bits in enumerate((2.40, 2.42, 2.44), 1):
        repeat(0, k, bits)
    alone = certainty(load_trials(folder), load_repeats(folder), 0)
    # rate 20 / 2 + 3 + 1 and distortion 605 + 100 bits, at beta 1: 859, 861 and 863
    assert alone.seeds == 3
    assert alone.value
    assert alone.difference is None
    assert alone.value.estimate == pytest.approx(861)
    assert alone.value.high - 861 == pytest.approx(4.302653 * 2 / 3**0.5)  # Student's t of 2 degrees of freedom
    for k, bits in enumerate((2.60, 2.62), 1):
        repeat(1, k, bits)
    found = certainty(load_trials(folder), load_repeats(folder), 0)
    # the rival is the one that was repeated: rate 20 / 5 + 4 and distortion 865 and 867 make 873 and 875 at beta 1
    assert found.rival == 1
    assert found.difference
    assert found.difference.interval.estimate == pytest.approx(13)
    assert found.difference.separable
