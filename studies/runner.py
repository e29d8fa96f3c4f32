"""Study -> slots and Tune -> finished ledger -> the last training -> report."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.connect import connected, nodes, plan_slots
from studies.folder import StudyFolder
from studies.ledger import Ledger, set_aside, storage_url
from studies.study import Study, at_least
from studies.view import View
from trainables.config import TrialConfig
from trainables.data import load_dataset
from trainables.errors import UserError
from trainables.records import TrialFolder
from trainables.slot import Job, SlotResources, Slots
from trainables.trial import TRIAL_RESOURCES, tune_trial


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where and how wide a study runs; None lets the cluster decide."""

    address: str | None = None
    workers_per_trial: int = 1
    max_concurrent: int | None = None
    gpus_per_worker: float | None = None
    final_workers: int = 1

    def __post_init__(self) -> None:
        at_least(1, workers_per_trial=self.workers_per_trial, max_concurrent=self.max_concurrent)
        at_least(1, final_workers=self.final_workers)
        at_least(0, gpus_per_worker=self.gpus_per_worker)


def run(
    study: Study,
    out: Path,
    data_dir: Path | None,
    resources: Resources,
    storage: str | None,
    fresh: bool,
    console: Console,
) -> StudyFolder:
    """Run or continue a study in ``out``; returns its folder.

    Raises:
        UserError: see the parts. What was finished before stays.
    """
    folder = StudyFolder(out)
    load_dataset(study.base.dataset, data_dir, study.base.image_size)  # an error now, not in every trial
    with folder.locked():
        url = storage_url(folder.path, storage)
        if fresh:
            kept = folder.move_aside()
            renamed = set_aside(study.name, url) if storage else None
            for place in filter(None, (kept, renamed)):
                console.print(f"the earlier study is kept as {place}", soft_wrap=True)
        final = {"epochs": study.final_epochs, "workers": resources.final_workers}
        where = None if data_dir is None else str(data_dir)
        folder.claim(study, storage=storage, data_dir=where, trials=study.trials, final=final)
        ledger = Ledger(study, url)
        if not is_finished(ledger, folder):
            execute(ledger, folder, data_dir, resources, console)
    return folder


def is_finished(ledger: Ledger, folder: StudyFolder) -> bool:
    counts = ledger.count()
    if ledger.interrupted() or sum(counts.values()) < ledger.plan.trials:
        return False
    config = final_config(ledger)
    return config is None or final_is_done(TrialFolder(folder.final), config)


def execute(
    ledger: Ledger, folder: StudyFolder, data_dir: Path | None, resources: Resources, console: Console
) -> None:
    """Everything that needs Ray."""
    study = ledger.plan
    with connected(resources.address) as dashboard:
        cluster = nodes()
        count, slot = plan_slots(
            cluster, resources.workers_per_trial, resources.max_concurrent, resources.gpus_per_worker
        )
        _, last_slot = plan_slots(cluster, resources.final_workers, 1, resources.gpus_per_worker)
        console.print(f"Ray dashboard: http://{dashboard}" if dashboard else "Ray has no dashboard here")
        view = View(study.name, study.trials, study.base.epochs, count, console)
        best = ledger.best()
        view.known(ledger.count(), best)
        try:
            with view:
                if ledger.interrupted() or sum(ledger.count().values()) < study.trials:
                    search(ledger, folder, data_dir, view, count, slot)
                train_final(ledger, folder, data_dir, view, last_slot)
        finally:
            shutil.rmtree(folder.ray, ignore_errors=True)


def search(
    ledger: Ledger,
    folder: StudyFolder,
    data_dir: Path | None,
    view: View,
    count: int,
    slot: SlotResources,
) -> None:
    """Run Tune until the ledger holds the budget of trials."""
    from ray import tune

    from studies.search import Driver, LedgerScheduler, LedgerSearcher

    driver = Driver(ledger, folder, data_dir, view)
    view.phase(f"opening {count} slot(s) of {slot.workers} worker(s)")
    with Slots(slots_name(ledger.plan), count, slot, folder.ray) as slots:
        view.phase("searching")
        tune.Tuner(
            tune.with_resources(tune_trial, TRIAL_RESOURCES),
            tune_config=tune.TuneConfig(
                search_alg=LedgerSearcher(driver, slots.mailbox),
                scheduler=LedgerScheduler(driver),
                num_samples=-1,
                max_concurrent_trials=count,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder.ray),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=3),
            ),
        ).fit()
        view.phase("closing the slots")


def slots_name(study: Study) -> str:
    """Unique in a cluster, and never seen by Ray Train before: it would resume a run of the same name."""
    return f"{study.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def final_config(ledger: Ledger) -> TrialConfig | None:
    """The best trial's configuration for ``final_epochs``; None where there is nothing to train."""
    best = ledger.best()
    if best is None or not ledger.plan.final_epochs:
        return None
    return ledger.plan.config(best.number, best.params).replace({"epochs": ledger.plan.final_epochs})


def final_is_done(record: TrialFolder, config: TrialConfig) -> bool:
    try:
        return record.config() == config and len(record.rows()) == config.epochs
    except UserError:
        return False


def train_final(
    ledger: Ledger, folder: StudyFolder, data_dir: Path | None, view: View, slot: SlotResources
) -> None:
    """Train the best configuration once more in a slot of its own, outside the search.

    Raises:
        UserError: with the cause where it fails.
    """
    config = final_config(ledger)
    record = TrialFolder(folder.final)
    if config is None or final_is_done(record, config):
        return
    if not same_config(record, config):
        shutil.rmtree(record.path, ignore_errors=True)
    record.create(config)
    best = ledger.best()
    assert best is not None
    label = "final training"
    view.phase(f"training trial {best.number} once more, {config.epochs} epochs on {slot.workers} worker(s)")
    view.started(label, {**best.params, "epochs": config.epochs})
    with Slots(f"{slots_name(ledger.plan)}-final", 1, slot, folder.ray) as slots:
        cause = follow(slots.mailbox, record, Job("final", config, record.path, data_dir), view, label)
    view.ended(label, "failed" if cause else "complete", cause)
    if cause:
        raise UserError(f"the final training failed: {cause}\nrun the same command again to take it up")
    record.drop_states()


def same_config(record: TrialFolder, config: TrialConfig) -> bool:
    try:
        return record.config() == config
    except UserError:
        return False


def follow(mailbox: Any, record: TrialFolder, job: Job, view: View, label: str) -> str | None:
    """Record a job's rows until it ends; returns its cause if it failed."""
    import ray

    rows = record.rows()
    for row in rows:
        view.reported(label, row)
    ray.get(mailbox.submit.remote(Job(job.id, job.config, job.folder, job.data_dir, len(rows))))
    seen = 0
    while True:
        news = ray.get(mailbox.news.remote(job.id, seen))
        for row in news.rows:
            record.append(row)
            view.reported(label, row)
        seen += len(news.rows)
        if news.ended:
            return news.cause
