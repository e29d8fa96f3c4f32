"""What a search may draw, value by value."""

from collections.abc import Mapping
from itertools import chain, combinations, product
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from trainables.config import TrialConfig, used
from trainables.errors import explain
from vae_models.config import OWNED


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


def check_space(base: TrialConfig, space: Mapping[str, BaseDistribution], at_once: int = 2) -> None:
    """Raises: ValueError for a value of the space that the config around ``base`` refuses or takes for another, alone
    or with as many others as make ``at_once``, and for a field that none of the searched choices of its owner has.
    Of a study that has begun, whose values are looked at one by one, the extremes are enough."""
    tried = extremes if at_once == 1 else _tried
    places = {path: [(path, value) for value in tried(kind)] for path, kind in space.items()}
    for name, (owner, having) in OWNED.items():
        searched = [value for _, value in places.get(f"model.{owner}", ())] or having
        if f"model.{name}" in space and not any(value in having for value in searched):
            rule = f"model.{name} can be searched with model.{owner} {' or '.join(having)}"
            way_out = f"search one of them, too, or leave {name} out"
            raise ValueError(f"{rule}, got {', '.join(map(str, searched))}\n{way_out}")
    owners = {f"model.{owner}" for owner, _ in OWNED.values()} & space.keys()
    others = [of for path, of in places.items() if path not in owners]
    drawn = chain.from_iterable(product(*of) for of in combinations(others, min(at_once, len(others))))
    for chosen, more in product(product(*(places[path] for path in owners)), drawn):
        _check(base, dict((*chosen, *more)))


def _tried(distribution: BaseDistribution) -> list[Any]:
    """Its extremes and, of a range, a value inside: a whole number's ends may be whole, and others are not."""
    found = extremes(distribution)
    match distribution:
        case FloatDistribution():
            found.append(distribution.low + (distribution.step or 0.4 * (distribution.high - distribution.low)))
        case IntDistribution():
            found.append(min(distribution.low + distribution.step, distribution.high))
    return found


def _check(base: TrialConfig, drawn: Mapping[str, Any]) -> None:
    try:
        config = base.of_trial(0, drawn)
    except ValidationError as error:
        at_fault = [path for path in drawn if _is_fine(base, {name: it for name, it in drawn.items() if name != path})]
        ways = [f"leave {path} out of it, as --set {path}=VALUE does" for path in sorted(at_fault or drawn)]
        way_out = ", or ".join(["change the space", *ways])
        raise ValueError(f"{explain(error).splitlines()[0]}\n{way_out}") from error
    for path, value in used(drawn).items():
        parent, _, name = path.rpartition(".")
        if getattr(config.model if parent else config, name) != value:  # text that pydantic takes for a number
            raise ValueError(f"{path} must be searched among its own values, got {value!r:.80}")


def _is_fine(base: TrialConfig, drawn: Mapping[str, Any]) -> bool:
    try:
        return bool(base.of_trial(0, drawn))
    except ValueError:
        return False
