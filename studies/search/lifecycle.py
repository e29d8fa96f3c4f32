"""What happens to a training from its beginning to its end, in the order that survives a crash: the ledger hears of a
trial before its folder is made; of an epoch, and of its end, after they are recorded there.

Every training of a study passes through one `Lifecycle`: the trials of the search (`search_trials`), and those after it
(`studies.run.retraining`). What differs between them is a `Training`'s: whether its epochs may prune it, and what its
end means.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from studies.record.ledger import Ledger, State, Trials
from studies.record.study_folder import StudyFolder
from studies.search.sinks import Sink
from studies.watch.session import Session
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Assignment, Job


@dataclass(frozen=True, eq=False)
class Training(ABC):
    """One training of a study."""

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

    @abstractmethod
    def end(self, state: State, cause: str | None) -> UserError | None:
        """Record how it ended; what the study ends with for it, if it must. Raises: OSError."""


@dataclass(frozen=True, eq=False)
class _SearchTrial(Training):
    """A trial of the search, of whose end the ledger is told."""

    label: int
    ledger: Ledger

    def prepare(self) -> None:
        if self.record.is_of_another(self.config):
            raise UserError(
                f"{self.record.path} is not the folder of trial {self.label}: its config.json is another's\n"
                "remove it to train the trial again, or restore the study's storage"
            )
        self.record.create(self.config)

    def report(self, row: Metrics) -> bool:
        return self.ledger.report(self.label, row)

    def end(self, state: State, cause: str | None) -> None:
        self.folder.fetch_best(self.record)  # the ledger hears last: a crash may come between
        self.ledger.end(self.label, state, cause)
        self.folder.drop_states(self.record)


def trials_left(trials: Trials) -> int:
    """Trials that the search still has to begin, or to end."""
    return max(0, trials.plan.trials - sum(trials.count().values())) + len(trials.interrupted())


def search_trials(session: Session) -> Iterator[Training]:
    """Interrupted trials first, under their own numbers; then new ones, as many as are planned."""
    ledger, folder = session.ledger, session.folder
    interrupted, new = ledger.interrupted(), ledger.plan.trials - sum(ledger.count().values())
    if interrupted or new > 0:
        session.view.phase("searching")
    for number in chain(map(ledger.resume, interrupted), (ledger.ask() for _ in range(new))):
        parameters = ledger.parameters(number)
        record = TrialFolder(folder.layout.trial(number))
        yield _SearchTrial(folder, record, ledger.plan.config(number, parameters), number, parameters, ledger)


class Lifecycle:
    """The trainings of a study, one stage after another: a stage's first waits until the last of those before it has
    ended, as what a stage trains may depend on them.

    Args:
        session: the study that runs.
        stages: each asked for its next training when there is room for one.
        sinks: where the search's trials are shown too.
    """

    def __init__(self, session: Session, stages: Iterable[Iterator[Training]], sinks: Sequence[Sink] = ()) -> None:
        self._folder, self._data_dir = session.folder, session.data_dir
        self._view, self._stop, self._sinks = session.view, session.stop, sinks
        self._stages = iter(stages)
        self._stage: Iterator[Training] = iter(())
        self._running: dict[str, Training] = {}

    @property
    def is_over(self) -> bool:
        """Whether no more jobs will come."""
        return bool(self._stop.error) or not self._running

    def next_job(self) -> Job | None:
        """The next training's; None where there is none, now or any more: see `is_over`."""
        while not self._stop.error:
            training = next(self._stage, None)
            if training is not None:
                if job := self._begin(training):
                    return job
            elif self._running or (stage := next(self._stages, None)) is None:
                break
            else:
                self._stage = stage
        return None

    def _begin(self, training: Training) -> Job | None:
        """Its job, unless its record has its end already."""
        training.prepare()
        record, config = training.record, training.config
        rows = record.rows()
        self._running[str(training.label)] = training
        self._view.started(training.label, training.parameters, rows)
        for sink in self._sinks:
            sink.started(training.label, {**training.parameters, "seed": config.seed}, rows)
        prune = False
        for row in rows:  # in case the ledger had not heard of the last before a crash
            prune = training.report(row)
        if len(rows) >= config.epochs:
            self._end(training, "complete")
        elif prune:
            self._end(training, "pruned")
        else:
            mirror = self._folder.mirror(record.path)
            return Job(str(training.label), config, record.path, self._data_dir, mirror, recorded=len(rows))
        return None

    def assigned(self, job_id: str, assignments: Sequence[Assignment]) -> None:
        """Record the slots that were given a job."""
        if training := self._running.get(job_id):
            training.record.note(place for each in assignments for place in each.places)
            self._stop.meter.assigned(assignments)

    def report(self, job_id: str, row: Metrics) -> bool:
        """Record an epoch; answers whether to go on."""
        training = self._running.get(job_id)
        if training is None:
            return False
        is_new = training.record.append(row)
        prune = training.report(row)
        if is_new:
            self._stop.spend(row)
            self._view.reported(training.label, row)
            for sink in self._sinks:
                sink.reported(training.label, row)
        if row["epoch"] >= training.config.epochs or not prune:
            return not self._stop.error
        self._end(training, "pruned")
        return False

    def complete(self, job_id: str) -> None:
        """End a training that trains no more; one that ended by `report` or `fail` is left as it is."""
        training = self._running.get(job_id)
        if training is None:
            return
        if len(training.record.rows()) >= training.config.epochs:
            self._end(training, "complete")
        elif not self._stop.error:
            self.fail(job_id, "it ended before its last epoch")

    def fail(self, job_id: str, cause: str) -> None:
        """End a training that cannot go on, for a cause of its own."""
        if training := self._running.get(job_id):
            self._end(training, "failed", cause)

    def _end(self, training: Training, state: State, cause: str | None = None) -> None:
        error = training.end(state, cause)
        del self._running[str(training.label)]
        self._view.ended(training.label, state, cause)
        for sink in self._sinks:
            sink.ended(training.label, state)
        if error:
            self._stop.error = self._stop.error or error

    def give_up(self, reason: str) -> None:
        """Stop the study for a reason that is no training's own."""
        self._stop.fail(reason)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Inside, a disk or a database that fails stops the study. Tune would show its own traceback."""
        try:
            yield
        except UserError as error:
            self._stop.fail(str(error))
        except (OSError, SQLAlchemyError, StorageInternalError) as error:
            self._stop.fail(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Leave what still runs as a crash would, and let the sinks write what they were told."""
        for sink in self._sinks:
            self._view.phase(f"closing {sink.name}")
            sink.close()
