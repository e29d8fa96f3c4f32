"""Trainings after the search: trials of the front, or the best ones, with other seeds, and longer ones."""

import shutil
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from optuna.trial import FrozenTrial

from studies.record.ledger import State, Trials
from studies.record.study_folder import StudyFolder
from studies.search.lifecycle import Session, TrainingRun, trials_left
from studies.watch.time_left import Stage
from trainables.config import TrialConfig, used
from trainables.errors import StudyWarning, UserError
from trainables.records.trial_folder import TrialFolder

REPEATED = 3  # trials that are repeated


def next_finals(trials: Trials, folder: StudyFolder) -> list[tuple[FrozenTrial, TrialConfig]]:
    """(trial, config) of the longer trainings that are planned and still to train, once the search is over."""
    found = []
    for trial in trials.chosen(trials.plan.finals):
        config = trials.plan.base.of_trial(trial.number, trial.params).replace({"epochs": trials.plan.final_epochs})
        if not _is_trained(folder, TrialFolder(_final_path(trials, folder, trial)), config):
            found.append((trial, config))
    return found


def _final_path(trials: Trials, folder: StudyFolder, trial: FrozenTrial) -> Path:
    is_alone = trials.plan.base.definitions == 1
    return folder.layout.final if is_alone else folder.layout.final_of(trial.number)


def next_repeats(trials: Trials, folder: StudyFolder) -> list[tuple[FrozenTrial, int, TrialConfig]]:
    """(trial, repeat from 1, config) of what ``seeds`` asks for and is still to train."""
    found = []
    for trial in trials.chosen(REPEATED):
        for repeat in range(1, trials.plan.seeds + 1):
            config = trials.plan.base.of_trial(trial.number, trial.params).of_repeat(repeat)
            record = TrialFolder(folder.layout.repeat(trial.number, repeat))
            if not _is_trained(folder, record, config):
                found.append((trial, repeat, config))
    return found


def _is_trained(folder: StudyFolder, record: TrialFolder, config: TrialConfig) -> bool:
    """Whether it has all its epochs, and its weights are here; or it failed. One whose record is damaged is left alone,
    with a `StudyWarning`: the others need not wait for it."""
    if not record.holds(config):
        return False
    is_here = record.best.exists() or not folder.mirror(record.path)
    try:
        return bool(record.cause()) or (config.is_done(record.rows()) and is_here)
    except UserError as error:
        warnings.warn(StudyWarning(f"{record.path.name} is left alone: {error}"), stacklevel=2)
        return True


@dataclass(frozen=True, eq=False)
class _Retraining(TrainingRun):
    """One in no ledger."""

    def prepare(self) -> None:
        if not self.record.holds(self.config):  # but an earlier best trial's
            shutil.rmtree(self.record.path, ignore_errors=True)
        self.record.create(self.config)


class _Repeat(_Retraining):
    """A trial with another seed. One that fails is recorded, and the study goes on."""

    stage: ClassVar[Stage] = "repeats"

    def end(self, state: State, cause: str | None) -> None:  # noqa: ARG002 (a cause says that it failed)
        if cause:
            self.record.fail(cause)
        self.folder.fetch_best(self.record)
        self.folder.drop_states(self.record)


@dataclass(frozen=True, eq=False)
class _Final(_Retraining):
    """A trial, longer. It takes the ``place`` of an earlier one when it is done; the study ends where it fails, and
    it keeps what it has."""

    stage: ClassVar[Stage] = "finals"
    place: Path

    def end(self, state: State, cause: str | None) -> UserError | None:  # noqa: ARG002 (as above)
        if cause:
            return UserError(f"the {self.label} failed: {cause}\nrun the same command again to take it up")
        self.folder.fetch_best(self.record)
        self.folder.drop_states(self.record)
        shutil.rmtree(self.place, ignore_errors=True)
        self.record.path.rename(self.place)
        return None


def foresee(session: Session, speed: float, alone: bool) -> None:
    """Tell the view how many trainings come after the search: as many as there can be, while the search goes on. Of the
    final ones an epoch is ``speed`` times as fast, and each may be ``alone``."""
    ledger, folder, plan = session.ledger, session.folder, session.ledger.plan
    again, longer = len(next_repeats(ledger, folder)), len(next_finals(ledger, folder))
    if trials_left(ledger):
        again, longer = plan.seeds * min(REPEATED, plan.trials), min(plan.finals, plan.trials)
    session.view.left.plan("repeats", again, plan.base.epochs)
    session.view.left.plan("finals", longer, plan.final_epochs, speed, alone)


def repeats(session: Session) -> Iterator[TrainingRun]:
    """Trials again with other seeds."""
    folder = session.folder
    left = next_repeats(session.ledger, folder)
    session.view.left.expect("repeats", len(left))
    if left:
        session.view.phase(
            f"training {_names(trial for trial, *_ in left)} again with other seeds, {len(left)} trainings"
        )
    for trial, repeat, config in left:
        record = TrialFolder(folder.layout.repeat(trial.number, repeat))
        label = f"trial {trial.number}, repeat {repeat}"
        yield _Repeat(folder, record, config, label, {**used(trial.params), "seed": config.seed})


def final_trainings(session: Session, workers: int) -> Iterator[TrainingRun]:
    """Trials once more, longer, in slots of so many workers."""
    ledger, folder = session.ledger, session.folder
    left = next_finals(ledger, folder)
    session.view.left.expect("finals", len(left))
    if left:
        what = f"{_names(trial for trial, _ in left)} once more"
        session.view.phase(f"training {what}, {ledger.plan.final_epochs} epochs on {workers} worker(s)")
    for trial, config in left:
        place = _final_path(ledger, folder, trial)
        record = TrialFolder(folder.layout.before_it_is_done(place))
        label = "final training" + f" of trial {trial.number}" * (place != folder.layout.final)
        yield _Final(folder, record, config, label, {**used(trial.params), "epochs": config.epochs}, place)


def _names(trials: Iterable[FrozenTrial]) -> str:
    """For people: "trial 3", "trials 3, 7"."""
    numbers = sorted({trial.number for trial in trials})
    return f"trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
