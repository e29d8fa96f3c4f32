"""A study's Optuna storage, read by someone who does not trust it.

Optuna's own reader makes an object of every number, and takes 10 s for 10,000 trials of 50 epochs. This one
asks its tables, through its own models of them, for columns.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from trainables.errors import UserError
from trainables.records.storage_urls import OWNER, unmasked

LARGEST = 1e18
"""Of a metric; what is larger, infinite or NaN was not written by the loop."""


def read_ledger(folder: Path, info: dict[str, Any], space: dict[str, BaseDistribution]) -> list[FrozenTrial]:
    """All trials of the study's Optuna storage by number, which is opened for reading alone.

    Raises:
        UserError: where it is missing, torn, or another study's; or holds what no study of ours writes.
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
            refuse_programs(path)
        storage = optuna.storages.RDBStorage(unmasked(url), skip_table_creation=True)
        try:
            if info["name"] not in [study.study_name for study in storage.get_all_studies()]:
                raise UserError(f"{shown} holds no study named {info['name']!r}, as study.json says")
            study_id = storage.get_study_id_from_name(info["name"])
            if storage.get_study_user_attrs(study_id).get(OWNER) != info["id"]:
                raise UserError(f"{shown} holds a study {info['name']!r} of another folder")
            trials = stored_trials(storage.engine, study_id)
        finally:
            storage.engine.dispose()
    except (optuna.exceptions.OptunaError, SQLAlchemyError, sqlite3.Error, *DAMAGE) as error:
        cut = Path(f"{shown}-journal").exists() or Path(f"{shown}-wal").exists()
        way_out = "its last write was cut short: the study's command, run again, mends it" if cut else "restore it"
        # the error's own text may hold the storage's password
        raise UserError(f"{shown} is not a whole Optuna ledger ({type(error).__name__})\n{way_out}") from error
    if {trial.number for trial in trials} != set(range(len(trials))):
        raise UserError(f"{shown} must number its trials from 0 without a gap")
    for trial in trials:
        if fault := fault_of(trial, space):
            raise UserError(f"{shown} is not this study's ledger: trial {trial.number} {fault}")
    return sorted(trials, key=lambda trial: trial.number)


def stored_trials(engine: Engine, study_id: int) -> list[FrozenTrial]:
    """What `optuna.storages.RDBStorage.get_all_trials` reads, without a trial's system attributes.

    Raises:
        SQLAlchemyError and those of `DAMAGE`: where a cell is not what Optuna writes.
    """
    trial = models.TrialModel
    parsed = cache(optuna.distributions.json_to_distribution)
    with Session(engine) as session:
        # before the rest: a study may run, and what its trials have grows meanwhile, and never shrinks
        trials: Sequence[Any] = session.scalars(select(trial).where(trial.study_id == study_id)).all()

        def by_trial(model: Any, *columns: Any) -> Mapping[int, list[Any]]:
            found = defaultdict(list)
            chosen = select(model.trial_id, *columns).join(trial, trial.trial_id == model.trial_id)
            for key, *values in session.execute(chosen.where(trial.study_id == study_id)):
                found[key].append(values)
            return found

        p, v, u, i = (
            models.TrialParamModel,
            models.TrialValueModel,
            models.TrialUserAttributeModel,
            models.TrialIntermediateValueModel,
        )
        params = by_trial(p, p.param_id, p.param_name, p.param_value, p.distribution_json)
        values = by_trial(v, v.objective, v.value, v.value_type)
        attributes = by_trial(u, u.key, u.value_json)
        reported = by_trial(i, i.step, i.intermediate_value, i.intermediate_value_type)
    found = []
    for stored in trials:
        key = stored.trial_id
        drawn = [(name, value, parsed(text)) for _, name, value, text in sorted(params[key])]
        found.append(
            FrozenTrial(
                number=stored.number,
                trial_id=key,
                state=stored.state,
                datetime_start=stored.datetime_start,
                datetime_complete=stored.datetime_complete,
                value=None,
                values=[v.stored_repr_to_value(*rest) for _, *rest in sorted(values[key])] or None,
                params={name: distribution.to_external_repr(value) for name, value, distribution in drawn},
                distributions={name: distribution for name, _, distribution in drawn},
                user_attrs={name: json.loads(text) for name, text in attributes[key]},
                system_attrs={},
                intermediate_values={step: i.stored_repr_to_intermediate_value(*rest) for step, *rest in reported[key]},
            )
        )
    return found


def refuse_programs(path: Path) -> None:
    """Refuse a SQLite file that computes something when it is read: Optuna's is of plain tables.

    Raises:
        UserError: where it has a view, a trigger, a virtual table or a computed column.
        sqlite3.Error: where it is no whole database.
    """
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as ledger:
        for kind, name, text in ledger.execute("SELECT type, name, sql FROM sqlite_master"):
            columns = ledger.execute("SELECT hidden FROM pragma_table_xinfo(?)", (name,))
            plain = kind == "index" or (kind == "table" and not any(hidden for (hidden,) in columns))
            if not plain or "virtual" in str(text).lower():
                raise UserError(f"{path} must hold plain tables alone, as Optuna makes them, found {name!r:.80}")


DAMAGE = (RuntimeError, ValueError, LookupError, TypeError, AssertionError, ArithmeticError, ImportError)
"""What Optuna and SQLAlchemy let through where a ledger's cells are not what they wrote."""


def is_one_number(values: list[float] | None) -> bool:
    return values is not None and len(values) == 1 and is_number(values[0])


def is_number(value: object) -> bool:
    """Whether the loop could have written it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def fault_of(trial: FrozenTrial, space: dict[str, BaseDistribution]) -> str:
    """What a trial has that the ledger cannot have written, in words; empty if nothing."""
    if trial.state == TrialState.COMPLETE and not is_one_number(trial.values):
        return f"is complete with the value {trial.values!r:.80}"
    for path, distribution in space.items():
        value = trial.params.get(path)
        if path not in trial.params:
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                return f"has no {path}"
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            if not (is_number(value) and distribution.low <= value <= distribution.high):  # type: ignore[operator]
                return f"has {path} = {value!r:.80}, which is not in the space"
        elif value not in distribution.choices:  # type: ignore[attr-defined]
            return f"has {path} = {value!r:.80}, which is not in the space"
    return ""
