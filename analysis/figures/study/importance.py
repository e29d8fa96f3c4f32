"""Which parameters mattered: the variance of the trials' values that each explains alone.

N complete trials, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial, TrialState

from analysis.figures.style import FADED, INK, OKABE_ITO, TITLES, draw_note, plain, styled
from analysis.statistics.resampling import Interval, importance_intervals

LEAST_TRIALS = 5
"""Complete trials below which an importance would be noise."""
TREES = 64
LEAVES = (1, 5)
"""Trials of a leaf at least; the out-of-bag R² chooses, as single trials mislead where there is noise."""
RESAMPLE_TREES = 16
"""Of a resample's forest: its noise only widens the interval."""
GRID, BACKGROUND = 24, 48
"""Values of a parameter at which its effect is taken, and draws of the others that it is averaged over."""
REMAINDER = "interactions and unexplained"
SHARE_LABEL = "share of the variance of bits per dimension that each explains alone (%)"


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of the trials' values that each parameter alone explains, largest first; or why
    there are none."""

    names: list[str]
    shares: np.ndarray
    trials: int
    note: str = ""
    intervals: list[Interval] | None = None
    """Of each share, over resampled trials; None where they were not asked for or cannot be told."""

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
    trials: Sequence[FrozenTrial], columns: dict[str, str], seed: int = 0, resamples: int = 0
) -> Importance:
    """The main effects of a forest over the complete trials (functional ANOVA: Hutter et al. 2014), times its
    out-of-bag R²: of the variance of the trials' values, what each parameter alone lets one predict. That
    leans low, as a forest of few trials does not see all there is; where it sees nothing (R² <= 0), neither
    do we. ``columns`` maps a path to its column; ``resamples`` of the trials give intervals
    (`analysis.statistics.resampling.IMPORTANCE_RESAMPLES` is enough).

    Pruned trials are left out: their values are those of fewer epochs.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and math.isfinite(trial.value or 0.0)]
    if len(complete) < LEAST_TRIALS:
        note = f"Parameter importance needs {LEAST_TRIALS} complete trials; there are {len(complete)} so far"
        return Importance([], np.zeros(0), len(complete), note)
    paths, points = positions(complete)
    values = np.array([trial.value for trial in complete], dtype=float)
    same = "parameters" if not np.ptp(points, axis=0).any() else "values" if not np.ptp(values) > 0 else ""
    if same:
        note = f"Parameter importance cannot be told from these trials: their {same} do not differ"
        return Importance([], np.zeros(0), len(complete), note)
    forests = [grown(points, values, seed, TREES, leaf, bootstrap=True, oob_score=True) for leaf in LEAVES]
    # the first is the strict judge: pure noise passes it in a twentieth of studies, and the best of two more
    if not forests[0].oob_score_ > 0:
        note = (
            f"Which parameters mattered cannot be told from these {len(complete)} complete trials: a forest "
            "of them predicts the value of a trial it has not seen no better than the mean does"
        )
        return Importance([], np.zeros(0), len(complete), note)
    best = max(forests, key=lambda forest: float(forest.oob_score_))
    shares = main_effects(best, points) * best.oob_score_

    def resampled(drawn: np.ndarray, left: np.ndarray, seed: int) -> np.ndarray | None:
        # scored on the trials that were not drawn: out-of-bag rows of a resample have their copies in the bag
        miss = ((values[left] - values[drawn].mean()) ** 2).sum()
        if not miss > 0 or not np.ptp(values[drawn]) > 0:
            return None
        forest = grown(points[drawn], values[drawn], seed, RESAMPLE_TREES, best.min_samples_leaf)
        skill = 1 - ((values[left] - forest.predict(points[left])) ** 2).sum() / miss
        return main_effects(forest, points[drawn]) * max(skill, 0.0)

    found = importance_intervals(len(complete), shares, resampled, resamples, seed) if resamples else None
    order = np.argsort(-shares, kind="stable")
    return Importance(
        [columns[paths[k]] for k in order],
        shares[order],
        len(complete),
        intervals=[found[k] for k in order] if found else None,
    )


def positions(complete: Sequence[FrozenTrial]) -> tuple[list[str], np.ndarray]:
    """The P paths that all N trials have, and (N, P): where each trial lies, by the logarithm where it is
    searched by it, as a forest splits a range evenly; a choice by its index."""
    space = intersection_search_space(list(complete))
    points = np.array(
        [[of.to_internal_repr(trial.params[path]) for path, of in space.items()] for trial in complete], float
    )
    logarithmic = [getattr(of, "log", False) for of in space.values()]
    points[:, logarithmic] = np.log(points[:, logarithmic])
    return list(space), points


def grown(points: np.ndarray, values: np.ndarray, seed: int, trees: int, leaf: int, **options: bool) -> Any:
    """Extremely randomised trees (Geurts et al. 2006): of smooth functions their out-of-bag R² is above a
    random forest's, and a parameter of two values is not passed over."""
    from sklearn.ensemble import ExtraTreesRegressor  # a second of imports: here, where it is needed

    return ExtraTreesRegressor(trees, min_samples_leaf=leaf, random_state=seed, **options).fit(points, values)


def main_effects(forest: Any, points: np.ndarray) -> np.ndarray:
    """(N, P) -> (P,) shares of the variance of the forest, all parameters drawn from the trials' values but
    independently of one another; what is missing from 1 are interactions."""
    count = points.shape[1]
    others = independent(points, BACKGROUND)
    at_PGBP = np.tile(others, (count, GRID, 1, 1))
    for k, column in enumerate(points.T):
        at_PGBP[k, :, :, k] = levels(column, GRID)[:, None]
    found_PGB = forest.predict(at_PGBP.reshape(-1, count)).reshape(count, GRID, BACKGROUND)
    effects = found_PGB.mean(2).var(1)
    # the total is of a sample and may fall short of its parts
    total = max(forest.predict(independent(points, GRID * BACKGROUND)).var(), effects.sum())
    return effects / total if total > 0 else effects


def independent(points: np.ndarray, rows: int) -> np.ndarray:
    """(N, P) -> (rows, P): each column's quantiles in an order of their own (a Latin hypercube)."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(levels(column, rows)) for column in points.T], 1)


def levels(column: np.ndarray, count: int) -> np.ndarray:
    """(N,) -> (count,) of its values, as frequent as there."""
    return np.quantile(column, (np.arange(count) + 0.5) / count, method="inverted_cdf")


@styled
def draw_importance(importance: Importance) -> Figure:
    """A bar a parameter, a line over its interval, and a grey bar of what is left."""
    if importance.note:
        return draw_note(importance.note)
    names = [plain(TITLES.get(name, name)) for name in importance.names] + ["interactions\nand unexplained"]
    figure = Figure(figsize=(10, 1.8 + 0.8 * len(names)))
    axes = figure.subplots()
    rows = np.arange(len(names))[:0:-1]
    shares = importance.shares * 100
    axes.barh(rows, shares, color=OKABE_ITO["blue"], height=0.6)
    ends = shares
    if importance.intervals is not None:
        low, ends = (np.array([getattr(found, end) for found in importance.intervals]) * 100 for end in ("low", "high"))
        axes.errorbar(
            shares,
            rows,
            xerr=[shares - low, ends - shares],
            fmt="none",
            ecolor=INK,
            capsize=6,
            elinewidth=2,
            capthick=2,
        )
    for row, share, end in zip(rows, shares, ends, strict=True):
        axes.annotate(f"{share:.0f} %", (end, row), xytext=(9, 0), textcoords="offset points", va="center")
    rest = importance.remainder * 100
    axes.barh(0, rest, color=FADED, height=0.6)
    axes.annotate(f"{rest:.0f} %", (rest, 0), xytext=(9, 0), textcoords="offset points", va="center")
    axes.set_yticks([*rows, 0], names)
    axes.set_xlim(0, 110)
    told = "" if importance.intervals is None else "; lines: 95 % of resampled trials"
    axes.set_xlabel(f"{SHARE_LABEL}\n{importance.trials} complete trials{told}")
    return figure
