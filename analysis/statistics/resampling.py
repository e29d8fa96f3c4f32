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


def reference_point(*studies: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """The corner that hypervolumes are measured from: a tenth of the range beyond the worst rate and the
    worst distortion on any study's front, so that the fronts' ends count too and a dominated trial, however
    bad, does not. Studies are compared by a reference that they share.

    Takes each study's rates and distortions, (N,) and (N,), finite, of one trial or more together.
    """

    def beyond(values: np.ndarray) -> float:
        low, high = float(values.min()), float(values.max())
        return high + (0.1 * (high - low) or 0.1 * abs(high) or 1.0)

    rate, distortion = np.concatenate([np.stack(study)[:, pareto_front(*study)] for study in studies], 1)
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


FLAT = 1e-9
"""Of the scaled front: what bends less is a line."""


def below_chord(rate: np.ndarray, distortion: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """How far the front's points lie below the chord between its ends, both axes scaled to [0, 1]: their
    positions and their distances, each (F,); negative above it. None for fewer than 3 different points.

    Takes (N,), (N,); only the points of the front count.
    """
    front = np.flatnonzero(pareto_front(rate, distortion) & np.isfinite(rate + distortion))
    if len(np.unique(rate[front])) < 3:
        return None
    x, y = rate[front], distortion[front]
    return front, 1 - (x - x.min()) / np.ptp(x) - (y - y.min()) / np.ptp(y)


def knee(rate: np.ndarray, distortion: np.ndarray) -> int | None:
    """Where more rate begins to buy less: the position of the front's point that lies farthest below its
    chord (Kneedle: Satopää et al. 2011, ICDCS workshops). None for a front of fewer than 3 different points,
    or one that does not bend inwards. Takes (N,), (N,)."""
    found = below_chord(rate, distortion)
    if found is None or found[1].max() <= FLAT:
        return None
    return int(found[0][found[1].argmax()])


KNEE_RESAMPLES = 300


def knee_share(
    rate: np.ndarray, distortion: np.ndarray, resamples: int = KNEE_RESAMPLES, seed: int = 0
) -> float | None:
    """How surely the knee is where it is: of the resamples of the trials that hold its point, as two thirds
    do, the share in which it is the knee. None where there is no knee. Takes (N,), (N,)."""
    at = knee(rate, distortion)
    if at is None:
        return None
    rng, points = np.random.default_rng(seed), np.stack([rate, distortion], 1)
    held = same = 0
    for _ in range(resamples):
        drawn = np.unique(rng.integers(len(rate), size=len(rate)))  # a front does not count its points
        if (points[drawn] == points[at]).all(1).any():
            found = knee(rate[drawn], distortion[drawn])
            held += 1
            same += found is not None and bool((points[drawn[found]] == points[at]).all())
    return same / held if held else None


def bootstrap(
    statistic: Callable[..., float], *samples: np.ndarray, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap (Efron 1979, Ann. Statist. 7(1)) of a statistic of (N,) arrays whose rows are
    drawn together. None where N < 2 or the statistic is not finite."""
    estimate = float(statistic(*samples))
    if len(samples[0]) < 2 or not math.isfinite(estimate):
        return None
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        confidence_level=LEVEL,
        method="percentile",
        paired=True,
        vectorized=False,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(found.low), float(found.high))


def hypervolume_interval(
    rate: np.ndarray, distortion: np.ndarray, reference: tuple[float, float], resamples: int = RESAMPLES, seed: int = 0
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
    """Of the mean's place: every place that the pairs' verdicts leave to it."""
    first: float | None
    """Share of draws in which its mean is the lowest; None where a configuration shows no spread."""


def ranks(values: Sequence[np.ndarray], draws: int = 10_000, seed: int = 0) -> list[Rank]:
    """Each configuration's rank, from the verdicts of `separable` on its pairs (Mogstad et al. 2024, Rev.
    Econ. Stud. 91(1), here without a correction for the number of pairs, so that ranks never contradict the
    verdict on a pair). Of 2 equal configurations the intervals are disjoint in 2 to 5 % of cases, of 3 in 1
    to 2 %, with 2 to 5 seeds; a percentile bootstrap of so few seeds separates up to 30 % of them.

    How often one is first comes of draws of the means, mean + s / sqrt(M) t with M - 1 degrees of freedom.

    Takes (M,) repeated values of each of K configurations, finite, M >= 1 and their own; returns K ranks.
    """
    means = np.array([of.mean() for of in values])
    lower = np.array([[parted(a, b) for b in values] for a in values])  # [a, b]: a is lower, separably
    ends = zip(stats.rankdata(means, "min"), 1 + lower.sum(0), len(values) - lower.sum(1), strict=True)
    first: Sequence[float | None] = [None] * len(values)
    if all(len(of) > 1 and np.ptp(of) > 0 for of in values):
        rng = np.random.default_rng(seed)
        t_KD = np.stack([rng.standard_t(len(of) - 1, draws) for of in values])
        errors = np.array([of.std(ddof=1) / math.sqrt(len(of)) for of in values])
        winner_D = (means[:, None] + errors[:, None] * t_KD).argmin(0)
        first = (np.bincount(winner_D, minlength=len(values)) / draws).tolist()
    return [Rank(Interval(*map(float, of)), share) for of, share in zip(ends, first, strict=True)]


def parted(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether `separable` finds the mean of ``a`` below that of ``b``."""
    found = separable(a, b)
    return found is not None and found.interval.low > 0
