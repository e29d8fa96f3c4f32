"""What a search may draw, value by value."""

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def extremes(distribution: BaseDistribution) -> list[Any]:
    """The ends of a range, or all choices. Raises: ValueError for another kind of distribution."""
    match distribution:
        case FloatDistribution() | IntDistribution():
            return [distribution.low, distribution.high]
        case CategoricalDistribution():
            return list(distribution.choices)
    raise ValueError(f"{distribution!r} is no distribution that can be searched")


def describe(distribution: BaseDistribution) -> str:
    """The values as a person reads them."""
    match distribution:
        case FloatDistribution() | IntDistribution():
            return f"{distribution.low:g} to {distribution.high:g}{', log scale' if distribution.log else ''}"
        case CategoricalDistribution():
            return ", ".join(map(str, distribution.choices))
    return repr(distribution)
