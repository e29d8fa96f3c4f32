"""What a search minimises, one number of a trial's best epoch or two, and what its trials must keep to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.config import TrialConfig
from trainables.metrics import EPOCH, VALIDATION, Metrics

OBJECTIVES = {
    "rate_distortion": ("val_rate", "val_distortion"),
    "bits_per_dim": ("val_bits_per_dim",),
    "multi_rate": ("val_relative_loss",),
}
"""By the name that the command line has for each: the metrics, all minimised."""


@dataclass(frozen=True)
class Score:
    """The one number by which a person who watches a study is told how good a training is: the lowest is the best."""

    metric: str
    form: str  # for people

    def said(self, value: float) -> str:
        """2.5 -> "2.5000 bits/dim"."""
        return self.form.format(value)


_BITS = Score("val_bits_per_dim", "{:.4f} bits/dim")
SCORES = {
    "rate_distortion": _BITS,  # which weighs the two as a code would
    "bits_per_dim": _BITS,
    "multi_rate": Score("val_relative_loss", "relative loss {:.3f}"),
}
"""By objective."""
_RECORDED = {"val_bits_per_dim": "bits_per_dim"}  # as definitions 1 wrote it
_NUMBER = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"
_UNITS = {metric.name: metric.unit for metric in EPOCH}


def named(recorded: str) -> str:
    """The name of a recorded objective. Raises: ValueError for what is none."""
    name = _RECORDED.get(recorded, recorded)
    if name not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {recorded!r:.80}")
    return name


def values(objective: str, config: TrialConfig, best: Metrics) -> list[float]:
    """What a search is told of a trial: its best epoch's metrics, the distortion without the constant that no model
    changes, which would hide what does."""
    constants = {"val_distortion": config.model.distortion_constant}
    return [best[name] - constants.get(name, 0.0) for name in OBJECTIVES[objective]]


@dataclass(frozen=True)
class Constraint:
    """A limit of one validation metric at a trial's best epoch."""

    name: str
    sense: str  # "<=" or ">="
    limit: float

    @classmethod
    def of(cls, text: str) -> "Constraint":
        """Parse ``val_rate<=20``, or ``val_rate <= 20 nats``. Raises: ValueError for anything else."""
        found = re.fullmatch(rf"\s*(\w+)\s*(<=|>=)\s*({_NUMBER})(?![\w.]*[0-9_])\s*(.*?)\s*", text)
        if not found:
            raise ValueError(f"--where must be METRIC<=NUMBER or METRIC>=NUMBER, got {text!r}")
        name, sense, number, unit = found.groups()
        if name not in VALIDATION:
            raise ValueError(f"--where must name one of {', '.join(VALIDATION)}, got {name!r}")
        if unit and unit not in (_UNITS[name], _UNITS[name].split(" ")[0]):
            raise ValueError(f"--where must give {name} in {_UNITS[name] or 'no unit'}, got {unit!r}")
        try:
            limit = float(number)
        except ValueError:
            limit = 0.0
        if not 0 < limit < 1e12:
            raise ValueError(f"--where must have a limit above 0 and below 1e12, got {number}")
        return cls(name, sense, limit)

    def __str__(self) -> str:
        return f"{self.name}{self.sense}{self.limit:g}"

    def violation(self, row: Mapping[str, Any]) -> Any:
        """How far an epoch's metrics are beyond the limit, as a share of it; 0 and below where they keep to it. Of
        numbers, or of arrays."""
        beyond = row[self.name] - self.limit
        return (beyond if self.sense == "<=" else -beyond) / self.limit
