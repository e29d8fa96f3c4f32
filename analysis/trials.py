"""A study's folder -> tidy DataFrames: one row a trial, or one row a trial and epoch.

The Optuna ledger says which trials exist, with which parameters, and how they ended; the trials' folders
hold what every epoch measured. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import quote

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial
from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from trainables.config import TrialConfig, explain
from trainables.errors import UserError
from trainables.files import unseal
from trainables.records import TrialFolder

Row = dict[str, float]

STATES = ["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"]
AXES = {"beta": "beta", "model.latent_dim": "latent_dim", "model.depth": "depth"}
"""Paths that are columns of every study, whether it searches them or not."""
LARGEST = 1e18
"""Of a metric; what is larger, infinite or NaN was not written by the loop."""
BEST_METRICS = ["bits_per_dim", "nelbo", "rate", "distortion", "mse", "active_units"]
INTEGERS = {"number", "epoch", "epochs", "best_epoch", "latent_dim", "depth", "val_active_units"}
OWN_COLUMNS = {"number", "state", "epoch", "epochs", "best_epoch", "seconds", "cause", *AXES.values()}


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
    rows: dict[int, list[Row]]
    """The epochs each trial reported, by its number."""

    @property
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
        base = self.base.model_dump()
        base |= {f"model.{name}": value for name, value in base["model"].items()}
        return {
            column: trial.params.get(path) if path in self.space else base[path]
            for path, column in self.columns.items()
        }


def load_trials(folder: Path | str) -> pd.DataFrame:
    """One row a trial of the search, by number.

    Columns: ``number epochs best_epoch latent_dim depth val_active_units`` (Int64, NA where unknown),
    ``state`` (category of `STATES`), ``beta seconds val_bits_per_dim val_nelbo val_rate val_distortion
    val_mse`` (float64, NaN where unknown), ``cause`` (str, NaN unless it failed), and a column for
    whatever else was searched, named by the last part of its path. ``val_*`` are those of the trial's best
    epoch, the first with the lowest ``val_bits_per_dim``; ``epochs`` counts the reported ones, and
    ``seconds`` is what they took together. Units: nats per image for nelbo, rate and distortion.

    Raises:
        UserError: where the folder is missing, or holds no whole study.
    """
    return trials_frame(read_study(folder))


def load_epochs(folder: Path | str) -> pd.DataFrame:
    """One row a trial and epoch: ``number epoch state``, the axes ``beta latent_dim depth`` and whatever
    else was searched, and every metric of `trainables.loop.fit` (float64, ``val_active_units`` Int64).

    Raises:
        UserError: as `load_trials`.
    """
    return epochs_frame(read_study(folder))


def trials_frame(study: StudyRecord) -> pd.DataFrame:
    """`load_trials` of a study that is read already."""
    records = []
    for trial in study.trials:
        rows = study.rows[trial.number]
        record = {"number": trial.number, "state": trial.state.name, **study.parameters(trial)}
        record["epochs"] = len(rows)
        if rows:
            best = best_row(rows)
            record["best_epoch"] = best["epoch"]
            record |= {f"val_{name}": best[f"val_{name}"] for name in BEST_METRICS}
            record["seconds"] = sum(row["epoch_seconds"] for row in rows)
        record["cause"] = trial.user_attrs.get("cause")
        records.append(record)
    metrics = [f"val_{name}" for name in BEST_METRICS]
    columns = [*study.columns.values(), "epochs", "best_epoch", *metrics, "seconds", "cause"]
    return typed(pd.DataFrame(records, columns=["number", "state", *columns]), study)


def epochs_frame(study: StudyRecord) -> pd.DataFrame:
    """`load_epochs` of a study that is read already."""
    records = [
        {"number": trial.number, "state": trial.state.name, **study.parameters(trial), **row}
        for trial in study.trials
        for row in study.rows[trial.number]
    ]
    metrics = list(dict.fromkeys(name for rows in study.rows.values() for row in rows for name in row))
    measured = [name for name in metrics if name != "epoch"] or [f"val_{name}" for name in BEST_METRICS]
    columns = ["number", "epoch", "state", *study.columns.values(), *measured]
    return typed(pd.DataFrame(records, columns=columns), study)


def typed(frame: pd.DataFrame, study: StudyRecord) -> pd.DataFrame:
    """The documented dtypes, whatever the rows hold: an empty study has them too."""
    integers = INTEGERS | {name for name, dist in study.searched.items() if isinstance(dist, IntDistribution)}
    kinds: dict[str, Any] = {str(name): "float64" for name in frame if str(name).startswith("val_")}
    kinds |= {"beta": "float64", "seconds": "float64", "cause": "str"}
    kinds |= dict.fromkeys(integers, "Int64")
    kinds["state"] = pd.CategoricalDtype(STATES)
    return frame.astype({name: kind for name, kind in kinds.items() if name in frame})


def best_row(rows: Iterable[Row]) -> Row:
    """The first row with the lowest ``val_bits_per_dim``: the epoch whose weights were kept."""
    return min(rows, key=lambda row: row["val_bits_per_dim"])


def read_study(folder: Path | str) -> StudyRecord:
    """Everything the folder says, with one query for all trials.

    Raises:
        UserError: where the folder is missing, or holds no whole study.
    """
    folder = Path(folder)
    info = study_info(folder)
    base = TrialConfig.model_validate(info["base"])
    space = {path: optuna.distributions.json_to_distribution(text) for path, text in info["space"].items()}
    trials = read_ledger(folder, info)
    rows = {trial.number: checked_rows(trial_folder(folder, trial.number)) for trial in trials}
    for trial in trials:
        told, recorded = len(trial.intermediate_values), len(rows[trial.number])
        if recorded < told:  # a record is written before the ledger is told
            raise UserError(
                f"{trial_folder(folder, trial.number).path / 'metrics.jsonl'} must hold the {told} epochs "
                f"that the ledger knows, got {recorded}: it was cut off\nrestore it"
            )
    return StudyRecord(folder, info, base, space, trials, rows)


def trial_folder(folder: Path, number: int) -> TrialFolder:
    return TrialFolder(folder / "trials" / f"{number:04d}")


def checked_rows(record: TrialFolder) -> list[Row]:
    """The rows of a trial, each with the numbers that the frames are made of. Raises: UserError without."""
    rows = record.rows()
    for row in rows:
        for name in ("epoch_seconds", *(f"val_{name}" for name in BEST_METRICS)):
            value = row.get(name)
            kind = "whole number" if name in INTEGERS else "number"
            if not is_number(value) or (name in INTEGERS and value != round(value)):
                raise UserError(
                    f"{record.path / 'metrics.jsonl'} is not a trial's record: "
                    f"epoch {row['epoch']} must have a {kind} {name}, got {value!r}"
                )
    return rows


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) < LARGEST


def study_info(folder: Path | str) -> dict[str, Any]:
    """``study.json``: what was asked, by what command, with which versions.

    Raises:
        UserError: where it is missing, or is no study's.
    """
    folder = Path(folder)
    path = folder / "study.json"
    if not folder.is_dir():
        raise UserError(f"no study folder at {folder}")
    if not path.is_file():
        raise UserError(f"{folder} is not a study's folder: study.json is missing")
    try:
        info = unseal(path.read_bytes())
        if not isinstance(info["name"], str):
            raise ValueError(f"name must be a string, got {info['name']!r}")
        config = TrialConfig.model_validate(info["base"])
        # a space that names no field of the config would fail far from here
        config.replace(
            {p: first_value(optuna.distributions.json_to_distribution(d)) for p, d in info["space"].items()}
        )
        return info
    except ValidationError as error:
        raise UserError(f"{path} is not a study's: {explain(error).splitlines()[0]}") from error
    except KeyError as error:
        raise UserError(f"{path} is not a study's: it has no {error}") from error
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise UserError(f"{path} is not a study's: {(str(error).splitlines() or [''])[0]}") from error


def first_value(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low  # type: ignore[attr-defined]


def read_ledger(folder: Path, info: dict[str, Any]) -> list[FrozenTrial]:
    """All trials of the study's Optuna storage by number, which is opened for reading alone.

    Raises:
        UserError: where it is missing, torn, or another study's.
    """
    url, shown = info.get("storage"), "its storage"
    try:
        if not url or make_url(url).drivername.startswith("sqlite"):
            path = Path((url and make_url(url).database) or folder / "study.db")
            shown = str(path)
            if not path.is_file():
                raise UserError(f"{folder} is not a study's folder: {path.name} is missing")
            # quoted twice: SQLAlchemy reads the URL, then SQLite the path in it
            url = f"sqlite:///file:{quote(quote(str(path.resolve())))}?mode=ro&uri=true"
        storage = optuna.storages.RDBStorage(url, skip_table_creation=True)
        try:
            study_id = storage.get_study_id_from_name(info["name"])
            trials = storage.get_all_trials(study_id, deepcopy=False)
        finally:
            storage.engine.dispose()
    except KeyError as error:
        raise UserError(f"{shown} holds no study named {info['name']!r}, as study.json says") from error
    except (optuna.exceptions.OptunaError, SQLAlchemyError, RuntimeError, ValueError, ImportError) as error:
        # the error's own text may hold the storage's password
        raise UserError(f"{shown} is not a whole Optuna ledger ({type(error).__name__})") from error
    return sorted(trials, key=lambda trial: trial.number)
