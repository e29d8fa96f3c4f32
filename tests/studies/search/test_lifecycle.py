"""What happens to a training, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.small_study import CONFIG, lifecycle, row, session, study, train

from cluster import connect
from studies.record.ledger import Ledger
from studies.run.checks import is_finished
from studies.run.retraining import final_trainings, repeats
from studies.search.lifecycle import Lifecycle, Session, search_trials
from trainables.errors import UserError
from trainables.records.storage_urls import storage_url
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job

BOTH = pytest.mark.parametrize("definitions", [1, 2])


@BOTH
def test_a_crash_before_the_ledger_heard_of_the_end_does_not_prune(tmp_path: Path, definitions: int) -> None:
    """A trial that falls behind its peers in its last epoch has run to its end; so it has after a crash."""
    planned = study(definitions, trials=7)
    for number in range(7):
        trainings, opened = lifecycle(tmp_path, planned)
        job = trainings.next_job()
        assert job is not None
        for epoch, bits in ((1, 5.0), (2, 4.0), (3, 4.5 if number == 6 else 3.0)):
            assert trainings.report(job.id, row(epoch, bits, 0.0))
        if number < 6:
            trainings.complete(job.id)
    trainings, opened = lifecycle(tmp_path, planned)
    assert opened.ledger.interrupted() == [6]
    assert trainings.next_job() is None
    assert dict(opened.ledger.count()) == {"COMPLETE": 7}


@pytest.mark.parametrize("left", [(), (".config.json.0123456789ab.partial",), ("config.json",)])
def test_a_crash_while_a_trials_folder_is_made_is_made_good(tmp_path: Path, left: tuple[str, ...]) -> None:
    folder = StudyLayout(tmp_path).trial(0)
    Ledger(study(), storage_url(tmp_path, None)).ask()
    folder.mkdir(parents=True)
    for name in left:
        (folder / name).write_text("{")
    job = lifecycle(tmp_path, study())[0].next_job()
    assert job is not None
    assert TrialFolder(folder).config() == job.config


def test_records_of_another_ledger_are_not_taken_for_a_trials_own(tmp_path: Path) -> None:
    stale = TrialFolder(StudyLayout(tmp_path).trial(0))
    stale.create(CONFIG.replace({"seed": 99}))
    for epoch in (1, 2, 3):
        stale.append(row(epoch, 1.0))
    with pytest.raises(UserError, match=r"is not the folder of trial 0: its config\.json is another's"):
        lifecycle(tmp_path, study())[0].next_job()
    assert len(stale.rows()) == 3


def test_an_interrupted_trial_with_a_torn_record_is_left_as_it_is_and_the_others_go_on(tmp_path: Path) -> None:
    planned = study(trials=3)
    trainings, _ = lifecycle(tmp_path, planned)
    for _ in range(2):
        job = trainings.next_job()
        assert job is not None
        assert trainings.report(job.id, row(1, 5.0))
        assert trainings.report(job.id, row(2, 4.0))
    torn = TrialFolder(StudyLayout(tmp_path).trial(0))
    torn.metrics.write_bytes(torn.metrics.read_bytes().replace(b"5.0", b"5.1", 1))
    trainings, opened = lifecycle(tmp_path, planned)  # after a kill
    jobs = [trainings.next_job() for _ in range(3)]
    assert [job and job.id for job in jobs] == ["1", "2", None]
    assert not opened.stop.error
    trainings, opened = lifecycle(tmp_path, planned)
    assert opened.ledger.interrupted() == [0, 1, 2]  # once it is restored, it goes on
    with pytest.raises(UserError, match=r"line 1 of .* is damaged"):
        torn.rows()


class Tune:
    """Runs a lifecycle's trainings to their ends, as Tune would."""

    def __init__(self, trainings: Lifecycle) -> None:
        self.trainings = trainings
        self.begun: list[str] = []

    def begin(self) -> Job | None:
        job = self.trainings.next_job()
        if job is not None:
            self.begun.append(job.id)
        return job

    def train(self, job: Job) -> None:
        train(self.trainings, job)

    def until(self, job_id: str | None) -> Job | None:
        """Train what comes before a job, and begin that."""
        while (job := self.begin()) is not None and job.id != job_id:
            self.train(job)
        return job

    def run(self) -> list[str]:
        self.until(None)
        assert self.trainings.is_over
        return self.begun


def whole(path: Path, definitions: int = 2, **fields: Any) -> tuple[Tune, Session]:
    """A study with repeats and final trainings."""
    opened = session(path, study(definitions, **{"seeds": 1, "final_epochs": 4} | fields))
    stages = [search_trials(opened), repeats(opened), final_trainings(opened, 1)]
    return Tune(Lifecycle(opened, stages)), opened


def final_labels(opened: Session) -> list[str]:
    """What the final trainings of what is chosen now are called."""
    if opened.ledger.plan.base.definitions == 1:
        return ["final training"]
    chosen = opened.ledger.chosen(opened.ledger.plan.finals)
    return [f"final training of trial {trial.number}" for trial in chosen]


@BOTH
def test_the_search_is_followed_by_repeats_and_the_final_trainings(tmp_path: Path, definitions: int) -> None:
    tune, opened = whole(tmp_path, definitions)
    begun, layout = tune.run(), opened.folder.layout
    best = [trial.number for trial in opened.ledger.chosen(3)]
    searched = ["0", "1", "2", "3", *(f"trial {number}, repeat 1" for number in best)]
    assert begun == searched + final_labels(opened)
    finals = {1: [layout.final], 2: [layout.final_of(number) for number in best]}[definitions]
    assert sorted(layout.trials.glob("final*")) == sorted(finals)
    for number, path in zip(best, finals, strict=False):
        record, config = TrialFolder(path), TrialFolder(layout.trial(number)).config()
        assert record.config() == config.replace({"epochs": 4})  # its own KL weight
        assert len(record.rows()) == 4
    assert [len(TrialFolder(layout.repeat(number, 1)).rows()) for number in best] == [3] * len(best)
    assert is_finished(opened.ledger, opened.folder)
    assert whole(tmp_path, definitions)[0].run() == []


@BOTH
def test_a_stage_waits_until_the_one_before_has_ended(tmp_path: Path, definitions: int) -> None:
    tune, opened = whole(tmp_path, definitions)
    jobs = [tune.begin() for _ in range(4)]
    assert tune.begin() is None
    assert not tune.trainings.is_over
    for job in jobs:
        assert job is not None
        assert tune.begin() is None
        tune.train(job)
    again = tune.begin()
    assert again is not None
    assert again.id == f"trial {opened.ledger.chosen(1)[0].number}, repeat 1"


@BOTH
def test_a_repeat_that_fails_is_recorded_and_the_study_goes_on(tmp_path: Path, definitions: int) -> None:
    tune, opened = whole(tmp_path, definitions)
    for _ in range(4):
        job = tune.begin()
        assert job is not None
        tune.train(job)
    repeat = tune.begin()
    assert repeat is not None
    tune.trainings.fail(repeat.id, "non-finite at epoch 1")
    assert tune.run()[-1] == final_labels(opened)[-1]
    assert TrialFolder(repeat.folder).cause() == "non-finite at epoch 1"
    assert is_finished(opened.ledger, opened.folder)


@pytest.mark.parametrize(
    ("cause", "is_kept"), [("its workers died 3 times without a new epoch", True), ("non-finite at epoch 1", False)]
)
def test_the_logs_of_workers_that_died_are_kept(
    cause: str, is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else knows of what; all others go with their cluster."""
    session = tmp_path / "session_1"
    session.mkdir()
    monkeypatch.setattr(connect, "_left", [session])
    tune, _ = whole(tmp_path / "s", 2)
    job = tune.begin()
    assert job is not None
    tune.trainings.fail(job.id, cause)
    connect._remove_what_is_left()
    assert session.exists() == is_kept


@BOTH
def test_a_final_training_that_fails_ends_the_study_and_keeps_what_it_has(tmp_path: Path, definitions: int) -> None:
    expected = whole(tmp_path / "whole", definitions)[0].run()
    label = next(each for each in expected if each.startswith("final"))
    tune, opened = whole(tmp_path / "failed", definitions)
    job = tune.until(label)
    assert job is not None
    tune.trainings.report(label, row(1, 4.0))
    checkpoint = job.folder / "checkpoints" / "epoch_0001.0123456789abcdef.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    tune.trainings.fail(label, "its workers died 3 times without a new epoch")
    message = f"the {label} failed: its workers died 3 times without a new epoch\nrun the same command again"
    with pytest.raises(UserError, match=message):
        opened.stop.check()
    assert checkpoint.exists()
    again = whole(tmp_path / "failed", definitions)[0].begin()
    assert again is not None
    assert (again.id, again.recorded) == (label, 1)


@BOTH
@pytest.mark.parametrize("at", [2, 4, -1])
def test_a_driver_that_was_killed_is_followed_by_one_that_goes_on(tmp_path: Path, definitions: int, at: int) -> None:
    """In the search, in the repeats, and in the last training."""
    expected = whole(tmp_path / "whole", definitions)[0].run()
    tune, _ = whole(tmp_path / "killed", definitions)
    job = tune.until(expected[at])
    assert job is not None
    train(tune.trainings, job, until=1)
    later, opened = whole(tmp_path / "killed", definitions)
    first = later.begin()
    assert first is not None
    assert (first.id, first.recorded) == (expected[at], 1)
    later.train(first)
    assert later.run() == expected[at:]
    assert is_finished(opened.ledger, opened.folder)


def test_a_disk_that_fails_stops_the_study(tmp_path: Path) -> None:
    tune, opened = whole(tmp_path)
    with tune.trainings.guarded():
        raise OSError(28, "No space left on device")
    assert tune.begin() is None
    with pytest.raises(UserError, match=r"the study stopped early: OSError: .*No space left.*\nthe same command"):
        opened.stop.check()
