"""The best linear model of a data set's images: what principal components alone trade of rate and distortion. N images
of D numbers, M KL weights."""

from dataclasses import dataclass

import numpy as np

from trainables.data.datasets import Dataset
from trainables.data.spectrum import DECODER_SCALE, covariance_eigenvalues
from trainables.data.water_filling import Optimum, water_filling
from trainables.errors import UserError
from vae_models import ModelConfig


@dataclass(frozen=True)
class LinearModel:
    """Of the images that trainings see, for a Gaussian of variance 1 on pixels in [-1, 1]."""

    eigenvalues: np.ndarray  # (D,) of their covariance, descending
    latent_dim: int
    constant: float  # of the distortion, nats per image (`ModelConfig.distortion_constant`)

    def optimum(self, beta_M: np.ndarray) -> Optimum:
        """The lowest D + beta R of any linear model, in its parts, as trials measure theirs: with the constant. The KL
        weights are above 0; others raise ValueError."""
        found = water_filling(self.eigenvalues, self.latent_dim, beta_M)
        return found._replace(distortion=found.distortion + self.constant)

    def loss(self, beta_M: np.ndarray) -> np.ndarray:
        """The lowest D + beta R, (M,) nats per image; at a KL weight of 0 its limit, as beta log(1 / beta) is 0."""
        beta = np.maximum(beta_M, np.finfo(np.float32).tiny)
        found = self.optimum(beta)
        return np.asarray(found.distortion + beta * found.rate)


def linear_model(data: Dataset, config: ModelConfig, latent_dim: int) -> LinearModel:
    """Of the images that trainings of ``data`` see. Raises: UserError for another likelihood than the Gaussian, which
    alone has a closed form, and for images too large for their number."""
    if config.likelihood != "gaussian":
        raise UserError(f"its closed form is of the Gaussian likelihood, got {config.likelihood}")
    eigenvalues = covariance_eigenvalues(data.train.images, data.training_rows(), latent_dim)
    return LinearModel(eigenvalues * DECODER_SCALE, latent_dim, config.distortion_constant)
