"""Bands of neighbouring KL weights, within which excess is compared: a high KL weight leaves little to lose, so that
across all of them the weight alone would tell good trials from bad ones. N trials."""

import numpy as np
from scipy.stats import rankdata

_LEAST = 5  # trials of a band, below which a place among them says little
_MOST = 4


def bands(beta: np.ndarray) -> np.ndarray:
    """(N,) KL weights -> (N,) int: the band of each trial, the lowest weights' is 0. As many as hold `_LEAST` trials
    each, at most `_MOST`, of nearly equal counts; trials of one weight are never parted."""
    before = np.searchsorted(np.sort(beta), beta)  # how many trials have a lower weight
    for count in range(_MOST, 1, -1):
        _, band, sizes = np.unique(before * count // max(len(beta), 1), return_inverse=True, return_counts=True)
        if len(sizes) and sizes.min() >= _LEAST:
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
