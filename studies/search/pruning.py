"""Pruning at a trial's own price: each trial is judged by D + beta R at its own KL weight, so that a cheap code
competes with cheap codes, and a study keeps the whole front that it was asked for.

The verdicts are a function of the recorded rows alone.
"""

from collections import defaultdict

import numpy as np

FEWEST_PEERS = 5
"""Other trials with a row of an epoch, from which a trial is judged there."""


def is_judged(epoch: int, epochs: int, kl_warmup: float = 0.0) -> bool:
    """Whether a trial is judged at an epoch, counted from 1: at 1, 2, 4, 8, ..., never at its last, and not while its
    KL weight rises.

    Args:
        epoch: that has ended.
        epochs: of the whole training.
        kl_warmup: share of the epochs over which the KL weight rises.
    """
    return epoch & (epoch - 1) == 0 and kl_warmup * epochs <= epoch < epochs


def costs_too_much(index: int, beta: float, distortions: np.ndarray, rates: np.ndarray, quantile: float) -> bool:
    """Whether D + beta R of one of N trials lies strictly above the ``quantile`` (linear interpolation) of all N at the
    same ``beta``, its own; never among 5 or fewer.

    Args:
        index: of the judged one among them.
        beta: its KL weight.
        distortions, rates: (N,), nats per image, of all trials at the same epoch; what is not finite is no peer's.
        quantile: in (0, 1).
    """
    prices = distortions + beta * rates
    peers = prices[np.isfinite(prices)]
    return len(peers) > FEWEST_PEERS and bool(prices[index] > np.quantile(peers, quantile))


class Peers:
    """The judged epochs of a study's trials, by epoch; a trial is judged among those of its kind alone.

    Args:
        quantile: see `costs_too_much`; 0 prunes nothing.
    """

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._rows: dict[tuple[int, str], dict[int, tuple[float, float]]] = defaultdict(dict)

    def add(self, trial: int, epoch: int, distortion: float, rate: float, kind: str = "") -> None:
        """Record what a trial had at an epoch; ``kind`` is the same for those whose distortions can be compared."""
        self._rows[epoch, kind][trial] = distortion, rate

    def prune(self, trial: int, epoch: int, beta: float, kind: str = "") -> bool:
        """Whether a trial, whose row of that epoch is there, is to be pruned at it."""
        rows = self._rows[epoch, kind]
        if not self._quantile or len(rows) <= FEWEST_PEERS:
            return False
        distortions, rates = np.array(list(rows.values())).T
        return costs_too_much(list(rows).index(trial), beta, distortions, rates, self._quantile)
