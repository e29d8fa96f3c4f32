"""Optuna's private names, all that this project uses: its models of its tables.

Optuna's own reader makes an object of every number, and takes 10 s for 10,000 trials of 50 epochs; asking its tables
for columns takes 1 s. Where a release has other names, the trials are read by the public way.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import select
from sqlalchemy.orm import Session

MODELS = "optuna.storages._rdb.models"
# what `MODELS` must have for the fast way, and what each of them
NAMES = {
    "TrialModel": ("trial_id", "study_id", "number", "state", "datetime_start", "datetime_complete"),
    "TrialParamModel": ("trial_id", "param_id", "param_name", "param_value", "distribution_json"),
    "TrialValueModel": ("trial_id", "objective", "value", "value_type", "stored_repr_to_value"),
    "TrialUserAttributeModel": ("trial_id", "key", "value_json"),
    "TrialSystemAttributeModel": ("trial_id", "key", "value_json"),  # how far a trial is beyond its constraints
    "TrialIntermediateValueModel": (
        "trial_id",
        "step",
        "intermediate_value",
        "intermediate_value_type",
        "stored_repr_to_intermediate_value",
    ),
}


def stored_trials(storage: RDBStorage, study_id: int) -> list[FrozenTrial]:
    """What ``storage.get_all_trials`` reads. Raises whatever Optuna and SQLAlchemy do, where a cell is not what Optuna
    writes."""
    try:
        return _by_columns(storage, study_id)
    except (ImportError, AttributeError):
        return storage.get_all_trials(study_id, deepcopy=False)


def _by_columns(storage: RDBStorage, study_id: int) -> list[FrozenTrial]:
    models = import_module(MODELS)
    trial = models.TrialModel
    parsed = cache(json_to_distribution)
    values_of = models.TrialValueModel.stored_repr_to_value
    reported_of = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    with Session(storage.engine) as session:

        def by_trial(name: str) -> Mapping[int, list[list[Any]]]:
            """The rows of a model by the trial's id, each with its columns but that."""
            model, found = getattr(models, name), defaultdict(list)
            columns = [getattr(model, column) for column in NAMES[name] if not column.startswith("stored_")]
            chosen = select(*columns).join(trial, trial.trial_id == model.trial_id)
            for key, *values in session.execute(chosen.where(trial.study_id == study_id)):
                found[key].append(values)
            return found

        # before the rest: a study may run, and what its trials have grows meanwhile, and never shrinks
        trials: Any = session.scalars(select(trial).where(trial.study_id == study_id)).all()
        params, values = by_trial("TrialParamModel"), by_trial("TrialValueModel")
        attributes, reported = by_trial("TrialUserAttributeModel"), by_trial("TrialIntermediateValueModel")
        of_system = by_trial("TrialSystemAttributeModel")
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
                values=[values_of(*rest) for _, *rest in sorted(values[key])] or None,
                params={name: distribution.to_external_repr(value) for name, value, distribution in drawn},
                distributions={name: distribution for name, _, distribution in drawn},
                user_attrs={name: json.loads(text) for name, text in attributes[key]},
                system_attrs={name: json.loads(text) for name, text in of_system[key]},
                intermediate_values={step: reported_of(*rest) for step, *rest in reported[key]},
            )
        )
    return found
