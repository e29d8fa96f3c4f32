"""Intervals around numbers, from trials drawn again. The same seed gives the same interval."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of every interval
RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its interval at `LEVEL`, in the estimate's unit."""

    estimate: float
    low: float
    high: float


def standard_error(each: np.ndarray) -> float:
    """Of the mean of independent values, (N,); NaN of a single one."""
    return float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan


def t_interval(values: np.ndarray) -> Interval | None:
    """Of the mean of independent values, (N,), by Student's t; None of fewer than 2."""
    if len(values) < 2:
        return None
    from scipy import stats  # half a second that only who asks for an interval pays

    mean = float(values.mean())
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * standard_error(values)
    return Interval(mean, mean - half, mean + half)


def bootstrap(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    paired: bool = True,
) -> Interval | None:
    """Percentile bootstrap (Efron 1979, Ann. Statist. 7(1)) of a statistic of (N,) arrays whose rows are
    drawn together, or each array's on its own. None where an N < 2 or the statistic is not finite."""
    if min(map(len, samples)) < 2 or not math.isfinite(estimate := float(statistic(*samples))):
        return None
    from scipy import stats

    options = {"method": "percentile", "confidence_level": LEVEL, "paired": paired, "vectorized": False}
    rng = np.random.default_rng(seed)
    ends = stats.bootstrap(samples, statistic, n_resamples=resamples, rng=rng, **options).confidence_interval
    return Interval(estimate, float(ends.low), float(ends.high))
