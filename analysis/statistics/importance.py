"""Which parameters mattered: the variance of the trials' values that each explains alone. N complete trials, P
parameters that differ among them."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial, TrialState

from analysis.statistics.resampling import LEVEL, Interval

IMPORTANCE_RESAMPLES = 200  # so that five lie beyond either end
_LARGEST_RESAMPLE = 200  # trials of a resample at most, for time; beyond, the intervals are wider than they need be
_LEAST_TRIALS = 5  # complete ones, below which an importance would be noise
_TREES = 64
_LEAVES = (1, 5)  # trials of a leaf at least; the out-of-bag R² chooses, as single trials mislead where there is noise
_RESAMPLE_TREES = 16  # of a resample's forest: its noise only widens the interval
_GRID = 24  # values of a parameter at which its effect is taken
_BACKGROUND = 48  # draws of the others that it is averaged over
_Predict = Callable[[np.ndarray], np.ndarray]  # (M, P) -> (M,)
# (rows drawn, rows left out, seed) -> (P,) shares; None where they cannot be told
_Shares = Callable[[np.ndarray, np.ndarray, int], np.ndarray | None]


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of the trials' values that each parameter alone explains, largest first; or why
    there are none."""

    names: list[str]
    shares: np.ndarray
    trials: int
    note: str = ""
    intervals: list[Interval] | None = None  # over resampled trials; None where not asked for, or they cannot be told
    of: str = "bits per dimension"  # what the values are
    constant: list[str] = field(default_factory=list)  # searched, but the same in all trials: nothing is known of them

    @property
    def remainder(self) -> float:
        """The share of interactions, and of what no forest of these trials explains."""
        return max(0.0, 1 - float(self.shares.sum()))

    @property
    def separable(self) -> bool | None:
        """The intervals of the two largest shares do not overlap; None where that cannot be told."""
        if self.intervals is None or len(self.intervals) < 2:
            return None
        return self.intervals[0].low > self.intervals[1].high


def compute_importance(
    trials: Sequence[FrozenTrial],
    columns: dict[str, str],
    values: Sequence[float] | np.ndarray,
    of: str = Importance.of,
    besides: Collection[str] = (),
    seed: int = 0,
    resamples: int = 0,
) -> Importance:
    """The main effects of a forest over the complete trials (functional ANOVA: Hutter et al. 2014), times its
    out-of-bag R²: of the variance of the trials' values, what each parameter alone lets one predict, which leans
    low where trials are few. Pruned trials are left out: their values are those of fewer epochs.

    Args:
        trials: all of the study.
        columns: dotted path -> what the parameter is called.
        values: of each trial; one whose value is not finite is left out.
        of: what the values are, in words.
        besides: paths whose effect is not asked for.
        resamples: of the trials, for intervals (`IMPORTANCE_RESAMPLES` is enough).
    """
    told = zip(trials, values, strict=True)
    known = [(it, value) for it, value in told if it.state == TrialState.COMPLETE and math.isfinite(value)]
    complete = [trial for trial, _ in known]
    count = len(complete)
    none = partial(Importance, [], np.zeros(0), count, of=of)
    if count < _LEAST_TRIALS:
        return none(f"Parameter importance needs {_LEAST_TRIALS} complete trials; there are {count} so far")
    paths, points = _positions(complete, besides)
    varied = np.ptp(points, axis=0) > 0
    constant = [columns[path] for path, varies in zip(paths, varied, strict=True) if not varies]
    names, points = [columns[path] for path, varies in zip(paths, varied, strict=True) if varies], points[:, varied]
    measured, none = np.array([value for _, value in known], dtype=float), partial(none, constant=constant)
    if same := "parameters" if not names else "values" if not np.ptp(measured) > 0 else "":
        return none(f"Parameter importance cannot be told from these trials: their {same} do not differ")
    forests = [_forest(points, measured, seed, leaf) for leaf in _LEAVES]
    # the first is the strict judge: pure noise passes it in a twentieth of studies, and the best of two more
    if not forests[0].oob_score_ > 0:
        return none(
            f"Which parameters mattered for {of} cannot be told from these {count} complete trials: a forest "
            "of them predicts the value of a trial it has not seen no better than the mean does"
        )
    best = max(forests, key=lambda forest: float(forest.oob_score_))
    shares = main_effects(best.predict, points) * best.oob_score_
    resampled = partial(_resampled_shares, points, measured, best.min_samples_leaf)
    found = importance_intervals(count, shares, resampled, resamples, seed)
    order = np.argsort(-shares, kind="stable")
    intervals = [found[k] for k in order] if found else None
    return Importance([names[k] for k in order], shares[order], count, "", intervals, of, constant)


def _resampled_shares(
    points: np.ndarray, values: np.ndarray, leaf: int, drawn: np.ndarray, left: np.ndarray, seed: int
) -> np.ndarray | None:
    """`_Shares` of the trials, (N, P) and (N,)."""
    # scored on the trials that were not drawn: out-of-bag rows of a resample have their copies in the bag
    miss = ((values[left] - values[drawn].mean()) ** 2).sum()
    if not miss > 0 or not np.ptp(values[drawn]) > 0:
        return None
    predict = _small_forest(points[drawn], values[drawn], seed, leaf)
    skill = 1 - ((values[left] - predict(points[left])) ** 2).sum() / miss
    return np.asarray(main_effects(predict, points[drawn]) * max(skill, 0.0))


def importance_intervals(
    count: int, estimate: np.ndarray, shares: _Shares, resamples: int = IMPORTANCE_RESAMPLES, seed: int = 0
) -> list[Interval] | None:
    """Percentile bootstrap of each parameter's share, of which ``estimate``, (P,), is that of all ``count`` trials,
    and ``shares`` that of a resample: P intervals, stretched to the estimate where that lies outside; None where
    fewer than half the resamples had an answer, or there are none."""
    rng, every = np.random.default_rng(seed), np.arange(count)
    draws = [rng.integers(count, size=min(count, _LARGEST_RESAMPLE)) for _ in range(resamples)]
    told = [shares(drawn, np.setdiff1d(every, drawn), seed + k) for k, drawn in enumerate(draws)]
    answers = [answer for answer in told if answer is not None]
    if not answers or 2 * len(answers) < resamples:
        return None
    low, high = np.quantile(answers, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    ends = np.stack([estimate, np.minimum(low, estimate), np.maximum(high, estimate)], 1)
    return [Interval(*of) for of in ends.tolist()]


def _positions(complete: Sequence[FrozenTrial], besides: Collection[str]) -> tuple[list[str], np.ndarray]:
    """The P paths that all N trials have, but those ``besides``, and (N, P): where each trial lies, by the logarithm
    where it is searched by it, as a forest splits a range evenly; a choice by its index."""
    space = {path: of for path, of in intersection_search_space(list(complete)).items() if path not in besides}
    places = [[of.to_internal_repr(it.params[path]) for path, of in space.items()] for it in complete]
    points = np.array(places, float).reshape(len(complete), len(space))
    logarithmic = [getattr(of, "log", False) for of in space.values()]
    points[:, logarithmic] = np.log(points[:, logarithmic])
    return list(space), points


def _forest(points: np.ndarray, values: np.ndarray, seed: int, leaf: int) -> Any:
    """Extremely randomised trees (Geurts et al. 2006): of smooth functions their out-of-bag R² is above a
    random forest's, and a parameter of two values is not passed over."""
    from sklearn.ensemble import ExtraTreesRegressor  # a second of imports: here, where it is needed

    options: dict[str, Any] = {"min_samples_leaf": leaf, "random_state": seed, "bootstrap": True, "oob_score": True}
    return ExtraTreesRegressor(_TREES, **options).fit(points, values)


def _small_forest(points: np.ndarray, values: np.ndarray, seed: int, leaf: int) -> _Predict:
    """`_RESAMPLE_TREES` of the same trees, each of all trials: in half the time that a forest of so few takes."""
    from sklearn.tree import ExtraTreeRegressor

    seeds = np.random.SeedSequence(seed).generate_state(_RESAMPLE_TREES).tolist()
    grown = [ExtraTreeRegressor(min_samples_leaf=leaf, random_state=each) for each in seeds]
    single = points.astype(np.float32)  # as a tree takes them unchecked
    trees = [tree.fit(single, values, check_input=False) for tree in grown]
    return lambda at: np.mean([tree.predict(at.astype(np.float32), check_input=False) for tree in trees], axis=0)


def main_effects(predict: _Predict, points: np.ndarray) -> np.ndarray:
    """(N, P) -> (P,) shares of the variance of what ``predict`` gives, all parameters drawn from the trials' values
    but independently of one another; what is missing from 1 are interactions."""
    count = points.shape[1]
    others = _independent(points, _BACKGROUND)
    at_PGBP = np.tile(others, (count, _GRID, 1, 1))
    for k, column in enumerate(points.T):
        at_PGBP[k, :, :, k] = _levels(column, _GRID)[:, None]
    found_PGB = predict(at_PGBP.reshape(-1, count)).reshape(count, _GRID, _BACKGROUND)
    effects: np.ndarray = found_PGB.mean(2).var(1)
    # the total is of a sample and may fall short of its parts
    total: float = max(predict(_independent(points, _GRID * _BACKGROUND)).var(), effects.sum())
    return effects / total if total > 0 else effects


def _independent(points: np.ndarray, rows: int) -> np.ndarray:
    """(N, P) -> (rows, P): each column's quantiles in an order of their own (a Latin hypercube)."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(_levels(column, rows)) for column in points.T], 1)


def _levels(column: np.ndarray, count: int) -> np.ndarray:
    """(N,) -> (count,) of its values, as frequent as there."""
    return np.asarray(np.quantile(column, (np.arange(count) + 0.5) / count, method="inverted_cdf"))
