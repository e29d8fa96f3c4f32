"""Study -> slots and Tune -> finished ledger, repeats and final training."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from optuna.exceptions import StorageInternalError
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from cluster.connect import connected
from cluster.plan import Node, chosen, most_at_once, nodes
from cluster.preflight import Preflight
from studies.record.driver_lock import DriverLock
from studies.record.front import Front
from studies.record.ledger import Ledger, check_trials, set_aside
from studies.record.provenance import has_bfloat16
from studies.record.study_folder import StudyFolder
from studies.run.checks import check, check_room, is_finished
from studies.run.options import Options, Resources
from studies.run.reporting import foreseen_report
from studies.run.retraining import final_trainings, foresee, next_finals, next_repeats, repeats
from studies.run.slot_pool import final_slot, following_nodes, open_slots, search_slots
from studies.search.lifecycle import Lifecycle, Session, search_trials, trials_left
from studies.search.sinks import Opener, Sink, openers
from studies.study import Study
from studies.watch.live_view import View
from studies.watch.stopping import Stop, following_orders, graceful, wait_for_resume
from trainables.console import checked_options
from trainables.data.datasets import load_dataset
from trainables.errors import EndedEarly, UserError
from trainables.records.storage_urls import out_of_reach, storage_url
from trainables.records.trial_folder import METRICS, TrialFolder
from trainables.terminal import print_text
from trainables.text import python_command


def check_before(study: Study, folder: StudyFolder, options: Options, console: Console) -> None:
    """Look at what a study's command needs before it takes the study's lock, and so makes its folder. Raises:
    UserError."""
    with checked_options():
        check(study, folder, options)
    for note in load_dataset(study.base.dataset, options.data_dir, study.base.image_size).notes:
        print_text(f"note: {note}", console)


def run(study: Study, folder: StudyFolder, lock: DriverLock, options: Options, console: Console) -> None:
    """Run or continue a study in its folder, under its lock. What was finished before stays. Raises: UserError;
    EndedEarly where it was stopped, or its budget is spent, before its plan was done."""
    if options.fresh:
        old, kept = folder.storage(), folder.move_aside()  # a mount cannot be moved: that comes first
        for place in filter(None, (kept, set_aside(study.name, old) if old else None)):
            console.print(f"the earlier study is kept as {place}", soft_wrap=True)
    study = folder.own_definitions(study)
    with _opened(study, folder, options) as ledger:
        if not is_finished(ledger, folder):
            with checked_options():
                check_room(study, options.resources)
            _train(ledger, folder, lock, options, console)


@contextmanager
def _opened(study: Study, folder: StudyFolder, options: Options) -> Iterator[Ledger]:
    """Claim a folder and open its ledger, and leave nothing of a study that cannot begin there. Raises: UserError."""
    storage, final = options.storage, {"epochs": study.final_epochs, "workers": options.resources.final_workers}
    final["trials"] = study.finals
    facts = {"trials": study.trials, "seeds": study.seeds, "final": final}
    facts |= {"data_dir": options.data_dir and str(options.data_dir), "address": options.resources.address}
    new, record, ledger = not folder.layout.question.exists(), None, None
    try:
        url = storage_url(folder.path, storage.ledger) if storage.ledger else None
        images = load_dataset(study.base.dataset, options.data_dir, study.base.image_size).identity
        record = folder.claim(study, url, storage.checkpoints, images, **facts)
        if not record["storage"] and not folder.layout.ledger.exists():
            check_trials(0, folder)
        if mirror := folder.mirror(folder.path):
            mirror.check()
        ledger = Ledger(study, storage_url(folder.path, folder.storage()), record["id"])
        check_trials(ledger.count().total(), folder)
        yield ledger
    except (SQLAlchemyError, StorageInternalError) as error:
        fault = out_of_reach("the study's ledger", error) or f"{type(error).__name__}: {error}"
        raise UserError(fault) from error
    except UserError:
        if new and record and not folder.layout.trials.exists():
            if ledger:
                ledger.forget()
            folder.forget()
        elif new:
            folder.leave()
        raise


def faster_precision(study: Study, cluster: list[Node]) -> str:
    """What to say before a study begins in float32 on this machine alone, without a GPU, and its processor trains
    faster in bfloat16; nothing otherwise."""
    is_elsewhere = len(cluster) > 1 or any(node.gpus for node in cluster)
    if is_elsewhere or study.base.precision != "float32" or "precision" in study.space or not has_bfloat16():
        return ""
    return "this processor has bfloat16: --set precision=bf16 is 1.1 to 1.9 x as fast"


def _train(ledger: Ledger, folder: StudyFolder, lock: DriverLock, options: Options, console: Console) -> None:
    """Do everything that needs Ray. Raises: as `studies.watch.stopping.Stop.check`."""
    plan, resources, budget, shown = ledger.plan, options.resources, options.budget, options.sinks
    sinks = openers(shown.tensorboard, shown.mlflow, plan.name, folder.layout) if trials_left(ledger) else {}
    stop = Stop(budget.hours, budget.gpu_hours, _gpu_seconds_before(folder) if budget.gpu_hours else 0.0)
    with connected(resources.address, resources.patience, resources.trusted_network) as dashboard:
        console.print(f"Ray dashboard: http://{dashboard}" if dashboard else "Ray has no dashboard here")
        has_choice = not (ledger.count() or options.is_protocol)
        if has_choice and (advice := faster_precision(plan, nodes())):
            console.print(advice, soft_wrap=True)
        preflight = Preflight(folder.path, folder.mirror(folder.path), plan.base, options.data_dir)
        view = View(plan.name, plan.trials, plan.base.epochs, console, plan.minimised)
        bits = ledger.lowest_bits()
        view.known(ledger.count(), ledger.lowest_score(), bits and bits[0])
        view.front = Front.of(ledger)
        view.resumed_by = python_command("-m", "studies", "resume", folder.path)
        view.left.report = foreseen_report(plan, folder, options)
        stop.meter.open(plan.name)
        session = Session(ledger, folder, options.data_dir, view, stop)
        try:
            with view, graceful(view, stop), following_orders(lock, view, stop):
                while True:
                    try:
                        _train_all(session, resources, preflight, sinks)
                        break
                    except EndedEarly:
                        ledger.abandon_running()
                        if not stop.paused:
                            stop.check()
                    wait_for_resume(lock, view, stop)
        except SystemExit as error:  # so Ray says that its node here is gone, where it can, and with status 0
            raise UserError(
                "the study stopped early: Ray's node on this machine is gone\nthe same command goes on from there"
            ) from error
        finally:
            shutil.rmtree(folder.layout.ray, ignore_errors=True)
            if mirror := folder.mirror(folder.layout.ray):
                with suppress(OSError):
                    mirror.clear()


def _gpu_seconds_before(folder: StudyFolder) -> float:
    """What the study's recorded epochs took of GPUs."""
    spent = 0.0
    for path in folder.path.rglob(METRICS):
        with suppress(UserError):  # what cannot be read is told of where it is to go on
            spent += sum(row.get("gpu_seconds", 0.0) for row in TrialFolder(path.parent).rows())
    return spent


def _train_all(session: Session, resources: Resources, preflight: Preflight, openers: Mapping[str, Opener]) -> None:
    """Train whatever is left, in slots that are closed again at the end. The search, the repeats and the final training
    share them, and one run of Tune, unless the final one wants others. Raises: as `Stop.check`."""
    from studies.search import tune

    ledger, folder, view = session.ledger, session.folder, session.view
    with checked_options():  # what there is no room for
        cluster = chosen(nodes(), resources.placement)
        last_slot = final_slot(resources, cluster)
    if len(cluster) > 1:
        view.phase(f"looking at {len(cluster)} nodes")
    preflight.check(cluster)
    final = final_trainings(session, last_slot.workers)
    left, retrained = trials_left(ledger), len(next_repeats(ledger, folder))
    if left or retrained:
        with checked_options():
            count, slot = search_slots(resources, cluster, session, left, retrained)
        stages, is_shared = [search_trials(session), repeats(session)], replace(slot, pack=1) == last_slot
        stages += [final] if is_shared else []
        foresee(session, last_slot.workers / slot.workers, alone=not is_shared)
        sinks = [Sink(name, opener, view.note) for name, opener in openers.items()]
        slots, most = (
            open_slots(session, resources, count, slot),
            min(left, most_at_once(resources.max_concurrent, ledger.plan.trials) or left),
        )
        with slots, following_nodes(slots, cluster, preflight, most or retrained, view):
            tune.train(Lifecycle(session, stages, sinks), slots, resources.max_concurrent, folder.layout.ray)
            session.stop.check()
            view.phase("closing the slots")
        for number in ledger.ended():  # drop the states that slots wrote after their trials had ended
            folder.drop_states(TrialFolder(folder.layout.trial(number)))
    if next_finals(ledger, folder):
        foresee(session, last_slot.workers / resources.workers_per_trial, alone=True)
        with open_slots(session, resources, 1, last_slot) as slots:
            tune.train(Lifecycle(session, [final]), slots, 1, folder.layout.ray)
            session.stop.check()
