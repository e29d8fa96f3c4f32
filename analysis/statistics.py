"""How sure a study can be: what its front is worth, where it bends, and intervals around its numbers.

N trials, B resamples of them. Intervals cover 95 %, and the same seed gives the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Of every interval."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its interval at `LEVEL`, in the estimate's unit."""

    estimate: float
    low: float
    high: float


def pareto_front(rate: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """(N,), (N,) -> (N,) bool: the points that no other is at least as low as in both and lower in one.
    Finite; in time N log N, as a long study has 10,000 trials."""
    points, place = np.unique(np.stack([rate, distortion], 1), axis=0, return_inverse=True)
    # sorted by rate, then distortion: only an earlier point can dominate, and does unless this one is lower
    lowest_before = np.fmin.accumulate(np.concatenate([[np.inf], points[:-1, 1]]))
    return (points[:, 1] < lowest_before)[place.reshape(-1)]


def reference_point(rate: np.ndarray, distortion: np.ndarray) -> tuple[float, float]:
    """The corner that hypervolumes of one study are measured from: a tenth of the range beyond the worst
    rate and the worst distortion, so that the front's ends count too. Takes (N,) with N >= 1.

    Studies are compared by a reference that they share.
    """

    def beyond(values: np.ndarray) -> float:
        low, high = float(values.min()), float(values.max())
        return high + (0.1 * (high - low) or 0.1 * abs(high) or 1.0)

    return beyond(rate), beyond(distortion)


def hypervolume(rate: np.ndarray, distortion: np.ndarray, reference: tuple[float, float]) -> float:
    """The area between the front and the reference point, in nats squared: all that some trial is at least
    as good as in both (Zitzler & Thiele 1999, IEEE Trans. Evol. Comput. 3(4)).

    Takes (N,), (N,) in nats per image. Points that are not below ``reference`` in both, or not finite, add
    nothing; no points have none.
    """
    inside = (rate < reference[0]) & (distortion < reference[1]) & np.isfinite(rate + distortion)
    order = np.argsort(rate[inside])
    x, y = rate[inside][order], np.minimum.accumulate(distortion[inside][order])
    return float(np.sum(np.diff(x, append=reference[0]) * (reference[1] - y)))


def knee(rate: np.ndarray, distortion: np.ndarray) -> int | None:
    """Where more rate begins to buy less: the position of the front's point that lies farthest below the
    chord between the front's ends, both axes scaled to [0, 1] (Kneedle: Satopää et al. 2011, ICDCS
    workshops). None for a front of fewer than 3 different points, or one that does not bend inwards.

    Takes (N,), (N,); only the points of the front count.
    """
    front = np.flatnonzero(pareto_front(rate, distortion) & np.isfinite(rate + distortion))
    if len(np.unique(rate[front])) < 3:
        return None
    x, y = rate[front], distortion[front]
    below = 1 - (x - x.min()) / np.ptp(x) - (y - y.min()) / np.ptp(y)
    return int(front[below.argmax()]) if below.max() > 1e-9 else None


def bootstrap(
    statistic: Callable[..., float], *samples: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap (Efron 1979, Ann. Statist. 7(1)) of a statistic of (N,) arrays whose rows are
    drawn together. None where N < 2 or the statistic is not finite."""
    estimate = float(statistic(*samples))
    if len(samples[0]) < 2 or not math.isfinite(estimate):
        return None
    found = stats.bootstrap(
        samples, statistic, n_resamples=resamples, confidence_level=LEVEL, method="percentile", paired=True,
        vectorized=False, rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(estimate, float(found.low), float(found.high))


def hypervolume_interval(
    rate: np.ndarray,
    distortion: np.ndarray,
    reference: tuple[float, float],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The hypervolume, and its interval over resampled trials; None of fewer than 2.

    A resample lacks about a third of the trials and has none that is new, so the interval ends at the
    estimate: it says how much of the front hangs on a few trials, not how far a longer search would get.
    """

    def area(rate: np.ndarray, distortion: np.ndarray) -> float:
        return hypervolume(rate, distortion, reference)

    found = bootstrap(area, rate, distortion, resamples=resamples, seed=seed)
    return found and Interval(found.estimate, min(found.low, found.estimate), found.estimate)


IMPORTANCE_RESAMPLES = 200
"""So that five lie beyond either end."""
LARGEST_RESAMPLE = 200
"""Trials of a resample at most, for time. Beyond, the intervals are wider than they need be."""


def importance_intervals(
    count: int,
    estimate: np.ndarray,
    shares: Callable[[np.ndarray, np.ndarray, int], np.ndarray | None],
    resamples: int = IMPORTANCE_RESAMPLES,
    seed: int = 0,
) -> list[Interval] | None:
    """Percentile bootstrap of each parameter's share of the variance.

    Args:
        count: of the complete trials.
        estimate: (P,) shares, from all trials.
        shares: (rows drawn, rows left out, seed) -> (P,) shares; None where they cannot be told.
        resamples: forests to fit, a hundredth of a second each.
        seed: of the resamples and the forests.

    Returns P intervals, stretched to the estimate where that lies outside; None where fewer than half the
    resamples had an answer.
    """
    rng = np.random.default_rng(seed)
    told = []
    for k in range(resamples):
        drawn = rng.integers(count, size=min(count, LARGEST_RESAMPLE))
        answer = shares(drawn, np.setdiff1d(np.arange(count), drawn), seed + k)
        if answer is not None:
            told.append(answer)
    if not told or 2 * len(told) < resamples:
        return None
    low, high = np.quantile(told, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    return [
        Interval(*map(float, ends))
        for ends in zip(estimate, np.minimum(low, estimate), np.maximum(high, estimate), strict=True)
    ]


@dataclass(frozen=True)
class Difference:
    """Of two configurations' mean values, the second's less the first's."""

    interval: Interval
    separable: bool
    """The interval leaves out 0."""


def separable(a: np.ndarray, b: np.ndarray) -> Difference | None:
    """Whether repeated values of two configurations, one a seed, differ: Welch's interval of the difference
    of means (Welch 1947, Biometrika 34(1-2)), which needs neither equal spreads nor equal numbers. Of normal
    values it holds the truth in 96 % of cases with 3 against 3, but in 91 % with 8 against 2.

    Takes (M,), (K,); values that are not finite are left out. None where it cannot be told: fewer than 2
    values on a side, or no spread on either, as repeats that agree to the last digit are no other seeds.
    """
    a, b = (np.asarray(values, dtype=float) for values in (a, b))
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if min(len(a), len(b)) < 2:
        return None
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    if not parts.sum() > 0:
        return None
    freedom = parts.sum() ** 2 / (parts**2 / [len(a) - 1, len(b) - 1]).sum()
    reach = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(parts.sum())
    middle = float(b.mean() - a.mean())
    interval = Interval(middle, middle - float(reach), middle + float(reach))
    return Difference(interval, not interval.low <= 0 <= interval.high)


@dataclass(frozen=True)
class Rank:
    """Where a configuration stands among those that were repeated, by its mean; 1 is the lowest."""

    interval: Interval
    first: float
    """Share of the resamples in which it ranks first."""


def ranks(values: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = 0) -> list[Rank]:
    """Percentile bootstrap over the seeds of each configuration's rank: two whose intervals overlap are not
    separable by it. A resample of few seeds spreads too little (3 seeds: by a fifth), so `separable` is the
    stricter judge of two.

    Takes (M,) repeated values of each of K configurations, finite, M >= 1 and their own; returns K ranks.
    """
    rng = np.random.default_rng(seed)
    drawn = [of[rng.integers(len(of), size=(resamples, len(of)))].mean(1) for of in values]
    order = stats.rankdata([[of.mean() for of in values], *zip(*drawn, strict=True)], "min", axis=1)
    low, high = np.quantile(order[1:], ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0, method="inverted_cdf")
    first = (order[1:] == 1).mean(0)
    return [
        Rank(Interval(*map(float, of)), float(share))
        for *of, share in zip(order[0], low, high, first, strict=True)
    ]
