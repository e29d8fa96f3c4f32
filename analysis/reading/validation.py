"""What a study's JSON may hold: study.json, and what each epoch measured. Sealed is not trusted: anyone can seal."""

from typing import Annotated, Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, json_to_distribution
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import SchemaValidator, core_schema

from trainables.config import TrialConfig, completed
from trainables.errors import UserError, not_a_record, reason_of
from trainables.metrics import AT_EACH_RATE, EPOCH, Metric, Metrics, at_rate
from trainables.objective import Constraint, named
from trainables.records.atomic_files import read_bounded, refuse_escapes, unseal
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.space import check_space

_WAY_OUT = "give the folder of one, such as runs/digits_vae; `python -m analysis list` finds them"
_RESTORE = "restore it, or give another folder"
LARGEST = 1e18  # of a metric; what is larger, infinite or NaN was not written by the loop
_NAMES = [metric.name for metric in EPOCH]


def _whole(value: float) -> float:
    if value != round(value):
        raise ValueError("should be a whole number")
    return value


def _field(metric: Metric) -> core_schema.TypedDictField:
    # strict: text and booleans are no numbers
    number = core_schema.float_schema(strict=True, allow_inf_nan=False, gt=-LARGEST, ge=metric.least, lt=LARGEST)
    checked = core_schema.no_info_after_validator_function(_whole, number) if metric.whole else number
    return core_schema.typed_dict_field(checked, required=not metric.since)


_EPOCH_SCHEMA = core_schema.typed_dict_schema({metric.name: _field(metric) for metric in EPOCH})
_ROWS = SchemaValidator(core_schema.list_schema(_EPOCH_SCHEMA, fail_fast=True))  # in Rust: a long study has 500,000


def read_epochs(record: TrialFolder) -> np.ndarray:
    """What a trial reported, (its epochs, len(EPOCH)) float64 in the order of `trainables.metrics.EPOCH`: finite,
    whatever the file holds, but NaN for a metric that is newer than the record. Raises: UserError where the file is
    damaged, or an epoch lacks one of these numbers."""
    rows = record.rows()
    try:
        checked = _ROWS.validate_python(rows)
    except ValidationError as error:
        epoch, name = error.errors()[0]["loc"]
        metric, row = EPOCH[_NAMES.index(str(name))], rows[int(epoch)]
        least = "" if metric.least is None else f" of at least {metric.least:g}"
        rule = f"must have a {'whole ' * metric.whole}number {name}{least}, got {row.get(metric.name)!r:.80}"
        raise UserError(f"{record.metrics} is not a trial's record: epoch {row['epoch']} {rule}") from error
    values = [[row.get(name, np.nan) for name in _NAMES] for row in checked]
    return np.array(values, np.float64).reshape(-1, len(_NAMES))


def read_rates(record: TrialFolder, config: TrialConfig, best: Metrics) -> pd.DataFrame:
    """What a multi-rate training measured at its best epoch: a row for each of its KL weights, ``place beta`` and
    `AT_EACH_RATE`. Raises: UserError as `read_epochs`."""
    row = record.rows()[int(best["epoch"]) - 1]
    try:
        values = [[float(row[at_rate(name, place)]) for name in AT_EACH_RATE] for place in range(len(config.betas))]
        if not np.isfinite(values).all() or np.abs(values).max() >= LARGEST:
            raise ValueError("one of its numbers is none")
    except (KeyError, TypeError, ValueError) as error:
        rule = f"epoch {row['epoch']} must have numbers at each KL weight: {error}"
        raise UserError(f"{record.metrics} is not a multi-rate trial's record: {rule}") from error
    return pd.DataFrame(values, columns=list(AT_EACH_RATE)).assign(beta=config.betas, place=range(len(config.betas)))


def check_rates(record: TrialFolder, config: TrialConfig, epochs: np.ndarray) -> None:
    """Nobody is to meet a damaged row of a multi-rate training later on. Raises: UserError as `read_rates`."""
    if config.model.multi_rate and len(epochs):
        read_rates(record, config, best_row(epochs, config))


def no_epochs() -> np.ndarray:
    """Those of a trial that has reported none."""
    return np.empty((0, len(_NAMES)))


def column(epochs: np.ndarray, name: str) -> np.ndarray:
    """One metric of `read_epochs`, (its epochs,)."""
    return np.asarray(epochs[:, _NAMES.index(name)])


def best_row(epochs: np.ndarray, config: TrialConfig) -> Metrics:
    """The best epoch (`TrialConfig.criterion`), by metric: that whose weights were kept."""
    best = np.argmin(config.criterion(dict(zip(_NAMES, epochs.T, strict=True))))
    return dict(zip(_NAMES, epochs[best].tolist(), strict=True))


def is_done(epochs: np.ndarray, config: TrialConfig) -> bool:
    """Whether a training has ended with these: see `TrialConfig.is_done`."""
    return len(epochs) > 0 and config.ends_after(len(epochs), best_row(epochs, config)["epoch"])


def _distribution(text: Any) -> BaseDistribution:
    try:
        return json_to_distribution(text)
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{text!r:.80} is no distribution") from error


def _constraint(text: Any) -> Constraint:
    return Constraint.of(str(text))


class Question(BaseModel):
    """What reading a study needs of its study.json; the rest is shown as it is."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    id: Any
    name: str
    base: Annotated[TrialConfig, BeforeValidator(completed)]
    objective: Annotated[str, AfterValidator(named)] = "bits_per_dim"
    where: list[Annotated[Constraint, BeforeValidator(_constraint)]] = []
    space: dict[str, Annotated[BaseDistribution, BeforeValidator(_distribution)]]
    storage: str | None = None
    data_dir: str | None = None

    @model_validator(mode="after")
    def _space_is_of_the_base(self) -> "Question":
        """A space that names no field of the config would fail far from here."""
        check_space(self.base, self.space, at_once=1)
        return self


def read_question(layout: StudyLayout) -> tuple[dict[str, Any], Question]:
    """A folder's study.json, as it is and checked. Raises: UserError where the folder or the file is no study's."""
    if not layout.path.is_dir():
        raise UserError(f"no study folder at {layout.path}\n{_WAY_OUT}")
    if not layout.question.is_file():
        raise UserError(f"{layout.path} is not a study's folder: {layout.question.name} is missing\n{_WAY_OUT}")
    try:
        refuse_escapes(layout.path, unread=layout.ray.name)
    except OSError as error:
        fault = f"{error.filename} cannot be read: {error.strerror}"
        raise UserError(f"{fault}\nlet this user read it, or remove it") from error
    try:
        info = unseal(read_bounded(layout.question))
        return info, Question.model_validate(info)
    except ValidationError as error:
        raise UserError(not_a_record(layout.question, "a study's", error, "give another folder")) from error
    except OSError as error:
        raise UserError(f"{layout.question} cannot be read: {reason_of(error)}\nlet this user read it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{layout.question} is not a study's: {reason_of(error)}\n{_RESTORE}") from error


def flat(config: TrialConfig) -> dict[str, Any]:
    """A config's values by dotted path."""
    values = config.model_dump()
    return values | {f"model.{name}": value for name, value in values["model"].items()}
