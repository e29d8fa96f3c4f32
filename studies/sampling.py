"""Where a trial is tried: the first few by a design that covers the space, the others by an Optuna sampler. In a study
of two objectives the design draws every KL weight: that is a price at which an answer is asked for, not what is looked
for, and a sampler that is left to choose it leaves a part of the front out.

Everything is a function of the study's seed, the trial's number and what is known of the trials before it, so that a
driver that was killed leaves nothing behind that the next one would need.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

START = 8
"""Trials of the design alone, by number: a power of two, as a Sobol sequence asks for."""

MakeSampler = Callable[[int], BaseSampler]  # of a seed


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=START)


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=START // 2)  # it counts the complete trials alone


SAMPLERS: dict[str, MakeSampler] = {"tpe": _tpe, "gp": _gp, "random": RandomSampler}
"""By the name that the command line has for each."""


class _Fixed(BaseSampler):
    """Draws what is ``fixed``, and leaves the rest, if there is one, to another sampler."""

    def __init__(self, fixed: Mapping[str, Any], rest: BaseSampler | None = None) -> None:
        self._fixed, self._rest = fixed, rest

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        space = self._rest.infer_relative_search_space(study, trial) if self._rest else {}
        return {path: distribution for path, distribution in space.items() if path not in self._fixed}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        return self._rest.sample_relative(study, trial, search_space) if self._rest else {}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        if self._rest is None or param_name in self._fixed:
            return self._fixed[param_name]
        return self._rest.sample_independent(study, trial, param_name, param_distribution)


def sampler_for(
    number: int,
    space: Mapping[str, BaseDistribution],
    make: MakeSampler | None,
    seed: int,
    *position: int,
    designed: Collection[str] = (),
) -> BaseSampler:
    """The sampler of trial ``number``, at a ``position`` among the draws for it.

    Args:
        number, space, seed: see `point`.
        make: of the sampler that follows the design; None by definitions 1, which had none.
        position: what a seed differs by.
        designed: paths that the design draws to the end.
    """
    drawn = int(np.random.SeedSequence([seed, number, *position]).generate_state(1)[0])
    if make is None:
        return TPESampler(seed=drawn, n_startup_trials=5)
    at = point(number, space, seed)
    if number < START:
        return _Fixed(at)
    fixed = {path: at[path] for path in designed if path in space}
    return _Fixed(fixed, make(drawn)) if fixed else make(drawn)


def point(number: int, space: Mapping[str, BaseDistribution], seed: int) -> dict[str, Any]:
    """Point ``number`` of the scrambled Sobol design over a space, categories too (Owen 1998, J. Complexity 14(4)); a
    value for each path."""
    if not space:
        return {}
    from scipy.stats import qmc

    design = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(seed))
    shares = design.random(2 ** number.bit_length())[number]  # scipy warns of other counts
    return {path: _at(distribution, share) for (path, distribution), share in zip(space.items(), shares, strict=True)}


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
