"""What the code says about the image, and how far the codes lie from the prior.

The rate splits in two (Hoffman & Johnson 2016, "ELBO surgery"): E_x KL(q(z | x), p(z)) is the mutual
information I(x; z) plus the aggregate posterior's KL(q(z), p(z)), with q(z) the mean of q(z | x) over the
images. N images, Z latents; nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

BLOCK = 1000
"""Codes compared with all posteriors at once: an N x BLOCK matrix of float64."""


@dataclass(frozen=True)
class Information:
    """Estimates from one sample of each posterior, nats per image, with their standard errors."""

    mutual_information: float
    mutual_information_error: float
    marginal_kl: float
    """KL(q(z), p(z)) of the aggregate posterior."""
    marginal_kl_error: float
    cap: float
    """log N: the images told apart without fail; an estimate near it says no more than "at least"."""


def information(mean_NZ: np.ndarray, logvar_NZ: np.ndarray, seed: int = 0) -> Information:
    """The two parts of the rate, from the posteriors of a set of images.

    Args:
        mean_NZ, logvar_NZ: of q(z | x), as `analysis.metrics.encode` gives them.
        seed: of the samples.
    """
    mean, logvar = mean_NZ.astype(np.float64), logvar_NZ.astype(np.float64)
    noise = np.random.default_rng(seed).standard_normal(mean.shape)
    z = mean + noise * np.exp(0.5 * logvar)
    own = -0.5 * (noise**2 + logvar).sum(1)  # log q(z | x), without the constant that all three share
    prior = -0.5 * (z**2).sum(1)
    aggregate = np.concatenate([log_mixture(z[k : k + BLOCK], mean, logvar) for k in range(0, len(z), BLOCK)])
    root = math.sqrt(len(z))
    told, off = own - aggregate, aggregate - prior
    return Information(
        float(told.mean()), float(told.std() / root), float(off.mean()), float(off.std() / root),
        math.log(len(z)),
    )  # fmt: skip


def log_mixture(z_BZ: np.ndarray, mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> np.ndarray:
    """log 1/N sum_n q(z | x_n) of each code, (B,), without Z/2 log(2 pi)."""
    precision = np.exp(-logvar_NZ)
    # (z - m)^2 / v as matrix products: N x B numbers instead of N x B x Z
    squares = (z_BZ**2) @ precision.T - 2 * z_BZ @ (mean_NZ * precision).T + (mean_NZ**2 * precision).sum(1)
    return logsumexp(-0.5 * (squares + logvar_NZ.sum(1)), axis=1) - math.log(len(mean_NZ))
