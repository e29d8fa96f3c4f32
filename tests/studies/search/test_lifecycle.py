"""What happens to a training, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.small_study import CONFIG, row, study

from studies.record.ledger import Ledger
from studies.record.study_folder import StudyFolder
from studies.run.retraining import final_training, repeats
from studies.run.runner import is_finished
from studies.search.lifecycle import Lifecycle, Session, search_trials
from studies.watch.live_view import View
from studies.watch.stopping import Stop
from trainables.errors import UserError
from trainables.records.storage_urls import storage_url
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job


def lifecycle(ledger: Ledger, folder: StudyFolder) -> Lifecycle:
    """Of the search's trials."""
    session = Session(ledger, folder, None, View("small", 4, 3, Console(quiet=True)), Stop())
    return Lifecycle(session, [search_trials(session)])


def test_a_crash_before_the_ledger_heard_of_the_end_does_not_prune(tmp_path: Path) -> None:
    """A trial that falls behind its peers in its last epoch has run to its end; so it has after a crash."""
    folder = StudyFolder(tmp_path)
    ledger = Ledger(study(trials=7), storage_url(tmp_path, None))
    for number in range(7):
        trainings = lifecycle(ledger, folder)
        job = trainings.next_job()
        assert job is not None
        for epoch, bits in ((1, 5.0), (2, 4.0), (3, 4.5 if number == 6 else 3.0)):
            trainings.report(job.id, row(epoch, bits) | {"val_rate": 9.0, "images_per_second": 99.0})
        if number < 6:
            trainings.complete(job.id)
    ledger = Ledger(study(trials=7), storage_url(tmp_path, None))
    assert ledger.interrupted() == [6]
    assert lifecycle(ledger, folder).next_job() is None
    assert dict(ledger.count()) == {"COMPLETE": 7}


@pytest.mark.parametrize("left", [(), (".config.json.0123456789ab.partial",), ("config.json",)])
def test_a_crash_while_a_trials_folder_is_made_is_made_good(tmp_path: Path, left: tuple[str, ...]) -> None:
    folder = StudyFolder(tmp_path)
    Ledger(study(), storage_url(tmp_path, None)).ask()
    folder.layout.trial(0).mkdir(parents=True)
    for name in left:
        (folder.layout.trial(0) / name).write_text("{")
    ledger = Ledger(study(), storage_url(tmp_path, None))
    job = lifecycle(ledger, folder).next_job()
    assert job is not None
    assert TrialFolder(folder.layout.trial(0)).config() == job.config


def test_records_of_another_ledger_are_not_taken_for_a_trials_own(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    stale = TrialFolder(folder.layout.trial(0))
    stale.create(CONFIG.replace({"seed": 99}))
    for epoch in (1, 2, 3):
        stale.append(row(epoch, 1.0))
    ledger = Ledger(study(), storage_url(tmp_path, None))
    with pytest.raises(UserError, match=r"is not the folder of trial 0: its config\.json is another's"):
        lifecycle(ledger, folder).next_job()
    assert len(stale.rows()) == 3


class Tune:
    """Runs a lifecycle's trainings to their ends, as Tune would; each reports ``values``, a number an epoch."""

    def __init__(self, trainings: Lifecycle) -> None:
        self.trainings = trainings
        self.begun: list[str] = []

    def begin(self) -> Job | None:
        job = self.trainings.next_job()
        if job is not None:
            self.begun.append(job.id)
        return job

    def train(self, job: Job, value: float = 5.0) -> None:
        for epoch in range(job.recorded + 1, job.config.epochs + 1):
            measured = {"val_rate": 9.0, "images_per_second": 99.0}
            self.trainings.report(job.id, row(epoch, value - 0.1 * epoch) | measured)
        self.trainings.complete(job.id)

    def run(self) -> list[str]:
        while (job := self.begin()) is not None:
            self.train(job, 5.0 + len(self.begun) % 3)
        assert self.trainings.is_over
        return self.begun


def whole(path: Path, **fields: Any) -> tuple[Tune, Session]:
    """A study with repeats and a final training."""
    planned = study(seeds=1, final_epochs=4, **fields)
    ledger = Ledger(planned, storage_url(path, None))
    session = Session(ledger, StudyFolder(path), None, View("small", 4, 3, Console(quiet=True)), Stop())
    stages = [search_trials(session), repeats(session), final_training(session, 1)]
    return Tune(Lifecycle(session, stages)), session


def test_the_search_is_followed_by_repeats_and_the_final_training(tmp_path: Path) -> None:
    tune, session = whole(tmp_path)
    begun = tune.run()
    best = [trial.number for trial in session.ledger.ranked()[:3]]
    assert begun == ["0", "1", "2", "3", *(f"trial {number}, repeat 1" for number in best), "final training"]
    layout = session.folder.layout
    assert len(TrialFolder(layout.final).rows()) == 4
    assert not layout.next_final.exists()
    assert [len(TrialFolder(layout.repeat(number, 1)).rows()) for number in best] == [3] * 3
    assert is_finished(session.ledger, session.folder)
    assert whole(tmp_path)[0].run() == []


def test_a_stage_waits_until_the_one_before_has_ended(tmp_path: Path) -> None:
    tune, session = whole(tmp_path)
    jobs = [tune.begin() for _ in range(4)]
    assert tune.begin() is None
    assert not tune.trainings.is_over
    for job in jobs:
        assert job is not None
        assert tune.begin() is None
        tune.train(job)
    again = tune.begin()
    assert again is not None
    assert again.id == f"trial {session.ledger.ranked()[0].number}, repeat 1"


def test_a_repeat_that_fails_is_recorded_and_the_study_goes_on(tmp_path: Path) -> None:
    tune, session = whole(tmp_path)
    for _ in range(4):
        job = tune.begin()
        assert job is not None
        tune.train(job)
    repeat = tune.begin()
    assert repeat is not None
    tune.trainings.fail(repeat.id, "non-finite at epoch 1")
    assert tune.run()[-1] == "final training"
    assert TrialFolder(repeat.folder).cause() == "non-finite at epoch 1"
    assert is_finished(session.ledger, session.folder)


def test_a_final_training_that_fails_ends_the_study_and_keeps_what_it_has(tmp_path: Path) -> None:
    tune, session = whole(tmp_path)
    job = tune.begin()
    while job is not None and job.id != "final training":
        tune.train(job)
        job = tune.begin()
    assert job is not None
    tune.trainings.report("final training", row(1, 4.0) | {"val_rate": 9.0, "images_per_second": 99.0})
    checkpoint = session.folder.layout.next_final / "checkpoints" / "epoch_0001.0123456789abcdef.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    tune.trainings.fail("final training", "its workers died 3 times without a new epoch")
    message = "the final training failed: its workers died 3 times without a new epoch\nrun the same command again"
    with pytest.raises(UserError, match=message):
        session.stop.check()
    assert checkpoint.exists()
    again = whole(tmp_path)[0].begin()
    assert again is not None
    assert (again.id, again.recorded) == ("final training", 1)


@pytest.mark.parametrize("at", ["search", "repeats", "final training"])
def test_a_driver_that_was_killed_is_followed_by_one_that_goes_on(tmp_path: Path, at: str) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    expected = whole(tmp_path / "whole")[0].run()
    tune, _ = whole(tmp_path / "killed")
    stop = {"search": "2", "repeats": expected[4], "final training": "final training"}[at]
    job = tune.begin()
    while job is not None and job.id != stop:
        tune.train(job, 5.0 + len(tune.begun) % 3)
        job = tune.begin()
    tune.trainings.report(stop, row(1, 5.0 + len(tune.begun) % 3 - 0.1) | {"val_rate": 9.0, "images_per_second": 99.0})
    done = len(tune.begun) - 1
    later, session = whole(tmp_path / "killed")
    first = later.begin()
    assert first is not None
    assert (first.id, first.recorded) == (stop, 1)
    later.train(first, 5.0 + (done + 1) % 3)
    later.begun = expected[: done + 1]  # so that what follows reports what it would have
    assert later.run() == expected
    assert is_finished(session.ledger, session.folder)


def test_a_disk_that_fails_stops_the_study(tmp_path: Path) -> None:
    tune, session = whole(tmp_path)
    with tune.trainings.guarded():
        raise OSError(28, "No space left on device")
    assert tune.begin() is None
    with pytest.raises(UserError, match=r"the study stopped early: OSError: .*No space left.*\nthe same command"):
        session.stop.check()
