"""Where a trial is tried: the first few by a design that covers the space, the others by an Optuna sampler.

Everything is a function of the study's seed, the trial's number and what is known of the trials before it, so that a
driver that was killed leaves nothing behind that the next one would need.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.stats import qmc

START = 8
"""Trials of the design, by number: a power of two, as a Sobol sequence asks for."""

MakeSampler = Callable[[int], BaseSampler]  # of a seed


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=START)


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=START)


SAMPLERS: dict[str, MakeSampler] = {"tpe": _tpe, "gp": _gp, "random": RandomSampler}
"""By the name that the command line has for each."""


class _Fixed(BaseSampler):
    """Draws one point."""

    def __init__(self, point: Mapping[str, Any]) -> None:
        self._point = point

    def infer_relative_search_space(self, *_: Any) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, *_: Any) -> Any:  # noqa: ARG002
        return self._point[param_name]


def sampler_for(
    number: int, space: Mapping[str, BaseDistribution], make: MakeSampler | None, seed: int, *position: int
) -> BaseSampler:
    """The sampler of trial ``number``, at a ``position`` among the draws for it; ``make`` is None by definitions 1."""
    drawn = int(np.random.SeedSequence([seed, number, *position]).generate_state(1)[0])
    if make is None:
        return TPESampler(seed=drawn, n_startup_trials=5)
    return make(drawn) if number >= START else _Fixed(start_point(number, space, seed))


def start_point(number: int, space: Mapping[str, BaseDistribution], seed: int) -> dict[str, Any]:
    """Point ``number``, below `START`, of the scrambled Sobol design over a space, categories too (Owen 1998,
    J. Complexity 14(4)); a value for each path."""
    if not space:
        return {}
    design = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(seed)).random(START)[number]
    return {path: _at(distribution, share) for (path, distribution), share in zip(space.items(), design, strict=True)}


def _at(distribution: BaseDistribution, share: float) -> Any:
    """The value at a ``share`` in [0, 1) of what a distribution can draw."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[int(share * len(choices))]
        case FloatDistribution(low=low, high=high, log=True):
            return float(np.clip(low * (high / low) ** share, low, high))
        case FloatDistribution(low=low, high=high, step=None):
            return low + share * (high - low)
        case FloatDistribution(low=low, high=high, step=step) if step:
            return low + step * int(share * (round((high - low) / step) + 1))
        case IntDistribution(low=low, high=high, log=True):
            return int(np.clip(round((low - 0.5) * ((high + 0.5) / (low - 0.5)) ** share), low, high))
        case IntDistribution(low=low, high=high, step=step):
            return low + step * int(share * ((high - low) // step + 1))
    raise ValueError(f"{distribution!r} is no distribution that can be searched")
