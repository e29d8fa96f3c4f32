"""What happens to a training from its beginning to its end, in the order that survives a crash: the ledger hears of a
trial before its folder is made; of an epoch, and of its end, after they are recorded there.

Every training of a study passes through one `Lifecycle`: the trials of the search (`search_trials`), and those after it
(`studies.run.retraining`). What differs is in its `TrainingRun`: whether epochs may prune it, and what its end means.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from cluster.connect import keep_logs
from studies.record.front import Front
from studies.record.ledger import Ledger, State, Trials
from studies.record.study_folder import StudyFolder
from studies.search.pruning import Peers
from studies.search.sinks import Sink
from studies.watch.live_view import View
from studies.watch.stopping import Stop
from studies.watch.time_left import Stage
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.storage_urls import out_of_reach
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import DIED, Assignment, Job, Underway


@dataclass(frozen=True)
class Session:
    """A study that runs: its trials and where they are kept, the data they see, who watches, what ends it."""

    ledger: Ledger
    folder: StudyFolder
    data_dir: Path | None
    view: View
    stop: Stop


@dataclass(frozen=True, eq=False)
class TrainingRun(ABC):
    """One training of a study."""

    stage: ClassVar[Stage] = "search"
    folder: StudyFolder
    record: TrialFolder
    config: TrialConfig
    label: int | str  # its number in the search, or what a person calls it; as text, its job's
    parameters: Mapping[str, Any]  # what of its config a person is shown

    @abstractmethod
    def prepare(self) -> None:
        """Make its folder. Raises: OSError; UserError where another's must not make room."""

    def report(self, row: Metrics) -> bool:  # noqa: ARG002 (only a trial of the search has peers)
        """Take a recorded epoch into account; whether it is to be pruned."""
        return False

    def judged(self) -> frozenset[int]:
        """Epochs after which it may be pruned."""
        return frozenset()

    @abstractmethod
    def end(self, state: State, cause: str | None) -> UserError | None:
        """Record how it ended; what the study ends with for it, if it must. Raises: OSError."""


@dataclass(frozen=True, eq=False)
class _SearchTrial(TrainingRun):
    """A trial of the search, of whose end the ledger is told."""

    label: int
    ledger: Ledger
    peers: Peers

    def prepare(self) -> None:
        if self.record.is_of_another(self.config):
            raise UserError(
                f"{self.record.path} is not the folder of trial {self.label}: its config.json is another's\n"
                "remove it to train the trial again, or restore the study's storage"
            )
        self.record.create(self.config)

    def report(self, row: Metrics) -> bool:
        if self.config.definitions == 1:
            return self.ledger.report(self.label, row)
        self.peers.add(self.label, self.config, row)
        return self.peers.prune(self.label, self.config, row)

    def judged(self) -> frozenset[int]:
        epochs = range(1, self.config.epochs)
        if self.config.definitions == 1:
            return frozenset(epochs)
        return frozenset(epoch for epoch in epochs if self.peers.judge(epoch, self.config))

    def end(self, state: State, cause: str | None) -> None:
        self.folder.fetch_best(self.record)  # the ledger hears last: a crash may come between
        rows = self.record.rows()
        self.ledger.end(self.label, state, self.config.best_row(rows) if rows else None, cause)
        self.folder.drop_states(self.record)


def trials_left(trials: Trials) -> int:
    """Trials that the search still has to begin, or to end."""
    return max(0, trials.plan.trials - trials.count().total()) + len(trials.interrupted())


def search_trials(session: Session) -> Iterator[TrainingRun]:
    """Interrupted trials first, under their own numbers; then new ones, as many as are planned."""
    ledger, folder = session.ledger, session.folder
    interrupted, new = ledger.interrupted(), ledger.plan.trials - ledger.count().total()
    if not interrupted and new <= 0:
        return
    session.view.phase("searching")
    peers = Peers.recorded(ledger, folder)
    for number in chain(map(ledger.resume, interrupted), (ledger.ask() for _ in range(new))):
        record, parameters = TrialFolder(folder.layout.trial(number)), ledger.parameters(number)
        config = ledger.plan.base.of_trial(number, parameters)
        try:
            record.rows()
        except UserError as error:  # the others need not wait for it
            session.view.note(f"trial {number} is left as it is: {error}")
            continue
        yield _SearchTrial(folder, record, config, number, parameters, ledger, peers)


class Lifecycle:
    """The trainings of a study, one of its ``stages`` after another: a stage is asked for a training when there is room
    for one, but for its first when those before, on which it may depend, have ended. The ``sinks`` hear of them."""

    def __init__(self, session: Session, stages: Iterable[Iterator[TrainingRun]], sinks: Sequence[Sink] = ()) -> None:
        self._ledger, self._folder, self._data_dir = session.ledger, session.folder, session.data_dir
        self._view, self.stop, self._sinks = session.view, session.stop, sinks
        self._watchers: list[View | Sink] = [session.view, *sinks]
        self._stages = iter(stages)
        self._stage: Iterator[TrainingRun] = iter(())
        self._running: dict[str, TrainingRun] = {}  # by their jobs' ids

    @property
    def is_over(self) -> bool:
        """Whether no more jobs will come."""
        return bool(self.stop.error) or not self._running

    def next_job(self) -> Job | None:
        """The next training's; None where there is none, now or any more: see `is_over`."""
        while not self.stop.error:
            training = next(self._stage, None)
            if training is not None:
                if job := self._begin(training):
                    return job
            elif self._running or (stage := next(self._stages, None)) is None:
                break
            else:
                self._stage = stage
        return None

    def _begin(self, training: TrainingRun) -> Job | None:
        """Its job, unless its record has its end already."""
        training.prepare()
        job_id, record, config, rows = str(training.label), training.record, training.config, training.record.rows()
        self._running[job_id] = training
        self._view.started(training.label, training.parameters, rows, training.stage, config.epochs)
        for sink in self._sinks:
            sink.started(training.label, {**training.parameters, "seed": config.seed}, rows)
        prune = False
        for row in rows:  # in case the ledger had not heard of the last before a crash
            prune = training.report(row)
        if config.is_done(rows):
            self._end(training, "complete")
        elif prune:
            self._end(training, "pruned")
        else:
            mirror = self._folder.mirror(record.path)
            seen, judged, images = len(rows), training.judged(), self._folder.images
            return Job(job_id, config, record.path, self._data_dir, mirror, seen, judged=judged, images=images)
        return None

    def assigned(self, job_id: str, assignments: Sequence[Assignment]) -> None:
        """Record the slots that were given a job."""
        if training := self._running.get(job_id):
            training.record.note(place for each in assignments for place in each.places)
            self.stop.meter.assigned(assignments)

    def report(self, job_id: str, row: Metrics) -> bool:
        """Record an epoch; answers whether to go on."""
        training = self._running.get(job_id)
        if training is None:
            return False
        is_new = training.record.append(row)
        prune = is_new and training.report(row)  # a row is judged once
        if is_new:
            self.stop.spend(row)
            for watcher in self._watchers:
                watcher.reported(training.label, row)
        if not prune or training.config.is_done(training.record.rows()):  # the last is judged by nobody
            return not self.stop.error
        self._end(training, "pruned")
        return False

    def underway(self, found: Mapping[str, Underway]) -> None:
        """Show how far trainings are within their epochs; nothing is recorded. From any thread."""
        for job_id, where in found.items():
            if training := self._running.get(job_id):
                self._view.underway(training.label, where)

    def complete(self, job_id: str) -> None:
        """End a training that trains no more; one that ended by `report` or `fail` is left as it is."""
        training = self._running.get(job_id)
        if training is None:
            return
        if training.config.is_done(training.record.rows()):
            self._end(training, "complete")
        elif not self.stop.error:
            self._end(training, "failed", "it ended before its last epoch")

    def fail(self, job_id: str, cause: str) -> None:
        """End a training that cannot go on, for a cause of its own."""
        if training := self._running.get(job_id):
            if cause.startswith(DIED):
                keep_logs()  # which alone say of what
            self._end(training, "failed", cause)

    def _end(self, training: TrainingRun, state: State, cause: str | None = None) -> None:
        error = training.end(state, cause)
        del self._running[str(training.label)]
        for watcher in self._watchers:
            watcher.ended(training.label, state, cause)
        if training.stage == "search" and state == "complete":
            self._view.grows(Front.of(self._ledger))
        self.stop.error = self.stop.error or error

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Inside, a disk or a database that fails stops the study. Tune would show its own traceback."""
        try:
            yield
        except UserError as error:
            self.stop.fail(str(error))
        except (OSError, SQLAlchemyError, StorageInternalError) as error:
            self.stop.fail(out_of_reach("the study's ledger", error) or f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Leave what still runs as a crash would, and let the sinks write what they were told."""
        for sink in self._sinks:
            self._view.phase(f"closing {sink.name}")
            sink.close()
