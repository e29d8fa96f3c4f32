"""The loss D + beta R, and the yardstick that compares every KL weight: bits per dimension.

Shapes: B images of C x H x W, Z latents; nats per image unless the name says otherwise.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_models.likelihoods import Likelihood
from vae_models.likelihoods.levels import log_discretised_gaussian
from vae_models.vae import Posterior

ACTIVE_VARIANCE = 0.01


class Loss(NamedTuple):
    """What training minimises, and its parts: each (B,), nats per image."""

    total: Tensor  # distortion + beta rate: minus the ELBO where beta is 1
    distortion: Tensor
    rate: Tensor


def loss(output: Tensor, posterior: Posterior, x: Tensor, likelihood: Likelihood, beta: float | Tensor) -> Loss:
    """D + beta R of each image (Higgins et al. 2017, "beta-VAE", ICLR, equation 4; Kingma & Welling 2014 at beta 1).

    Args:
        output: of the decoder for one sample of each image's posterior, (B, P C, H, W).
        posterior: q(z | x), of which the samples are.
        x: the images, (B, C, H, W) in [0, 1].
        likelihood: log p(x | z), by which the distortion is measured.
        beta: the KL weight."""
    distortion, nats = likelihood.distortion(output, x), rate(posterior)
    return Loss(distortion + beta * nats, distortion, nats)


def rate(posterior: Posterior) -> Tensor:
    """KL(q(z | x), N(0, I)) in nats, summed over latents, (B,)."""
    return kl_per_latent(posterior).sum(1)


def kl_per_latent(posterior: Posterior) -> Tensor:
    """KL(q(z | x), N(0, I)) of each image and latent in nats, (B, Z): Kingma & Welling 2014, appendix B.

    In float32 at least: squares of means and exp(logvar) lose their small differences in bfloat16."""
    mean, logvar = (part if part.dtype == torch.float64 else part.float() for part in posterior)
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar)


def discrete_gaussian_nll(mean: Tensor, x: Tensor, sigma: float) -> Tensor:
    """-log P(x) in nats per image, (B,), of a Gaussian integrated over the 256 bins of 8-bit pixels. ``x`` and ``mean``
    are (B, ...) in [0, 1], ``x`` a multiple of 1/255: see `vae_models.likelihoods.levels`."""
    return -log_discretised_gaussian(mean, x, sigma).flatten(1).sum(1)


def exact_distortion(likelihood: Likelihood, output: Tensor, x: Tensor, sigma: float) -> Tensor:
    """-log P(x | z) of pixels as they are, in nats per image, (B,): the likelihood's own where it is exact, and of a
    density under the calibrated discrete Gaussian of width ``sigma`` around its mean."""
    if likelihood.is_exact:
        return likelihood.distortion(output, x)
    return discrete_gaussian_nll(likelihood.mean(output), x, sigma)


def exact_distortions(likelihood: Likelihood, output: Tensor, x: Tensor, sigma: float) -> Tensor:
    """`exact_distortion` of K samples of each image: (K, B, P C, H, W) and (B, C, H, W) -> (K, B)."""
    if likelihood.is_exact:
        return likelihood.distortion_of_samples(output, x)
    mean = likelihood.mean(output.flatten(0, 1)).unflatten(0, output.shape[:2])
    return -log_discretised_gaussian(mean, x, sigma).flatten(2).sum(2)


def bits_per_dim(nelbo_nats: float, dimensions: int) -> float:
    """Nats per image -> bits per number in the image."""
    return nelbo_nats / (dimensions * math.log(2))


def active_units(mean_variance_Z: Tensor) -> int:
    """Latents whose posterior mean varies over the data by more than 0.01 (Burda et al. 2016,
    arXiv:1509.00519, section 5.2). Takes the variance of each latent's posterior mean, (Z,)."""
    return int((mean_variance_Z > ACTIVE_VARIANCE).sum())
