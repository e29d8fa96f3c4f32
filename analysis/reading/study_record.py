"""A study's folder, read as a whole and checked.

The Optuna ledger says which trials exist, with which parameters, and how they ended; the trials' folders
hold what every epoch measured. Nothing here writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from analysis.reading.ledger import read_ledger
from analysis.reading.validation import Question, column, flat, read_epochs, read_question
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.records.atomic_files import read_bounded, refuse_escapes, unseal
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

_AXES = {"beta": "beta", "model.latent_dim": "latent_dim", "model.depth": "depth"}
"""Paths that are columns of every study, whether it searches them or not."""
_OWN_COLUMNS = ("number", "state", "epoch", "epochs", "best_epoch", "seconds", "cpu_hours", "gpu_hours", "cause")
"""Of the frames; a searched path has another name there."""


@dataclass(frozen=True)
class StudyRecord:
    """A study's folder as it stood when it was read."""

    folder: Path
    info: dict[str, Any]
    """``study.json``."""
    base: TrialConfig
    space: dict[str, BaseDistribution]
    trials: list[FrozenTrial]
    """By number."""
    epochs: list[np.ndarray]
    """What each trial reported, by its number: see `analysis.reading.validation.read_epochs`."""

    @cached_property
    def _base(self) -> dict[str, Any]:
        return flat(self.base)

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

    @property
    def hours(self) -> tuple[float, float]:
        """CPU and GPU hours that the trials' epochs held; an epoch of unknown cost adds nothing."""
        held = np.concatenate([np.zeros((1, 2)), *map(seconds_held, self.epochs)])
        cpu, gpu = (np.nansum(held, axis=0) / 3600).tolist()
        return cpu, gpu

    def parameters(self, trial: FrozenTrial) -> dict[str, Any]:
        """Column -> value of one trial: as drawn where it is searched (None if not yet), else the base's."""
        return {
            column: trial.params.get(path) if path in self.space else self._base[path]
            for path, column in self.columns.items()
        }

    def config(self, trial: FrozenTrial) -> TrialConfig | None:
        """What a trial trains by the ledger; None while its parameters are being drawn, or if they make none."""
        return _drawn_config(trial, self.base, self.space)


def read_study(folder: Path | str) -> StudyRecord:
    """Everything the folder says, with one query for all trials.

    Raises:
        UserError: where the folder is missing, or holds no whole study.
    """
    layout = StudyLayout(Path(folder))
    info, question = _read_question(layout)
    # in this order: a study that runs asks the ledger for a trial, then makes its folder, then records epochs
    folders = len(layout.trial_folders())
    trials = read_ledger(layout, question)
    if folders > len(trials):
        raise UserError(
            f"the study's ledger must know the {folders} trials in {layout.trials}, got {len(trials)}\n"
            f"restore {'its storage' if question.storage else layout.ledger}"
        )
    epochs = [_checked_epochs(TrialFolder(layout.trial(trial.number)), trial, question) for trial in trials]
    return StudyRecord(layout.path, info, question.base, question.space, trials, epochs)


def _read_question(layout: StudyLayout) -> tuple[dict[str, Any], Question]:
    if not layout.path.is_dir():
        raise UserError(f"no study folder at {layout.path}")
    refuse_escapes(layout.path, unread=layout.ray.name)
    if not layout.question.is_file():
        raise UserError(f"{layout.path} is not a study's folder: {layout.question.name} is missing")
    try:
        info = unseal(read_bounded(layout.question))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{layout.question} is not a study's: {(str(error).splitlines() or [''])[0]}") from error
    return info, read_question(layout.question, info)


def seconds_held(epochs: np.ndarray) -> np.ndarray:
    """What a trial's epochs held of CPU cores and of GPUs, (its epochs, 2) seconds; NaN where unknown."""
    return np.column_stack([column(epochs, "cpu_seconds"), column(epochs, "gpu_seconds")])


def _drawn_config(trial: FrozenTrial, base: TrialConfig, space: dict[str, BaseDistribution]) -> TrialConfig | None:
    if not trial.params.keys() >= space.keys():
        return None
    try:
        return base.of_trial(trial.number, {path: trial.params[path] for path in space})
    except ValueError:  # such a trial failed, and has no epochs
        return None


def _checked_epochs(record: TrialFolder, trial: FrozenTrial, question: Question) -> np.ndarray:
    """`read_epochs` of a trial, whose record and whose line in the ledger vouch for each other.

    Raises:
        UserError: where they contradict each other: one of them is damaged, or another's.
    """
    epochs = read_epochs(record)
    bits = column(epochs, "val_bits_per_dim").tolist()
    reported = trial.intermediate_values
    if len(reported) > len(bits):  # a record is written before the ledger
        raise UserError(
            f"{record.metrics} must hold the {len(reported)} epochs that the ledger knows, "
            f"got {len(bits)}: it was cut off\nrestore it"
        )
    config = _drawn_config(trial, question.base, question.space)
    if bits and config is not None and record.config() != config:
        raise _contradiction(record, "its config is not what the ledger says that was drawn")
    if any(not 1 <= epoch <= len(bits) or bits[epoch - 1] != value for epoch, value in reported.items()):
        raise _contradiction(record, "its metrics are not those that the ledger was told")
    if trial.state == TrialState.COMPLETE and [min(bits, default=None)] != trial.values:
        raise _contradiction(record, f"the ledger's value is {trial.values}")
    return epochs


def _contradiction(record: TrialFolder, how: str) -> UserError:
    return UserError(f"{record.path} and the study's ledger contradict each other: {how}\nrestore the one or the other")
