"""Study -> slots and Tune -> finished ledger -> the trainings after the search."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cluster.access import check_address, refuse_vanishing
from cluster.connect import connected
from cluster.plan import Node, chosen, fitting, most_at_once, nodes, plan_slots
from cluster.preflight import Preflight
from studies.record.ledger import Ledger, Trials, set_aside
from studies.record.study_folder import StudyFolder
from studies.run.options import Options, Resources
from studies.run.retraining import next_final, next_repeats, train_final, train_repeats
from studies.study import Study
from studies.watch.live_view import View
from studies.watch.session import Running
from studies.watch.stopping import Stop, every, graceful, heed, wait_for_resume, watched
from trainables.data.datasets import training_images
from trainables.errors import Early, UserError
from trainables.records.storage_urls import storage_url
from trainables.records.trial_folder import TrialFolder
from trainables.slots.resources import SlotResources

if TYPE_CHECKING:
    from ray.tune.logger import LoggerCallback

    from trainables.slots.slots import Slots

JOIN_SECONDS = 3.0
"""How often the cluster is asked for nodes that have joined."""


def run(study: Study, out: Path, options: Options, console: Console) -> None:
    """Run or continue a study in ``out``.

    Raises:
        UserError: see the parts. What was finished before stays.
        Early: where it was stopped, or its budget is spent, before its plan was done.
    """
    folder, data_dir = StudyFolder(out), options.data_dir
    resources, storage = options.resources, options.storage
    refuse_vanishing(folder.path)
    check_data(study, data_dir, max(resources.workers_per_trial, resources.final_workers))
    check_address(resources.address, resources.trusted_network)
    with folder.locked():
        if options.fresh:
            renamed = set_aside(study.name, old) if (old := folder.storage()) else None
            for place in filter(None, (folder.move_aside(), renamed)):
                console.print(f"the earlier study is kept as {place}", soft_wrap=True)
        final = {"epochs": study.final_epochs, "workers": resources.final_workers}
        plan = {"trials": study.trials, "seeds": study.seeds, "final": final}
        where = None if data_dir is None else str(data_dir)
        new, record, ledger = not folder.question.exists(), None, None
        try:
            url = storage_url(folder.path, storage.ledger) if storage.ledger else None
            record = folder.claim(study, url, storage.checkpoints, data_dir=where, **plan)
            if not record["storage"] and not (folder.path / "study.db").exists():
                check_ledger(0, folder)
            if mirror := folder.mirror(folder.path):
                mirror.check()
            ledger = Ledger(study, storage_url(folder.path, folder.storage()), record["id"])
            check_ledger(sum(ledger.count().values()), folder)
            if not is_finished(ledger, folder):
                execute(ledger, folder, options, console)
        except UserError:
            if new and record and not folder.trials.exists():
                if ledger:
                    ledger.forget()
                folder.forget()
            elif new:
                folder.leave()
            raise


def check_data(study: Study, data_dir: Path | None, workers: int) -> None:
    """Raises: UserError now for what would fail in every trial."""
    _, rows, _ = training_images(study.base, data_dir)
    batch = min(study.base.batch_size, len(rows))
    if batch < workers:
        raise UserError(f"a batch must hold at least 1 image a worker, got {batch} for {workers} workers")


def check_ledger(known: int, folder: StudyFolder) -> None:
    """Raises: UserError for a storage that has lost trials: they are asked for before they get a folder."""
    folders = len(list(folder.trials.glob("[0-9]*[0-9]")))
    if known < folders:
        raise UserError(
            f"the study's storage (study.db, or that of --storage) must know the {folders} trials in "
            f"{folder.trials}, got {known}\n"
            "restore it, or use --fresh to move the study aside"
        )


def is_finished(ledger: Trials, folder: StudyFolder) -> bool:
    if trials_left(ledger):
        return False
    return next_final(ledger, folder) is None and not next_repeats(ledger, folder)


def execute(ledger: Ledger, folder: StudyFolder, options: Options, console: Console) -> None:
    """Everything that needs Ray.

    Raises:
        KeyboardInterrupt, Early, UserError: see `heed`.
    """
    plan, resources, budget = ledger.plan, options.resources, options.budget
    loggers: dict[str, LoggerCallback] = {}
    if options.sinks and trials_left(ledger):
        from studies.search.sinks import loggers as loggers_of

        loggers = loggers_of(options.sinks, plan.name)
    stop = Stop(budget.hours, budget.gpu_hours, gpu_seconds_before(folder) if budget.gpu_hours else 0.0)
    with connected(resources.address, resources.patience, resources.trusted_network) as dashboard:
        console.print(f"Ray dashboard: http://{dashboard}" if dashboard else "Ray has no dashboard here")
        preflight = Preflight(folder.path, folder.mirror(folder.path), plan.base, options.data_dir)
        view = View(plan.name, plan.trials, plan.base.epochs, console)
        view.known(ledger.count(), ledger.best())
        stop.meter.open(plan.name)
        study = Running(ledger, folder, options.data_dir, view, stop)
        try:
            with view, graceful(view, stop), watched(folder, view, stop):
                while True:
                    try:
                        train_all(study, resources, preflight, loggers)
                        break
                    except Early:
                        ledger.let_go()
                        if not stop.paused:
                            raise
                    wait_for_resume(folder, view, stop)
        except SystemExit as error:  # so Ray says that its node here is gone, where it can, and with status 0
            raise UserError(
                "the study stopped early: Ray's node on this machine is gone\nthe same command goes on from there"
            ) from error
        finally:
            shutil.rmtree(folder.ray, ignore_errors=True)
            if mirror := folder.mirror(folder.ray):
                with suppress(OSError):
                    mirror.clear()


def gpu_seconds_before(folder: StudyFolder) -> float:
    """What the study's recorded epochs took of GPUs."""
    records = (TrialFolder(path.parent) for path in folder.path.rglob("metrics.jsonl"))
    return sum(row.get("gpu_seconds", 0.0) for record in records for row in record.rows())


def train_all(
    study: Running, resources: Resources, preflight: Preflight, loggers: Mapping[str, LoggerCallback]
) -> None:
    """Whatever is left to train, in slots that are closed again at the end.

    Raises:
        KeyboardInterrupt, Early, UserError: see `heed`.
    """
    ledger, folder, view = study.ledger, study.folder, study.view
    left = trials_left(ledger)
    repeats = len(next_repeats(ledger, folder))
    placement = resources.placement
    cluster = chosen(nodes(), placement)
    if len(cluster) > 1:
        view.phase(f"looking at {len(cluster)} nodes")
    preflight.check(cluster)
    _, last_slot = plan_slots(cluster, resources.final_workers, 1, resources.gpus_per_worker, placement=placement)
    if left or repeats:
        count, slot = plan_slots(
            cluster,
            resources.workers_per_trial,
            resources.max_concurrent,
            share_of_gpu(resources, cluster, study),
            left or None,
            resources.pack,
            placement,
        )
        most = most_at_once(resources.max_concurrent, left) or repeats
        count = count if left else min(count, math.ceil(repeats / slot.pack))
        slots = open_slots(study, resources, count, slot)
        with slots, growing(slots, cluster, preflight, most, view):
            if left:
                search(study, slots, resources.max_concurrent or left, loggers)
            train_repeats(study, slots)
            if replace(slots.resources, pack=1) == last_slot:
                train_final(study, slots)
            view.phase("closing the slots")
        sweep(ledger, folder)
    if next_final(ledger, folder):
        with open_slots(study, resources, 1, last_slot) as slots:
            train_final(study, slots)


def trials_left(ledger: Trials) -> int:
    """Trials that the search still has to begin, or to end."""
    return max(0, ledger.plan.trials - sum(ledger.count().values())) + len(ledger.interrupted())


def share_of_gpu(resources: Resources, cluster: list[Node], study: Running) -> float | None:
    """What of a GPU a worker takes; None lets `plan_slots` decide.

    Raises:
        UserError: where what a GPU holds is to be measured and there is none, none free, or too small a one.
    """
    import ray

    from trainables.training.capacity import processes_per_gpu

    if resources.trials_per_gpu != "auto":
        return resources.share_of_gpu()
    if not any(node.gpus for node in cluster):
        raise UserError(f"--trials-per-gpu must find a GPU in the cluster, got {len(cluster)} node(s) without one")
    study.view.phase("measuring how many trials a GPU holds")
    where = resources.placement.options()
    measure = ray.remote(num_cpus=1, num_gpus=1, max_calls=1, **where)(processes_per_gpu)
    try:
        found = measure.remote(study.ledger.plan.largest(), study.data_dir, resources.pack)
        return 1 / ray.get(found, timeout=resources.patience)
    except ray.exceptions.RayError as error:  # a timeout is one too
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"--trials-per-gpu auto could not measure: {reason}\ngive a number instead") from error


def open_slots(study: Running, resources: Resources, count: int, slot: SlotResources) -> Slots:
    from trainables.slots.slots import Slots

    study.view.phase(f"opening {count} slot(s) of {slot.workers} worker(s)")
    # unique in a cluster, and never seen by Ray Train before: it would resume a run of the same name
    name = f"{study.ledger.plan.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    place = study.folder.ray
    storage, shared = study.folder.mirror(place) or place, resources.address not in (None, "local")
    return Slots(name, count, slot, storage, resources.patience, shared)


@contextmanager
def growing(slots: Slots, before: list[Node], preflight: Preflight, most: int, view: View) -> Iterator[None]:
    """Inside, nodes that join the cluster get slots, up to what ``most`` trials at once need."""
    known, unfit, seen = {node.id for node in before}, set[str](), before

    def watch() -> None:
        nonlocal known, unfit, seen
        view.at_once = max(1, min(slots.trials_at_once, most))
        alive = nodes()
        ids = {node.id for node in alive}
        for node in [node for node in seen if node.id not in ids]:
            view.phase(f"node {node.host} ({node.id[:8]}) has left")
        seen = alive
        now = [node for node in alive if node.id not in unfit]
        count = min(fitting(now, slots.resources), math.ceil(most / slots.resources.pack))
        new = [node for node in now if node.id not in known]
        if not new or count <= slots.count:
            return
        try:
            preflight.check(new)
        except UserError as error:
            view.note(f"a node has joined that is not used: {error}")
            unfit |= {node.id for node in new}
            return
        view.phase(f"{', '.join(node.host for node in new)} joined: {count} slots from now on")
        slots.grow(count)
        known = {node.id for node in now}

    with every(JOIN_SECONDS, watch):
        yield


def search(study: Running, slots: Slots, most: int, loggers: Mapping[str, LoggerCallback]) -> None:
    """Run Tune until the ledger holds the study's trials, as many at a time as the slots hold, and ``most``.

    Raises:
        KeyboardInterrupt, Early, UserError: see `heed`.
    """
    from ray import tune
    from ray.exceptions import RayError
    from ray.tune.error import TuneError

    from studies.search.sinks import Sink
    from studies.search.tune import Driver, LedgerScheduler, LedgerSearcher
    from trainables.slots.tune_trial import TRIAL_RESOURCES, tune_trial

    folder, view, stop = study.folder, study.view, study.stop
    driver = Driver(study)
    sinks = [Sink(name, logger, driver, folder, view) for name, logger in loggers.items()]
    view.phase("searching")
    tuner = tune.Tuner(
        tune.with_resources(tune_trial, TRIAL_RESOURCES),
        tune_config=tune.TuneConfig(
            search_alg=LedgerSearcher(driver, slots, most),
            scheduler=LedgerScheduler(driver),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder.ray),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=3),
            callbacks=[*sinks],
        ),
    )
    try:
        tuner.fit()
    except (RayError, TuneError, RuntimeError) as error:
        stop.reason = stop.reason or f"Ray failed: {str(error).strip().splitlines()[-1]}"
    for sink in sinks:
        sink.close()
    heed(stop)


def sweep(ledger: Ledger, folder: StudyFolder) -> None:
    """Drop the states that slots wrote after their trials had ended."""
    for number in ledger.ended():
        folder.drop_states(TrialFolder(folder.trial(number)))
