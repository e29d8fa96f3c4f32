"""What the best linear VAE trades: the rate-distortion curve of Gaussian data, in closed form.

N dimensions of the data, M KL weights.
"""

from typing import NamedTuple

import numpy as np

from vae_models.elbo import ACTIVE_VARIANCE


class Optimum(NamedTuple):
    """The lowest D + beta R that a linear VAE can reach, in its parts: of each KL weight, (M,)."""

    rate: np.ndarray
    """Nats per image."""
    distortion: np.ndarray
    """Nats per image, without the Gaussian's constant, N/2 log(2 pi variance)."""
    active_units: np.ndarray
    """As `vae_models.elbo.active_units` counts them."""


def water_filling(eigenvalues_N: np.ndarray, latent_dim: int, beta_M: np.ndarray, variance: float = 1.0) -> Optimum:
    """Reverse water-filling (Cover & Thomas 2006, "Elements of Information Theory", theorem 10.3.3) of the
    ``latent_dim`` largest eigenvalues l, with the water at beta times the variance: the minimum of a linear VAE's loss
    (Lucas et al. 2019, arXiv:1911.02469, section 4, there for beta 1).

    Each component above the water has a latent, whose posterior has the variance c = beta variance / l, and whose mean
    has 1 - c: together the prior's. It costs 1/2 log(1 / c) nats and leaves the water's height of the component's
    squared error; every other component is left as it is.

    Args:
        eigenvalues_N: of the covariance of the data, on the scale of the decoder's mean, in any order.
        latent_dim: how many latents there are.
        beta_M: the KL weights, all above 0. Others raise ValueError.
        variance: of the decoder's Gaussian; the product's has 1, on pixels scaled to [-1, 1].
    """
    beta_M = np.atleast_1d(np.asarray(beta_M, dtype=float))
    if not (beta_M > 0).all():
        raise ValueError(f"beta must be above 0, where the rate is finite, got {beta_M.min():g}")
    descending = np.sort(np.clip(eigenvalues_N, 0, None))[::-1]  # a solver leaves zeros slightly below 0
    coded, rest = descending[:latent_dim], descending[latent_dim:].sum()
    water = variance * beta_M[:, None]
    above = np.maximum(coded, water)
    return Optimum(
        rate=0.5 * np.log(above / water).sum(1),
        distortion=(np.minimum(coded, water).sum(1) + rest) / (2 * variance),
        active_units=(1 - water / above > ACTIVE_VARIANCE).sum(1),
    )
