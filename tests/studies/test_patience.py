"""A training that ends by patience, before its last epoch: everywhere it counts as what it is, complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import SMALL_STUDY, script, timeless
from support.small_study import CONFIG, lifecycle, row, session, study

from analysis import load_repeats, load_trials
from analysis.reading.best_runs import ranked_runs
from analysis.reading.study_record import read_study
from studies.record.study_folder import StudyFolder
from studies.run.checks import is_finished
from studies.run.retraining import final_trainings, next_finals, next_repeats, repeats
from studies.search.lifecycle import Lifecycle, search_trials
from trainables.errors import StudyWarning
from trainables.metrics import EPOCH, Metrics
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job
from trainables.training.trial import train

PATIENT = CONFIG.replace({"epochs": 9, "patience": 2})
VALUES = (5.0, 4.0, 4.5, 3.0, 3.5, 3.0, 2.0)  # the fourth is the best of the first six, and two more follow
LENGTH = 6


def history(*values: float) -> list[Metrics]:
    return [row(epoch, value, 0.0) for epoch, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("fields", "done"),
    [
        ({}, LENGTH),  # an equal one is no better one
        ({"patience": None}, 7),
        ({"patience": 1}, 3),
        ({"patience": 4}, 7),
        ({"epochs": 5}, 5),
        ({"epochs": 10, "kl_warmup": 0.5}, 7),  # 5 epochs, and 2 more
        ({"epochs": 10, "kl_warmup": 0.2}, LENGTH),
    ],
    ids=str,
)
def test_it_ends_so_many_epochs_after_its_best_one_and_not_while_its_kl_weight_rises(
    fields: dict[str, Any], done: int
) -> None:
    config = PATIENT.replace({"epochs": 7} | fields)
    ends = [config.is_done(history(*VALUES[:length])) for length in range(8)]
    assert ends[:done] == [False] * done
    assert ends[done] or done == 7


def test_patience_is_at_least_an_epoch() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        PATIENT.replace({"patience": 0})


@pytest.mark.parametrize("fields", [{"lr": 1e-12}, {"lr": 0.1, "patience": 1, "kl_warmup": 0.1}], ids=str)
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path: Path, fields: dict[str, Any]) -> None:
    config = PATIENT.replace({"epochs": 30, "batch_size": 100, "schedule": "constant"} | fields)
    whole = timeless(train(config, TrialFolder(tmp_path / "whole")))
    assert 2 < len(whole) < 30
    assert config.is_done(whole)
    for stop in (1, len(whole) - 1, len(whole)):
        cut = TrialFolder(tmp_path / f"cut_{stop}")
        first = train(config, cut)
        rows = timeless(next(first) for _ in range(stop))
        first.close()
        assert timeless([*rows, *train(config, cut, recorded=stop)]) == whole


def reported(trainings: Lifecycle, job: Job, until: int = LENGTH) -> bool:
    """Train as a worker would, to the end by patience or ``until`` an epoch; whether the driver would go on."""
    return all(trainings.report(job.id, _whole(row)) for row in history(*VALUES[:until])[job.recorded :])


def _whole(known: Metrics) -> Metrics:
    return {metric.name: 0.0 for metric in EPOCH if not metric.since} | known


def patient(**fields: Any) -> Any:
    return study(**{"base": PATIENT, "prune": 0.0, "final_epochs": 0} | fields)


@pytest.mark.parametrize("until", [1, 4, 5, LENGTH])
def test_a_driver_that_is_killed_is_followed_by_one_that_completes_it(tmp_path: Path, until: int) -> None:
    planned = patient(trials=1)
    trainings, _ = lifecycle(tmp_path, planned)
    job = trainings.next_job()
    assert job is not None
    assert reported(trainings, job, until)
    trainings, opened = lifecycle(tmp_path, planned)
    job = trainings.next_job()
    assert (job is None) == (until == LENGTH)
    if job:
        assert job.recorded == until
        assert reported(trainings, job)
        trainings.complete(job.id)
    assert dict(opened.ledger.count()) == {"COMPLETE": 1}
    assert opened.ledger.all()[0].values == [0.0, 3.0 - planned.base.model.distortion_constant]
    assert is_finished(opened.ledger, opened.folder)


def test_one_that_is_given_up_before_has_failed(tmp_path: Path) -> None:
    trainings, opened = lifecycle(tmp_path, patient(trials=1))
    job = trainings.next_job()
    assert job is not None
    assert reported(trainings, job, LENGTH - 1)
    trainings.complete(job.id)
    assert dict(opened.ledger.count()) == {"FAIL": 1}


def test_its_last_epoch_is_judged_by_nobody(tmp_path: Path) -> None:
    """As it is of a training that has all its epochs: also where its peers go on and are better there."""
    planned = patient(trials=7, prune=0.25)
    for number in range(7):
        trainings, opened = lifecycle(tmp_path, planned)
        job = trainings.next_job()
        assert job is not None
        # after 1, 2 and 4 epochs trials are judged; the last one ends at the fourth, as its second was its best
        values = (9.0, 7.5, 8.0, 8.0) if number == 6 else (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
        goes_on = [trainings.report(job.id, row(epoch, value, 0.0)) for epoch, value in enumerate(values, start=1)]
        if number == 6:
            assert goes_on[-1]
        trainings.complete(job.id)
    assert dict(opened.ledger.count()) == {"COMPLETE": 7}


def finished(path: Path) -> Any:
    """A study of two trials, each with a repeat and a longer training, all ended by patience."""
    planned = patient(trials=2, seeds=1, final=1, final_epochs=8)
    owner = StudyFolder(path).claim(planned, trials=2)["id"]
    opened = session(path, planned, owner)
    trainings = Lifecycle(opened, [search_trials(opened), repeats(opened), final_trainings(opened, 1)])
    while (job := trainings.next_job()) is not None:
        reported(trainings, job)
        trainings.complete(job.id)
    return opened


def test_repeats_and_final_trainings_are_trained_once(tmp_path: Path) -> None:
    opened = finished(tmp_path)
    assert not next_repeats(opened.ledger, opened.folder)
    assert not next_finals(opened.ledger, opened.folder)


def test_it_is_read_as_a_complete_trial(tmp_path: Path) -> None:
    finished(tmp_path)
    trials, again = load_trials(tmp_path), load_repeats(tmp_path)
    assert trials["state"].tolist() == ["COMPLETE"] * 2
    assert trials["epochs"].tolist() == [LENGTH] * 2
    assert trials["best_epoch"].tolist() == [4] * 2
    assert again["state"].tolist() == ["COMPLETE"]  # of the one that is on the front: the two are equal
    assert sorted(run.is_final for run in ranked_runs(tmp_path)) == [False, False, True]


def test_a_record_that_is_cut_off_is_told_from_one_that_ended(tmp_path: Path) -> None:
    finished(tmp_path)
    metrics = TrialFolder(StudyLayout(tmp_path).trial(0)).metrics
    lines = metrics.read_bytes().splitlines(keepends=True)
    metrics.write_bytes(b"".join(lines[:3]))
    with pytest.warns(StudyWarning, match="trial 0 is left out: .* must hold the epochs of a complete trial, got 3"):
        study = read_study(tmp_path)
    assert list(study.faults) == [0]


@pytest.mark.slow
def test_a_study_of_early_ends_is_run_read_and_left_as_it_is(tmp_path: Path) -> None:
    """Next to nothing is learnt at such a learning rate: each training ends soon."""
    options = ("--set", "patience=2", "--set", "lr=1e-12", "--epochs", "40", "--trials", "3", "--prune", "0")
    options += ("--seeds", "1", "--final", "1", "--final-epochs", "50", "--no-report", "--out", "study")
    done = script(*SMALL_STUDY, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = script("-m", "analysis", "report", "study", "--quick", cwd=tmp_path)
    assert page.returncode == 0, page.stderr
    assert (tmp_path / "study/report.html").is_file()
    trials, again = load_trials(tmp_path / "study"), load_repeats(tmp_path / "study")
    assert trials["state"].tolist() == ["COMPLETE"] * 3
    assert trials["epochs"].tolist() == (trials["best_epoch"] + 2).tolist()
    assert trials["epochs"].max() < 40
    assert again["state"].tolist() == ["COMPLETE"] * 3
    assert sum(run.is_final for run in ranked_runs(tmp_path / "study")) == 1
    records = {path: path.read_bytes() for path in tmp_path.rglob("metrics.jsonl")}
    assert len(records) == 7
    status = script("-m", "studies", "status", "study", cwd=tmp_path)
    assert status.returncode == 0, status.stdout
    more = script(*SMALL_STUDY, *options, cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("metrics.jsonl")} == records
