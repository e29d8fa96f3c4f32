"""Excess: how far trials lie above others at their own KL weights. N trials, M rivals."""

import numpy as np

from analysis.statistics.pareto import pareto_front
from analysis.statistics.resampling import Interval, bootstrap

Points = tuple[np.ndarray, np.ndarray]
"""Rates and distortions, nats per image, one of each a trial."""


def excess(rate: np.ndarray, distortion: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """D + beta R of each trial minus the lowest D + beta R that any of them has at that beta, nats per image: 0 where
    none is better at its own price. What is not finite is NaN, and no other's rival.

    Takes (N,), (N,), (N,); returns (N,).
    """
    return np.asarray(np.maximum(excess_over((rate, distortion), beta, (rate, distortion)), 0.0))


def excess_over(points: Points, beta: np.ndarray, rivals: Points) -> np.ndarray:
    """The same over others: negative where the trial is better than every rival at its own price. NaN of what is not
    finite, and without a rival that is.

    Takes (N,) and (N,), (N,), (M,) and (M,); returns (N,). A lowest price is a point of the rivals' front, so that
    alone is compared.
    """
    (rate, distortion), found = points, np.full(len(points[0]), np.nan)
    known = np.isfinite(rate) & np.isfinite(distortion) & np.isfinite(beta)
    r, d, b = rate[known], distortion[known], beta[known]
    others = np.stack(rivals)[:, np.isfinite(np.add(*rivals))]
    if not len(r) or not others.size:
        return found
    cheapest = others[:, pareto_front(*others)]
    found[known] = d + b * r - np.min(cheapest[1] + np.outer(b, cheapest[0]), axis=1)
    return found


def front_excess(points: Points, beta: np.ndarray, rivals: Points) -> Interval | None:
    """The mean excess of a front's trials over the rivals, and its interval over resampled trials of both: how much of
    it hangs on a few of them. A resample has no new trials, and so lacks the best of the rivals more often than it
    should: the interval is made to hold the estimate. None of fewer than 2 trials on either side. Takes finite values,
    as `excess_over`."""

    def mean(chosen: np.ndarray, others: np.ndarray) -> float:
        rate, distortion = points[0][chosen], points[1][chosen]
        front = pareto_front(rate, distortion)
        against = rivals[0][others], rivals[1][others]
        return float(excess_over((rate[front], distortion[front]), beta[chosen][front], against).mean())

    found = bootstrap(mean, np.arange(len(beta)), np.arange(len(rivals[0])), paired=False)
    return found and Interval(found.estimate, min(found.low, found.estimate), max(found.high, found.estimate))
