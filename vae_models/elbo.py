"""The loss D + beta R, its two variants, and the yardstick that compares every KL weight: bits per dimension.

Shapes: B images of C x H x W, Z latents; nats per image unless the name says otherwise.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_models.likelihoods import Likelihood
from vae_models.likelihoods.levels import log_discretised_gaussian
from vae_models.vae import Pass

ACTIVE_VARIANCE = 0.01


class Loss(NamedTuple):
    """What training minimises, and its parts: each (B,), nats per image."""

    total: Tensor  # distortion + beta rate: minus the ELBO where beta is 1; or another bound
    distortion: Tensor
    rate: Tensor


def loss(passed: Pass, noise_BZ: Tensor, x: Tensor, likelihood: Likelihood, beta: float | Tensor) -> Loss:
    """D + beta R of each image (Higgins et al. 2017, "beta-VAE", ICLR, equation 4; Kingma & Welling 2014 at beta 1).

    Args:
        passed: what the model made of the images and the noise.
        noise_BZ: of the one sample of each image's posterior, (B, Z).
        x: the images, (B, C, H, W) in [0, 1].
        likelihood: log p(x | z), by which the distortion is measured.
        beta: the KL weight."""
    distortion, nats = likelihood.distortion(passed.output, x), passed.prior.rate(passed.posterior, noise_BZ)
    return Loss(distortion + beta * nats, distortion, nats)


def free_rate(kl_BZ: Tensor, mean_Z: Tensor, free_bits: float) -> Tensor:
    """What takes the rate's place in a loss with free bits, (B,): its mean over a batch is sum_j max(free_bits, mean of
    KL_j), so that a latent below ``free_bits`` nats has no gradient (Kingma et al. 2016, NeurIPS, arXiv:1606.04934,
    appendix C.8; each latent is a group of its own).

    Args:
        kl_BZ: `kl_per_latent` of these images, of a whole batch or of one process' part of it.
        mean_Z: its mean over the whole batch, without gradient."""
    return torch.where(mean_Z > free_bits, kl_BZ, free_bits).sum(1)


def importance_weighted(passed: Pass, noise_KBZ: Tensor, x: Tensor, likelihood: Likelihood) -> Loss:
    """Minus the importance-weighted bound of K samples, -log 1/K sum_k p(x, z_k) / q(z_k | x), of each image (Burda et
    al. 2016, ICLR, arXiv:1509.00519, equation 8); its gradient is theirs, equation 13. Distortion and rate are means
    over the samples, the rate that of log q(z | x) - log p(z): their sum is at least the loss, and equals it where the
    weights do. Arguments as those of `loss`."""
    distortion = likelihood.distortion_of_samples(passed.output.unflatten(0, noise_KBZ.shape[:2]), x)
    nats = -passed.prior.log_ratio(passed.posterior, noise_KBZ)
    total = math.log(len(noise_KBZ)) - torch.logsumexp(-distortion - nats, 0)
    return Loss(total, distortion.mean(0), nats.mean(0))


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
