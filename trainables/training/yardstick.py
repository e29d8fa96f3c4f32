"""The calibrated likelihood's sigma: the one under which training images are the most probable.

A pixel's probability depends on its residual, and on whether its level is an edge, 0 or 255, whose bin is open: so the
residuals' histogram says all, and is reduced over the ranks once. It is not their root mean square, which is the best
sigma of a continuous Gaussian: most of MNIST's pixels lie in an edge bin, and the best one is twice as large there.
"""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr
from torch import Tensor

from vae_models.likelihoods.levels import MIN_SIGMA

MAX_SIGMA = 10.0  # ten times the range of pixels: what is better described by a larger one is described by none
_LEVEL = 1 / 255  # between two grey levels
_FINE = 64  # bins of the histogram per e-fold of a large residual, and per level of a small one
_LARGEST = 16.0  # residual; only an unsquashed decoder's can be above 1
_SIDE = int(np.arcsinh(_LARGEST / _LEVEL) * _FINE) + 1  # bins of residuals of one sign
_GRID = np.geomspace(MIN_SIGMA, MAX_SIGMA, 64)


def residual_counts(mean: Tensor, x: Tensor) -> Tensor:
    """How many pixels of a batch have which residual, (K,) int64: inside, at the edges, and not finite.

    Args:
        mean, x: (B, C, H, W), what the decoder says and the images, multiples of 1/255 in [0, 1].
    """
    # from an edge's own side, so that both edges are alike: above 0 the mean lies inside
    residual = torch.where(x == 1, 1 - mean, mean - x)
    place = torch.asinh(residual.clamp(-_LARGEST, _LARGEST) / _LEVEL) * _FINE
    index = place.floor() + _SIDE + 2 * _SIDE * ((x == 0) | (x == 1))
    index = torch.where(mean.isfinite(), index, 4 * _SIDE).long()
    index = index.flatten()
    if not index.is_cuda:
        return torch.bincount(index, minlength=4 * _SIDE + 1)
    # there bincount waits for the device; whole numbers add up to the same in any order
    counts = torch.zeros(4 * _SIDE + 1, dtype=torch.long, device=index.device)
    return counts.scatter_add_(0, index, torch.ones_like(index))


def best_sigma(counts: np.ndarray) -> float:
    """The sigma from `MIN_SIGMA` to `MAX_SIGMA` under which pixels of these `residual_counts` are the most probable.
    NaN where one was not finite, so that the trial fails."""
    if counts[-1]:
        return float("nan")
    residuals = np.sinh((np.arange(-_SIDE, _SIDE) + 0.5) / _FINE) * _LEVEL
    inner, edge = ((residuals[row > 0], row[row > 0]) for row in counts[:-1].reshape(2, -1))

    def nats(sigma: np.ndarray) -> np.ndarray:
        """-log P of all of them together, (S, 1) -> (S,)."""
        inside, edges = _log_bin(inner[0], sigma) @ inner[1], log_ndtr((_LEVEL / 2 - edge[0]) / sigma) @ edge[1]
        total: np.ndarray = -(inside + edges)
        return total

    coarse = nats(_GRID[:, None])
    near = int(coarse.argmin())
    low, high = np.log(_GRID[[max(near - 1, 0), min(near + 1, len(_GRID) - 1)]])
    found = minimize_scalar(lambda log: nats(np.exp([[log]]))[0], bounds=(low, high), method="bounded")
    return float(np.exp(found.x) if found.fun < coarse[near] else _GRID[near])


def _log_bin(residual: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Log-probability of the bin of one level around x, for a mean that is ``residual`` away."""
    away = np.abs(residual)  # the bin in the left tail, where log_ndtr keeps its digits
    upper, lower = (log_ndtr((side * _LEVEL / 2 - away) / sigma) for side in (1, -1))
    log_p: np.ndarray = upper + np.log(-np.expm1(lower - upper))
    return log_p


def residual_squares(mean: Tensor, x: Tensor) -> Tensor:
    """The sum of a batch's squared residuals, and how many there are, (2,) float64."""
    squares = (mean - x).square().sum(dtype=torch.float64)
    return torch.stack([squares, squares.new_tensor(x.numel())])


def root_mean_square(sums: np.ndarray) -> float:
    """The root of the mean of such `residual_squares`, at least `MIN_SIGMA`."""
    sigma = float((sums[0] / sums[1]) ** 0.5)
    # a NaN sigma must stay NaN, so that the trial fails: max() would hide it
    return MIN_SIGMA if sigma < MIN_SIGMA else sigma


YARDSTICKS = {1: (residual_squares, root_mean_square), 2: (residual_counts, best_sigma)}
"""By the version of the definitions: what is summed over all batches, and sigma from its sum."""
