"""A study's folder -> tidy DataFrames: one row a trial, or one row a trial and epoch.

The Optuna ledger says which trials exist, with which parameters, and how they ended; the trials' folders
hold what every epoch measured. Nothing here writes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from analysis.reading.ledger import LARGEST, is_number, read_ledger
from analysis.reading.remembered import remembered
from trainables.config import TrialConfig
from trainables.errors import UserError, explain
from trainables.records.atomic_files import read_bounded, refuse_escapes, unseal
from trainables.records.trial_folder import TrialFolder
from trainables.space import extremes

Row = dict[str, float]

STATES = ["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"]
AXES = {"beta": "beta", "model.latent_dim": "latent_dim", "model.depth": "depth"}
"""Paths that are columns of every study, whether it searches them or not."""
BEST_METRICS = ["bits_per_dim", "nelbo", "rate", "distortion", "mse", "active_units"]
EPOCH_METRICS = (
    "epoch",
    "train_loss",
    "train_distortion",
    "train_rate",
    "grad_norm",
    "images_per_second",
    *(f"val_{name}" for name in BEST_METRICS),
    "sigma",
    "lr",
    "epoch_seconds",
)
"""What `trainables.training.loop.fit` tells of an epoch."""
INTEGERS = {"number", "epoch", "epochs", "best_epoch", "latent_dim", "depth", "val_active_units"}
COSTS = ("cpu_seconds", "gpu_seconds")
"""And what the epoch cost, over all workers; studies of before that have no such record."""
METRICS_OF = itemgetter(*EPOCH_METRICS)
WHOLE = [name in INTEGERS for name in EPOCH_METRICS]
OWN_COLUMNS = {
    "number",
    "state",
    "epoch",
    "epochs",
    "best_epoch",
    "seconds",
    "cpu_hours",
    "gpu_hours",
    "cause",
    *COSTS,
    *AXES.values(),
}


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
    """What each trial reported, (its epochs, len(EPOCH_METRICS)) float64, by its number."""
    costs: list[np.ndarray]
    """What its epochs cost, (its epochs, len(COSTS)) float64, NaN where unknown."""

    @cached_property
    def _base(self) -> dict[str, Any]:
        return flat(self.base)

    @cached_property
    def columns(self) -> dict[str, str]:
        """Dotted path -> column: the axes every study has, then whatever else is searched."""
        columns = dict(AXES)
        for path in self.space:
            name = path.rsplit(".", 1)[-1]
            taken = name in OWN_COLUMNS or name in columns.values()
            columns.setdefault(path, f"param.{path}" if taken else name)
        return columns

    @property
    def searched(self) -> dict[str, BaseDistribution]:
        """Column -> distribution, of what is searched."""
        return {self.columns[path]: distribution for path, distribution in self.space.items()}

    def parameters(self, trial: FrozenTrial) -> dict[str, Any]:
        """Column -> value of one trial: as drawn where it is searched (None if not yet), else the base's."""
        return {
            column: trial.params.get(path) if path in self.space else self._base[path]
            for path, column in self.columns.items()
        }


def flat(config: TrialConfig) -> dict[str, Any]:
    """A config's values by dotted path."""
    values = config.model_dump()
    return values | {f"model.{name}": value for name, value in values["model"].items()}


def load_trials(folder: Path | str) -> pd.DataFrame:
    """One row a trial of the search, by number.

    Columns: ``number epochs best_epoch latent_dim depth val_active_units`` (Int64, NA where unknown),
    ``state`` (category of `STATES`), ``beta seconds cpu_hours gpu_hours val_bits_per_dim val_nelbo val_rate
    val_distortion val_mse`` (float64, NaN where unknown), ``cause`` (str, NaN unless it failed), and a column
    for whatever else was searched, named by the last part of its path. ``val_*`` are those of the trial's
    best epoch, the first with the lowest ``val_bits_per_dim``; ``epochs`` counts the reported ones, and
    ``seconds`` is what they took together, ``cpu_hours`` and ``gpu_hours`` what they held over all workers
    (a packed trial its share); epochs that a crash lost are in none of them. Units: nats per
    image for nelbo, rate and distortion.

    A large study that was read before, and has not changed since, is not read again: see
    `analysis.reading.remembered`.

    Raises:
        UserError: where the folder is missing, or holds no whole study.
    """
    return trials_of(Path(folder), study_info(folder))


def trials_of(folder: Path, info: dict[str, Any]) -> pd.DataFrame:
    """`load_trials` of a folder whose `study_info` is read already."""

    def read() -> pd.DataFrame:
        return trials_frame(read_rest(folder, info))

    return read() if info.get("storage") else remembered(folder, read)  # another storage may change unseen


def load_epochs(folder: Path | str) -> pd.DataFrame:
    """One row a trial and epoch: ``number epoch state``, the axes ``beta latent_dim depth`` and whatever
    else was searched, and every metric of `trainables.training.loop.fit`, ``cpu_seconds gpu_seconds`` last
    (float64, ``val_active_units`` Int64). Where
    ``lr`` is searched, that of the epoch is ``epoch.lr``.

    Raises:
        UserError: as `load_trials`.
    """
    return epochs_frame(read_study(folder))


def trials_frame(study: StudyRecord) -> pd.DataFrame:
    """`load_trials` of a study that is read already."""
    records = []
    for trial, epochs, costs in zip(study.trials, study.epochs, study.costs, strict=True):
        record = {"number": trial.number, "state": trial.state.name, **study.parameters(trial)}
        record["epochs"] = len(epochs)
        if len(epochs):
            best = best_row(epochs)
            record["best_epoch"] = best["epoch"]
            record |= {f"val_{name}": best[f"val_{name}"] for name in BEST_METRICS}
            record["seconds"] = float(epochs[:, EPOCH_METRICS.index("epoch_seconds")].sum())
            record["cpu_hours"], record["gpu_hours"] = (costs.sum(0) / 3600).tolist()
        record["cause"] = trial.user_attrs.get("cause")
        records.append(record)
    metrics = [f"val_{name}" for name in BEST_METRICS]
    columns = [*study.columns.values(), "epochs", "best_epoch", *metrics, "seconds", "cpu_hours", "gpu_hours", "cause"]
    return typed(pd.DataFrame(records, columns=["number", "state", *columns]), study)


def epochs_frame(study: StudyRecord) -> pd.DataFrame:
    """`load_epochs` of a study that is read already."""
    counts = [len(epochs) for epochs in study.epochs]
    columns = ["number", "state", *study.columns.values()]
    trials = pd.DataFrame(
        [{"number": trial.number, "state": trial.state.name, **study.parameters(trial)} for trial in study.trials],
        columns=columns,
    )
    repeated = trials.loc[trials.index.repeat(counts)].reset_index(drop=True)
    names = EPOCH_METRICS + COSTS
    rows = [np.hstack(pair) for pair in zip(study.epochs, study.costs, strict=True)]
    measured = np.concatenate([np.empty((0, len(names))), *rows])
    metrics = [f"epoch.{name}" if name in columns else name for name in names]
    frame = pd.concat([repeated, pd.DataFrame(measured, columns=metrics)], axis=1)
    return typed(frame[["number", "epoch", *columns[1:], *metrics[1:]]], study)


def typed(frame: pd.DataFrame, study: StudyRecord) -> pd.DataFrame:
    """The documented dtypes, whatever the rows hold: an empty study has them too."""
    integers = INTEGERS | {name for name, dist in study.searched.items() if isinstance(dist, IntDistribution)}
    kinds: dict[str, Any] = {str(name): "float64" for name in frame if str(name).startswith("val_")}
    kinds |= dict.fromkeys(("beta", "seconds", "cpu_hours", "gpu_hours"), "float64") | {"cause": "str"}
    kinds |= dict.fromkeys(integers, "Int64")
    kinds["state"] = pd.CategoricalDtype(STATES)
    return frame.astype({name: kind for name, kind in kinds.items() if name in frame})


def best_row(epochs: np.ndarray) -> Row:
    """The first epoch with the lowest ``val_bits_per_dim``, by metric: that whose weights were kept."""
    best = epochs[:, EPOCH_METRICS.index("val_bits_per_dim")].argmin()
    return dict(zip(EPOCH_METRICS, epochs[best].tolist(), strict=True))


def read_study(folder: Path | str) -> StudyRecord:
    """Everything the folder says, with one query for all trials.

    Raises:
        UserError: where the folder is missing, or holds no whole study.
    """
    return read_rest(Path(folder), study_info(folder))


def read_rest(folder: Path, info: dict[str, Any]) -> StudyRecord:
    """`read_study` of a folder whose `study_info` is read already."""
    base = TrialConfig.model_validate(info["base"])
    space = {path: optuna.distributions.json_to_distribution(text) for path, text in info["space"].items()}
    # in this order: a study that runs asks the ledger for a trial, then makes its folder, then records epochs
    folders = len(list(folder.glob("trials/[0-9]*")))
    trials = read_ledger(folder, info, space)
    if folders > len(trials):
        raise UserError(
            f"the study's ledger must know the {folders} trials in {folder / 'trials'}, got {len(trials)}\n"
            f"restore {(info['storage'] and 'its storage') or folder / 'study.db'}"
        )
    epochs, costs = [], []
    for trial in trials:
        record = trial_folder(folder, trial.number)
        rows = record.rows()
        epochs.append(checked_epochs(record, rows, trial, drawn_config(trial, base, space)))
        costs.append(epoch_costs(record, rows))
    return StudyRecord(folder, info, base, space, trials, epochs, costs)


def trial_folder(folder: Path, number: int) -> TrialFolder:
    return TrialFolder(folder / "trials" / f"{number:04d}")


def drawn_config(trial: FrozenTrial, base: TrialConfig, space: dict[str, BaseDistribution]) -> TrialConfig | None:
    """What a trial trains by the ledger; None while its parameters are being drawn, or if they make none."""
    if not trial.params.keys() >= space.keys():
        return None
    try:
        return base.of_trial(trial.number, {path: trial.params[path] for path in space})
    except ValueError:  # such a trial failed, and has no epochs
        return None


def checked_epochs(record: TrialFolder, rows: list[Row], trial: FrozenTrial, config: TrialConfig | None) -> np.ndarray:
    """`read_epochs` of a trial, whose record and whose line in the ledger vouch for each other; ``config``
    is what it trains by the ledger, if that is known.

    Raises:
        UserError: where they contradict each other: one of them is damaged, or another's.
    """
    epochs = read_epochs(record, rows)
    bits = epochs[:, EPOCH_METRICS.index("val_bits_per_dim")].tolist()
    told = trial.intermediate_values
    if len(told) > len(bits):  # a record is written before the ledger is told
        raise UserError(
            f"{record.path / 'metrics.jsonl'} must hold the {len(told)} epochs that the ledger knows, "
            f"got {len(bits)}: it was cut off\nrestore it"
        )
    if bits and config is not None and record.config() != config:
        raise UserError(contradiction(record, "its config is not what the ledger says that was drawn"))
    if any(not 1 <= epoch <= len(bits) or bits[epoch - 1] != value for epoch, value in told.items()):
        raise UserError(contradiction(record, "its metrics are not those that the ledger was told"))
    if trial.state == TrialState.COMPLETE and [min(bits, default=None)] != trial.values:
        raise UserError(contradiction(record, f"the ledger's value is {trial.values}"))
    return epochs


def contradiction(record: TrialFolder, how: str) -> str:
    return f"{record.path} and the study's ledger contradict each other: {how}\nrestore the one or the other"


def epoch_costs(record: TrialFolder, rows: list[Row]) -> np.ndarray:
    """(epochs, len(COSTS)) float64, NaN where a row has none.

    Raises:
        UserError: where a row has something else there.
    """
    for row in rows:
        for name in COSTS:
            value: Any = row.get(name, 0.0)
            if not (is_number(value) and value >= 0):
                raise UserError(
                    f"{record.path / 'metrics.jsonl'} is not a trial's record: epoch {row['epoch']} "
                    f"must have a number {name} of at least 0, got {value!r:.80}"
                )
    costs = [[row.get(name, np.nan) for name in COSTS] for row in rows]
    return np.array(costs, np.float64).reshape(-1, len(COSTS))


def read_epochs(record: TrialFolder, rows: list[Row] | None = None) -> np.ndarray:
    """What a trial reported, (epochs, len(EPOCH_METRICS)) float64; finite, whatever the file holds.

    Raises:
        UserError: where the file is damaged, or an epoch lacks one of these numbers.
    """
    rows = record.rows() if rows is None else rows
    with suppress(KeyError, OverflowError):  # the common case, at once: a long study has 500,000 rows
        values = [METRICS_OF(row) for row in rows]
        if all({float, int}.issuperset(map(type, row)) for row in values):
            epochs = np.array(values, np.float64).reshape(-1, len(EPOCH_METRICS))
            whole = epochs[:, WHOLE]
            if (abs(epochs) < LARGEST).all() and (whole == whole.round()).all():
                return epochs
    for row in rows:
        for name in EPOCH_METRICS:
            value: Any = row.get(name)
            kind = "whole number" if name in INTEGERS else "number"
            if not is_number(value) or (name in INTEGERS and value != round(value)):
                raise UserError(
                    f"{record.path / 'metrics.jsonl'} is not a trial's record: epoch {row['epoch']} "
                    f"must have a {kind} {name}, got {value!r:.80}"
                )
    raise AssertionError("what the fast way refuses has a fault")


def study_info(folder: Path | str) -> dict[str, Any]:
    """``study.json``: what was asked, by what command, with which versions.

    Raises:
        UserError: where it is missing, or is no study's.
    """
    folder = Path(folder)
    path = folder / "study.json"
    if not folder.is_dir():
        raise UserError(f"no study folder at {folder}")
    refuse_escapes(folder, unread=".ray")
    if not path.is_file():
        raise UserError(f"{folder} is not a study's folder: study.json is missing")
    try:
        info = unseal(read_bounded(path))
        if not isinstance(info["name"], str):
            raise ValueError(f"name must be a string, got {info['name']!r:.80}")
        for name in ("storage", "data_dir"):
            if not isinstance(info.get(name), str | None):
                raise ValueError(f"{name} must be a string or null, got {info.get(name)!r:.80}")
        info["id"]
        config = TrialConfig.model_validate(info["base"])
        # a space that names no field of the config would fail far from here
        for name, text in info["space"].items():
            for value in extremes(optuna.distributions.json_to_distribution(text)):
                if flat(config.replace({name: value}))[name] != value:  # text that pydantic takes for a number
                    raise ValueError(f"{name} must not be {value!r:.80}")
        return info
    except ValidationError as error:
        raise UserError(f"{path} is not a study's: {explain(error).splitlines()[0]}") from error
    except KeyError as error:
        raise UserError(f"{path} is not a study's: it has no {error}") from error
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise UserError(f"{path} is not a study's: {(str(error).splitlines() or [''])[0]}") from error
