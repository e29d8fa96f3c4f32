"""Which of a trial's parameters lie at an end of the range that was searched, and how far to search instead."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from trainables.config import TrialConfig
from trainables.space import extremes
from vae_models import ModelConfig

_NEAR = 0.05  # of the range, on the scale by which it is searched


@dataclass(frozen=True)
class Edge:
    """A parameter whose best value may lie beyond what was searched."""

    path: str  # dotted, of `TrialConfig`
    value: float
    low: float  # the ends of what was searched
    high: float
    is_upper: bool  # near which of them the value lies
    further: float  # that end of a range to try instead


def edges(
    parameters: Mapping[str, Any], space: Mapping[str, BaseDistribution], besides: Collection[str] = ()
) -> list[Edge]:
    """Of a trial's drawn ``parameters``, by path, those that are within a twentieth of their range from its end, but
    not those ``besides``. Choices have ends where they are numbers. The range to try instead goes on to twice the
    upper end or half the lower one (of a float that is not searched by its logarithm, by the range's width), as far as
    the config allows: an end beyond which it allows nothing is none."""
    found = []
    for path in [path for path in space if path in parameters and path not in besides]:
        ends = extremes(space[path])
        if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
            continue
        value, low, high = parameters[path], min(ends), max(ends)
        for is_upper in (False, True) if low < high else ():
            further = _further(path, space[path], low, high, is_upper)
            if abs(_place(value, low, high, space[path]) - is_upper) <= _NEAR and further is not None:
                found.append(Edge(path, value, low, high, is_upper, further))
    return found


def _place(value: float, low: float, high: float, distribution: BaseDistribution) -> float:
    """In [0, 1], on the scale of the range; of choices, their place among them."""
    match distribution:
        case CategoricalDistribution():
            ordered = sorted(extremes(distribution))
            return ordered.index(value) / (len(ordered) - 1)
        case FloatDistribution(log=True) | IntDistribution(log=True):
            return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _further(path: str, distribution: BaseDistribution, low: float, high: float, is_upper: bool) -> float | None:
    """Where a range that goes on would end; None where the config allows nothing beyond the end that there is."""
    parent, _, name = path.rpartition(".")
    rules = (ModelConfig if parent else TrialConfig).model_fields[name].metadata
    match distribution:
        case FloatDistribution(log=False):
            further = high + (high - low) if is_upper else max(low - (high - low), low / 2)
        case _ if isinstance(low, int) and isinstance(high, int):
            steps = [getattr(rule, "multiple_of", 1) for rule in rules]
            step = max(1, getattr(distribution, "step", 1), *steps)
            further = high + step * max(1, high // step) if is_upper else low - step * max(1, low // 2 // step)
        case _:
            further = 2 * high if is_upper else low / 2
    for rule in rules:
        further = max(min(further, getattr(rule, "le", math.inf)), getattr(rule, "ge", -math.inf))
    return further if (further > high if is_upper else further < low) else None
