"""A study's folder, read as a whole and checked: the Optuna ledger says which trials exist, with which parameters, and
how they ended; the trials' folders hold what every epoch measured. Nothing here writes."""

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from analysis.reading.ledger import read_ledger
from analysis.reading.states import states_of
from analysis.reading.validation import (
    Question,
    best_row,
    check_rates,
    column,
    flat,
    is_done,
    no_epochs,
    read_epochs,
    read_question,
)
from trainables.config import TrialConfig, idle, used
from trainables.errors import StudyWarning, UserError
from trainables.metrics import Metrics
from trainables.objective import OBJECTIVES, Constraint, values
from trainables.records.driver import Driver, driver_of
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

# paths that are columns of every study, whether it searches them or not
_AXES = {"beta": "beta", "model.latent_dim": "latent_dim", "model.depth": "depth"}
# of the frames; a searched path has another name there
_OWN_COLUMNS = (
    "number",
    "state",
    "epoch",
    "epochs",
    "best_epoch",
    "seconds",
    "cpu_hours",
    "gpu_hours",
    "cause",
    "excess",
    "front",
)


@dataclass(frozen=True)
class StudyRecord:
    """A study's folder as it stood when it was read."""

    folder: Path
    info: dict[str, Any]  # study.json
    base: TrialConfig
    space: dict[str, BaseDistribution]
    trials: list[FrozenTrial]  # by number
    objective: str  # of `trainables.objective.OBJECTIVES`
    where: list[Constraint]
    driver: Driver | None  # who runs it
    epochs: list[np.ndarray]  # what each trial reported, by its number: see `analysis.reading.validation.read_epochs`
    faults: dict[int, str] = field(
        default_factory=dict
    )  # what is wrong with a trial's record, which has no epochs here

    @cached_property
    def _base(self) -> dict[str, Any]:
        return flat(self.base) | {"beta": self.base.main_beta}

    @cached_property
    def columns(self) -> dict[str, str]:
        """Dotted path -> column: the axes every study has, then whatever else is searched."""
        columns = dict(_AXES)
        for path in self.space:
            name = path.rsplit(".", 1)[-1]
            taken = name in _OWN_COLUMNS or name in columns.values()
            columns.setdefault(path, f"param.{path}" if taken else name)
        return columns

    @property
    def searched(self) -> dict[str, BaseDistribution]:
        """Column -> distribution, of what is searched."""
        return {self.columns[path]: distribution for path, distribution in self.space.items()}

    def is_within_limits(self, row: Metrics) -> bool:
        """Whether an epoch keeps to all that ``where`` asks."""
        return all(limit.violation(row) <= 0 for limit in self.where)

    @cached_property
    def states(self) -> list[str]:
        """How each trial stands, of `analysis.reading.states.WORDS`, by its number."""
        return states_of(self.trials, self.driver is not None and self.driver.is_training)

    @property
    def has_front(self) -> bool:
        """Whether it has two objectives, whose answer is a front and not one best trial."""
        return len(OBJECTIVES[self.objective]) > 1

    @property
    def is_multi_rate(self) -> bool:
        """Whether each of its trials is one network for every KL weight of a range."""
        return self.base.model.multi_rate

    @property
    def judged_by(self) -> str:
        """The column of `analysis.load_trials` that says which of its trials is better, low is good."""
        return "excess" if self.has_front else OBJECTIVES[self.objective][0]

    @property
    def hours(self) -> tuple[float, float]:
        """CPU and GPU hours that the trials' epochs held; an epoch of unknown cost adds nothing."""
        held = np.concatenate([np.zeros((1, 2)), *map(seconds_held, self.epochs)])
        cpu, gpu = (np.nansum(held, axis=0) / 3600).tolist()
        return cpu, gpu

    def parameters(self, trial: FrozenTrial) -> dict[str, Any]:
        """Column -> value of one trial: as drawn where it is searched, else the base's. None where it is not drawn yet,
        or of no use to the trial; but a network without a depth has depth 0, as where nothing is searched."""
        axes = {path: value for path, value in idle(trial.params).items() if path in _AXES}
        drawn = dict.fromkeys(self.space) | used(trial.params) | axes
        return {column: (self._base | drawn)[path] for path, column in self.columns.items()}

    @cached_property
    def best(self) -> list[Metrics | None]:
        """Each trial's best epoch, by its number; None before its first."""
        pairs = zip(map(self.config, self.trials), self.epochs, strict=True)
        return [best_row(epochs, config) if config and len(epochs) else None for config, epochs in pairs]

    def config(self, trial: FrozenTrial) -> TrialConfig | None:
        """What a trial trains by the ledger; None while its parameters are being drawn, or if they make none."""
        return _drawn(trial, self.base, self.space)


def read_study(folder: StudyRecord | Path | str) -> StudyRecord:
    """Everything the folder says, with one query for all trials; a study that is read already is what it is. A trial
    whose record is torn, or contradicts the ledger, is without epochs, with a `StudyWarning`. Raises: UserError where
    the folder is missing, or holds no whole study, or none of its records can be read."""
    if isinstance(folder, StudyRecord):
        return folder
    layout = StudyLayout(Path(folder))
    info, question = read_question(layout)
    # in this order: a study that runs asks the ledger for a trial, then makes its folder, then records epochs
    folders = len(layout.trial_folders())
    trials = read_ledger(layout, question)
    if folders > len(trials):
        lost = "its storage" if question.storage else layout.ledger
        rule = f"must know the {folders} trials in {layout.trials}, got {len(trials)}"
        copied = "of a copy that was made while it ran, copy that once more"
        raise UserError(f"the study's ledger {rule}\nrestore {lost}; {copied}")
    records = [TrialFolder(layout.trial(trial.number)) for trial in trials]
    faults: dict[int, str] = {}
    epochs = [_recorded(*each, question, faults) for each in zip(records, trials, strict=True)]
    driver = driver_of(StudyLayout(layout.path.resolve()))  # a link to a folder is that folder
    study = StudyRecord(
        layout.path,
        info,
        question.base,
        question.space,
        trials,
        question.objective,
        question.where,
        driver,
        epochs,
        faults,
    )
    if faults and not any(map(len, epochs)):
        raise UserError(next(iter(faults.values())))
    for number, fault in faults.items():
        warnings.warn(StudyWarning(f"trial {number} is left out: {fault}"), stacklevel=2)
    return study


def _recorded(record: TrialFolder, trial: FrozenTrial, question: Question, faults: dict[int, str]) -> np.ndarray:
    """A trial's epochs; none where its record is torn or contradicts the ledger, which is noted."""
    try:
        epochs, known = read_epochs(record), len(trial.intermediate_values)
        config = record.config() if len(epochs) or trial.state == TrialState.COMPLETE else None
        if config and trial.state == TrialState.COMPLETE and not is_done(epochs, config):
            told = values(question.objective, config, best_row(epochs, config)) if len(epochs) else None
            known = known if told == trial.values else config.epochs
        if known > len(epochs):  # a record is written before the ledger
            ended = config and config.patience and trial.state == TrialState.COMPLETE
            what = "epochs of a complete trial" if ended else f"{known} epochs that the ledger knows"
            rule = f"must hold the {what}, got {len(epochs)}"
            raise UserError(f"{record.metrics} {rule}: it was cut off\nrestore it")
        if config:
            check_rates(record, config, epochs)
        if fault := _contradiction(config, epochs, trial, question):
            both = f"{record.path} and the study's ledger"
            raise UserError(f"{both} contradict each other: {fault}\nrestore the one or the other")
        return epochs
    except UserError as error:
        faults[trial.number] = str(error)
        return no_epochs()


def seconds_held(epochs: np.ndarray) -> np.ndarray:
    """What a trial's epochs held of CPU cores and of GPUs, (its epochs, 2) seconds; NaN where unknown."""
    return np.column_stack([column(epochs, "cpu_seconds"), column(epochs, "gpu_seconds")])


def _drawn(trial: FrozenTrial, base: TrialConfig, space: dict[str, BaseDistribution]) -> TrialConfig | None:
    """See `StudyRecord.config`."""
    if not trial.params.keys() >= space.keys():
        return None
    try:
        return base.of_trial(trial.number, {path: trial.params[path] for path in space})
    except ValueError:  # such a trial failed, and has no epochs
        return None


def _contradiction(held: TrialConfig | None, epochs: np.ndarray, trial: FrozenTrial, question: Question) -> str:
    """In what a trial's record, of the config ``held``, and its line in the ledger do not vouch for each other, as one
    of them is altered, or another's; empty if in nothing."""
    config, bits = _drawn(trial, question.base, question.space), column(epochs, "val_bits_per_dim").tolist()
    if bits and config is not None and held != config:
        return "its config is not what the ledger says that was drawn"
    if any(not 1 <= epoch <= len(bits) or bits[epoch - 1] != told for epoch, told in trial.intermediate_values.items()):
        return "its metrics are not those that the ledger was told"
    if trial.state == TrialState.COMPLETE:
        found = values(question.objective, config, best_row(epochs, config)) if config and bits else None
        if found != trial.values:
            return f"the ledger's value is {trial.values}"
    return ""
