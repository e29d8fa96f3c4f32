"""Excess: how far a trial lies above its study, at its own KL weight. N trials."""

import numpy as np

from analysis.statistics.pareto import pareto_front


def excess(rate: np.ndarray, distortion: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """D + beta R of each trial minus the lowest D + beta R that any of them has at that beta, nats per image: 0 where
    none is better at its own price. What is not finite is NaN, and no other's rival.

    Takes (N,), (N,), (N,); returns (N,). A trial's lowest price is a point of the front's, so that alone is compared.
    """
    found = np.full(len(rate), np.nan)
    known = np.isfinite(rate) & np.isfinite(distortion) & np.isfinite(beta)
    r, d, b = rate[known], distortion[known], beta[known]
    if not len(r):
        return found
    front = pareto_front(r, d)
    lowest = np.min(d[front] + np.outer(b, r[front]), axis=1)
    found[known] = np.maximum(d + b * r - lowest, 0.0)
    return found
