"""Trainings after the search: the best trials with other seeds, and the best one once more."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from studies.record.ledger import State, Trials
from studies.record.study_folder import StudyFolder
from studies.search.lifecycle import Session, TrainingRun
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.records.trial_folder import TrialFolder

_REPEATED = 3  # trials that are repeated, the best by the search


def next_final(trials: Trials, folder: StudyFolder) -> TrialConfig | None:
    """The best trial's configuration for ``final_epochs``, once the search is over and if it is still to train."""
    best = trials.best()
    if best is None or not trials.plan.final_epochs:
        return None
    config = trials.plan.base.of_trial(best.number, best.params).replace({"epochs": trials.plan.final_epochs})
    return None if _is_trained(folder, TrialFolder(folder.layout.final), config) else config


def next_repeats(trials: Trials, folder: StudyFolder) -> list[tuple[FrozenTrial, int, TrialConfig]]:
    """(trial, repeat from 1, config) of what ``seeds`` asks for and is still to train."""
    found = []
    for trial in trials.ranked()[:_REPEATED]:
        for repeat in range(1, trials.plan.seeds + 1):
            config = trials.plan.base.of_trial(trial.number, trial.params).of_repeat(repeat)
            record = TrialFolder(folder.layout.repeat(trial.number, repeat))
            if not _is_trained(folder, record, config) and not (record.holds(config) and record.cause()):
                found.append((trial, repeat, config))
    return found


def _is_trained(folder: StudyFolder, record: TrialFolder, config: TrialConfig) -> bool:
    """Whether it has all its epochs, and its weights are here."""
    is_here = record.best.exists() or not folder.mirror(record.path)
    return record.holds(config) and len(record.rows()) == config.epochs and is_here


@dataclass(frozen=True, eq=False)
class _Retraining(TrainingRun):
    """One in no ledger."""

    def prepare(self) -> None:
        if not self.record.holds(self.config):  # but an earlier best trial's
            shutil.rmtree(self.record.path, ignore_errors=True)
        self.record.create(self.config)


class _Repeat(_Retraining):
    """A trial with another seed. One that fails is recorded, and the study goes on."""

    def end(self, state: State, cause: str | None) -> None:  # noqa: ARG002 (a cause says that it failed)
        if cause:
            self.record.fail(cause)
        self.folder.fetch_best(self.record)
        self.folder.drop_states(self.record)


class _Final(_Retraining):
    """The best trial, longer. It takes the place of an earlier one when it is done; the study ends where it fails, and
    it keeps what it has."""

    def end(self, state: State, cause: str | None) -> UserError | None:  # noqa: ARG002 (as above)
        if cause:
            return UserError(f"the final training failed: {cause}\nrun the same command again to take it up")
        self.folder.fetch_best(self.record)
        self.folder.drop_states(self.record)
        final = self.folder.layout.final
        shutil.rmtree(final, ignore_errors=True)
        self.record.path.rename(final)
        return None


def repeats(session: Session) -> Iterator[TrainingRun]:
    """The best trials again with other seeds."""
    folder = session.folder
    left = next_repeats(session.ledger, folder)
    if left:
        session.view.phase(f"training the best trials again with other seeds, {len(left)} trainings")
    for trial, repeat, config in left:
        record = TrialFolder(folder.layout.repeat(trial.number, repeat))
        label = f"trial {trial.number}, repeat {repeat}"
        yield _Repeat(folder, record, config, label, {**trial.params, "seed": config.seed})


def final_training(session: Session, workers: int) -> Iterator[TrainingRun]:
    """The best trial once more, in slots of so many workers."""
    folder = session.folder
    config, best = next_final(session.ledger, folder), session.ledger.best()
    if config is not None and best is not None:
        session.view.phase(f"training trial {best.number} once more, {config.epochs} epochs on {workers} worker(s)")
        record = TrialFolder(folder.layout.next_final)
        yield _Final(folder, record, config, "final training", {**best.params, "epochs": config.epochs})
