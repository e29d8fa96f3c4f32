"""Which trainings follow a search of two objectives: of the front, each at its own KL weight, and none twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.small_study import CONFIG, curve, row, session, study, train

from studies.run.checks import is_finished
from studies.run.retraining import final_trainings, next_finals, next_repeats, repeats
from studies.search.lifecycle import Lifecycle, Session, search_trials
from trainables.config import TrialConfig
from trainables.errors import StudyWarning
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder

Measure = Callable[[TrialConfig, int], Metrics]


def hyperbola(config: TrialConfig, epoch: int) -> Metrics:
    """All trials are on the front, by their KL weights."""
    return row(epoch, 20 * config.beta**0.5 + 3 / epoch, 20 / config.beta**0.5)


def run(path: Path, measure: Measure = hyperbola, **fields: Any) -> tuple[list[str], Session]:
    """A whole study, one training at a time; which began."""
    begun, opened = [], session(path, study(**{"trials": 8, "final_epochs": 5} | fields))
    trainings = Lifecycle(opened, [search_trials(opened), repeats(opened), final_trainings(opened, 1)])
    while (job := trainings.next_job()) is not None:
        begun.append(job.id)
        train(trainings, job, measure)
    opened.stop.check()
    return begun, opened


def finals(opened: Session) -> dict[int, TrialFolder]:
    found = sorted(opened.folder.layout.trials.glob("final*"))
    return {int(path.name.removeprefix("final_")): TrialFolder(path) for path in found}


def test_three_of_the_front_are_trained_once_more_each_at_its_own_kl_weight(tmp_path: Path) -> None:
    begun, opened = run(tmp_path)
    chosen, front = opened.ledger.chosen(3), [trial.number for trial in opened.ledger.front()]
    assert len(front) == 8
    assert begun[8:] == [f"final training of trial {trial.number}" for trial in chosen]
    assert {front[0], front[-1]} < set(finals(opened))
    assert list(finals(opened)) == sorted(trial.number for trial in chosen)
    for trial in chosen:
        record = finals(opened)[trial.number]
        assert record.config().beta == trial.params["beta"]
        assert record.config() == TrialFolder(opened.folder.layout.trial(trial.number)).config().replace({"epochs": 5})
        assert len(record.rows()) == 5
    assert not opened.folder.layout.before_it_is_done(opened.folder.layout.final).exists()
    assert is_finished(opened.ledger, opened.folder)
    before = {path: path.read_bytes() for path in opened.folder.path.rglob("*") if path.is_file()}
    assert run(tmp_path)[0] == []
    assert {path: path.read_bytes() for path in opened.folder.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("fields", "count"), [({"final": 0}, 0), ({"final": 1}, 1), ({"final": 99}, 8)])
def test_as_many_as_are_asked_for(tmp_path: Path, fields: dict[str, Any], count: int) -> None:
    begun, opened = run(tmp_path, **fields)
    assert len(begun) == 8 + count
    assert len(finals(opened)) == count
    assert is_finished(opened.ledger, opened.folder)


def test_none_of_no_epochs(tmp_path: Path) -> None:
    begun, opened = run(tmp_path, final_epochs=0, final=3)
    assert (len(begun), finals(opened)) == (8, {})


def test_one_number_has_one_best_trial(tmp_path: Path) -> None:
    begun, opened = run(tmp_path, objective="bits_per_dim")
    (best,) = opened.ledger.chosen(1)
    assert begun[8:] == [f"final training of trial {best.number}"]
    assert list(finals(opened)) == [best.number]


def test_more_are_asked_for_later(tmp_path: Path) -> None:
    run(tmp_path, final=1)
    begun, opened = run(tmp_path, final=3, seeds=2)
    chosen = [trial.number for trial in opened.ledger.chosen(3)]
    again = [f"trial {number}, repeat {repeat}" for number in chosen for repeat in (1, 2)]
    assert begun == [*again, *(f"final training of trial {number}" for number in chosen[1:])]
    assert run(tmp_path, final=3, seeds=2)[0] == []


def test_an_extended_study_trains_what_is_chosen_now_and_no_other_twice(tmp_path: Path) -> None:
    _, opened = run(tmp_path, seeds=1)
    earlier = {trial.number for trial in opened.ledger.chosen(3)}
    begun, opened = run(tmp_path, trials=14, seeds=1)
    chosen = [trial.number for trial in opened.ledger.chosen(3)]
    new = [number for number in chosen if number not in earlier]
    assert begun[:6] == [str(number) for number in range(8, 14)]
    assert sorted(begun[6:]) == sorted(
        [f"trial {number}, repeat 1" for number in new] + [f"final training of trial {number}" for number in new]
    )
    assert new  # else nothing is tested
    assert next_finals(opened.ledger, opened.folder) == next_repeats(opened.ledger, opened.folder) == []


def test_longer_ones_are_trained_anew(tmp_path: Path) -> None:
    _, opened = run(tmp_path)
    chosen = [trial.number for trial in opened.ledger.chosen(3)]
    begun, opened = run(tmp_path, final_epochs=6)
    assert begun == [f"final training of trial {number}" for number in chosen]
    assert [len(record.rows()) for record in finals(opened).values()] == [6, 6, 6]


@pytest.mark.parametrize("where", ["trials/final_*", "repeats/*/01"])
def test_a_torn_record_is_left_alone_and_the_others_are_trained(tmp_path: Path, where: str) -> None:
    run(tmp_path, seeds=1)
    torn, again, *_ = sorted(tmp_path.glob(f"{where}/metrics.jsonl"))
    torn.write_bytes(torn.read_bytes()[1:])
    again.unlink()  # of another, which is to be trained anew
    with pytest.warns(StudyWarning, match=rf"{torn.parent.name} is left alone: line 1 of {torn} is damaged"):
        begun, opened = run(tmp_path, seeds=1)
    assert len(begun) == 1
    assert again.exists()
    with pytest.warns(StudyWarning):
        assert is_finished(opened.ledger, opened.folder)


def test_what_is_repeated_is_on_the_front(tmp_path: Path) -> None:
    begun, opened = run(tmp_path, curve, trials=12, seeds=2, prune=0.4)
    front = {trial.number for trial in opened.ledger.front()}
    repeated = {int(label.split(",")[0].removeprefix("trial ")) for label in begun if "repeat" in label}
    final = {int(label.split()[-1]) for label in begun if label.startswith("final")}
    assert repeated == final <= front
    assert len(repeated) == min(3, len(front))


def test_what_breaks_a_limit_is_neither_repeated_nor_trained_longer(tmp_path: Path) -> None:
    _, opened = run(tmp_path, where=["val_rate<=20"], seeds=1)
    kept = {each.number for each in opened.ledger.all() if each.params["beta"] >= 1}
    assert 0 < len(kept) < 8
    assert set(finals(opened)) <= kept
    assert {int(path.name) for path in (opened.folder.path / "repeats").iterdir()} <= kept
    assert len(finals(opened)) == min(3, len(kept))


def test_a_study_of_failures_ends_without_one(tmp_path: Path) -> None:
    opened = session(tmp_path, study(trials=3, seeds=1))
    trainings = Lifecycle(opened, [search_trials(opened), repeats(opened), final_trainings(opened, 1)])
    for _ in range(3):
        job = trainings.next_job()
        assert job is not None
        trainings.fail(job.id, "non-finite at epoch 1")
    assert trainings.next_job() is None
    assert trainings.is_over
    assert is_finished(opened.ledger, opened.folder)


@pytest.mark.parametrize("final", [None, 1])
def test_by_definitions_1_the_last_training_is_one_and_has_its_place(tmp_path: Path, final: int | None) -> None:
    begun, opened = run(tmp_path, definitions=1, final=final)
    assert begun[8:] == ["final training"]
    assert [path.name for path in opened.folder.layout.trials.glob("final*")] == ["final"]
    (best,) = opened.ledger.chosen(1)
    base = CONFIG.replace({"definitions": 1, "epochs": 5})
    assert TrialFolder(opened.folder.layout.final).config() == base.of_trial(best.number, best.params)
    assert run(tmp_path, definitions=1, final=final)[0] == []


def test_by_definitions_1_several_last_trainings_are_refused() -> None:
    with pytest.raises(ValueError, match="--final"):
        study(final=2).by_definitions(1)
    assert study(final=0).by_definitions(1).finals == 0
