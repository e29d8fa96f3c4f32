"""Trainings outside the search: the best trials with other seeds, and the best one once more."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial

from studies.record.ledger import Trials
from studies.record.study_folder import StudyFolder
from studies.watch.session import Running
from studies.watch.stopping import heed
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job, News

if TYPE_CHECKING:
    from trainables.slots.slots import Slots

_REPEATED = 3
"""Trials that are repeated, the best by the search."""


def final_config(ledger: Trials) -> TrialConfig | None:
    """The best trial's configuration for ``final_epochs``; None where there is nothing to train."""
    best = ledger.best()
    if best is None or not ledger.plan.final_epochs:
        return None
    return ledger.plan.config(best.number, best.params).replace({"epochs": ledger.plan.final_epochs})


def next_final(ledger: Trials, folder: StudyFolder) -> TrialConfig | None:
    """The last training, once the search is over and if it is still to do."""
    config = final_config(ledger)
    return None if config is None or is_trained(folder, TrialFolder(folder.final), config) else config


def next_repeats(ledger: Trials, folder: StudyFolder) -> list[tuple[FrozenTrial, int, TrialConfig]]:
    """(trial, repeat from 1, config) of what ``seeds`` asks for and is still to do."""
    found = []
    for trial in ledger.ranked()[:_REPEATED]:
        for repeat in range(1, ledger.plan.seeds + 1):
            config = ledger.plan.config(trial.number, trial.params).of_repeat(repeat)
            record = TrialFolder(StudyLayout(folder.path).repeat(trial.number, repeat))
            if not is_trained(folder, record, config) and not (record.holds(config) and record.cause()):
                found.append((trial, repeat, config))
    return found


def is_trained(folder: StudyFolder, record: TrialFolder, config: TrialConfig) -> bool:
    """Whether it has all its epochs, and its weights are here."""
    is_here = record.best.exists() or not folder.mirror(record.path)
    return record.holds(config) and len(record.rows()) == config.epochs and is_here


def prepared(path: Path, config: TrialConfig) -> TrialFolder:
    """The folder of ``config``'s training; one of an earlier best trial makes room."""
    record = TrialFolder(path)
    if not record.holds(config):
        shutil.rmtree(path, ignore_errors=True)
    record.create(config)
    return record


def train_repeats(study: Running, slots: Slots) -> None:
    """Train the best trials again with other seeds, as many at once as the slots hold. One that fails for a
    cause of its own is recorded as failed.

    Raises:
        KeyboardInterrupt, Early, UserError: see `heed`.
    """
    folder, view, stop = study.folder, study.view, study.stop
    left = next_repeats(study.ledger, folder)
    if not left:
        return
    view.phase(f"training the best trials again with other seeds, {len(left)} trainings")

    def train(trial: FrozenTrial, repeat: int, config: TrialConfig) -> None:
        heed(stop)
        record = prepared(StudyLayout(folder.path).repeat(trial.number, repeat), config)
        label = f"trial {trial.number}, repeat {repeat}"
        view.started(label, {**trial.params, "seed": config.seed}, record.rows())
        name = f"{trial.number}-{repeat}"
        job = Job(name, config, record.path, study.data_dir, folder.mirror(record.path))
        try:
            end = follow(study, slots, record, job, label)
            view.ended(label, "failed" if end.cause else "complete", end.cause)
            if end.lost:
                raise UserError(str(end.cause))
            if end.cause:
                record.fail(end.cause)
            folder.fetch_best(record)
            folder.drop_states(record)
        except (OSError, UserError) as error:  # the others need not go on to their ends
            stop.reason = stop.reason or str(error)
        heed(stop)

    pool = ThreadPoolExecutor(slots.trials_at_once)
    try:
        futures = [pool.submit(train, *repeat) for repeat in left]
        for done in wait(futures).done:  # of all: an epoch that runs is let to its end
            done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def train_final(study: Running, slots: Slots) -> None:
    """Train the best configuration once more, outside the search.

    Raises:
        KeyboardInterrupt, Early: see `heed`.
        UserError: with the cause where it fails.
    """
    folder, view = study.folder, study.view
    config, best = next_final(study.ledger, folder), study.ledger.best()
    if config is None or best is None:
        return
    record = prepared(folder.next_final, config)
    label, workers = "final training", slots.resources.workers
    view.phase(f"training trial {best.number} once more, {config.epochs} epochs on {workers} worker(s)")
    view.started(label, {**best.params, "epochs": config.epochs}, record.rows())
    job = Job("final", config, record.path, study.data_dir, folder.mirror(record.path))
    end = follow(study, slots, record, job, label)
    view.ended(label, "failed" if end.cause else "complete", end.cause)
    if end.cause:
        raise UserError(f"the final training failed: {end.cause}\nrun the same command again to take it up")
    folder.fetch_best(record)
    folder.drop_states(record)
    shutil.rmtree(folder.final, ignore_errors=True)
    folder.next_final.rename(folder.final)


def follow(study: Running, slots: Slots, record: TrialFolder, job: Job, label: str) -> News:
    """Record a job's rows until it ends; returns how it did. One that has all its rows is not begun.

    Raises:
        KeyboardInterrupt, Early, UserError: after an epoch, see `heed`.
    """
    job = job.after(len(record.rows()))
    if job.recorded >= job.config.epochs:
        return News([], ended=True)
    from trainables.slots.tune_trial import all_news  # Tune, which a status need not wait for

    try:
        for news in all_news(slots.mailbox, job, slots.patience):
            record.note(place for taking in news.takings for place in taking.places)
            study.stop.meter.taken(news.takings)
            for row in news.rows:
                record.append(row)
                study.stop.spend(row)
                study.view.reported(label, row)
            if news.rows and not news.ended:
                heed(study.stop)
    finally:
        slots.mailbox.cancel.remote(job.id)  # of a study that ends early the slot must not train on
    return news
