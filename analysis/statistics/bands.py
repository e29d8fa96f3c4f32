"""Bands of neighbouring KL weights, within which excess is compared: a high KL weight leaves little to lose, so that
across all of them the weight alone would tell good trials from bad ones. N trials."""

import numpy as np
from scipy.stats import rankdata

_LEAST = 5  # trials of a band, below which a place among them says little
_MOST = 4


def bands(beta: np.ndarray) -> np.ndarray:
    """(N,) KL weights -> (N,) int: the band of each trial, the lowest weights' is 0. As many as hold `_LEAST` trials
    each, at most `_MOST`: one a weight where they are so few, else of nearly equal counts. Trials of one weight are
    never parted."""
    weights, weight = np.unique(beta, return_inverse=True)
    below = np.searchsorted(np.sort(beta), beta)  # how many trials have a lower weight
    several = [weight] if len(weights) <= _MOST else []
    for finer in [*several, *(below * count // len(beta) for count in range(_MOST, 1, -1) if len(beta))]:
        _, band, sizes = np.unique(finer, return_inverse=True, return_counts=True)
        if sizes.size and sizes.min() >= _LEAST:
            return np.asarray(band)
    return np.zeros(len(beta), dtype=int)


def ranks_within(band: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(N,), (N,), finite -> (N,): the rank of each value in its own band, from 0 of the lowest to 1 of the highest;
    equal values share theirs, and of a single one it is 0.5."""
    ranks = np.full(len(values), 0.5)
    for each in np.unique(band):
        inside = band == each
        if (count := int(inside.sum())) > 1:
            ranks[inside] = (rankdata(values[inside]) - 1) / (count - 1)
    return ranks
