"""Rate, distortion and the calibrated ELBO of a model over a set, on one process or many. Z latents; sums and counts
are reduced over the ranks in float64, then divided once."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from trainables.metrics import Metrics
from trainables.training.batches import Pixels
from trainables.training.process_group import Turns, World, finished
from trainables.training.yardstick import YARDSTICKS
from vae_models import VAE
from vae_models.elbo import active_units, bits_per_dim, exact_distortion
from vae_models.priors import Posterior

BATCH = 500
_GPU_BATCH = 2_000  # so many at once cost a GPU hardly more, and are a quarter of the kernels to launch
_NUMBERS = 10_000_000  # of images, at most, in a batch: large ones need their memory in the layers
_NOISE_SEED = 20_140_411  # the same noise for a row in every evaluation: epochs and trials differ by their models alone


@lru_cache(maxsize=4)
def row_noise(count: int, latent_dim: int, draw: int = 0) -> Tensor:
    """(count, Z) standard normal, the same on every rank and device; not to be written to. Another ``draw`` is
    independent of it."""
    return torch.randn(count, latent_dim, generator=torch.Generator().manual_seed(_NOISE_SEED + draw))


@lru_cache(maxsize=8)
def _noise_on(device: torch.device, count: int, latent_dim: int, draw: int = 0) -> Tensor:
    return row_noise(count, latent_dim, draw).to(device)


@contextmanager
def _evaluating(model: VAE) -> Iterator[None]:
    """Inside, the model is in evaluation mode and no gradient is kept: what a likelihood learns from the batches of
    training, as the variance of a sigma-VAE, is what it has learnt, and learns nothing from these."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def calibrated_sigma(model: VAE, pixels: Pixels, world: World, definitions: int = 2) -> float:
    """The calibrated likelihood's sigma, of pixels in [0, 1], from residuals mean(z) - x, z ~ q(z | x): the most
    probable one (`trainables.training.yardstick`), or by definitions 1 their root mean square. NaN where one is."""
    return finished(_calibrated(model, pixels, world, definitions))


def _calibrated(model: VAE, pixels: Pixels, world: World, definitions: int, at_once: int = BATCH) -> Turns[float]:
    statistic, sigma_of = YARDSTICKS[definitions]
    with _evaluating(model):
        nothing = torch.empty(0, device=world.device)
        total = statistic(nothing, nothing)
        for x, noise, _ in _batches(model, pixels, world, at_once):
            output = model.decoder(model.encode(x).sample(noise))
            total += statistic(model.likelihood.mean(output), x)
    return sigma_of((yield from world.read(total)))


def _batches(model: VAE, pixels: Pixels, world: World, at_once: int) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
    """Images and noise of each batch, on the device, and its rows."""
    noise = _noise_on(world.device, len(pixels), model.config.latent_dim)
    most = at_once if world.device.type == "cpu" else _GPU_BATCH
    for rows, x in pixels.in_order(max(1, min(most, _NUMBERS // model.config.dimensions)), world):
        yield x, noise[int(rows[0]) : int(rows[-1]) + 1], rows


def encoded(model: VAE, x: Tensor, rows: np.ndarray, known: Posterior | None) -> Posterior:
    """q(z | x) of a batch: these rows of what is ``known``, (N, Z) on any device, or the encoder's."""
    return model.encode(x) if known is None else Posterior(*(part[rows].to(x.device) for part in known))


def evaluate(model: VAE, pixels: Pixels, sigma: float, world: World, known: Posterior | None = None) -> Metrics:
    """Metrics of a model over a set, with one noise sample an image, whose posteriors may be ``known``. Returns
    ``distortion rate nelbo`` in nats per image, ``bits_per_dim``, ``mse`` of pixels in [0, 1] and ``active_units``.
    ``distortion`` is under the training likelihood. ``rate`` is to the model's prior; where that has no closed form it
    is an estimate from these samples, and ``rate_error`` its standard error for these images; otherwise 0. ``nelbo`` is
    the rate plus `elbo.exact_distortion`, which is under that likelihood itself where it is a probability, and under
    the discrete Gaussian of width ``sigma`` (`calibrated_sigma`) where it is a density; one yardstick for all KL
    weights and likelihoods of the same pixels. Whatever mode the model is in, it is measured in evaluation mode, and
    left as it was."""
    return finished(_evaluated(model, pixels, sigma, world, known))


def _evaluated(
    model: VAE, pixels: Pixels, sigma: float, world: World, known: Posterior | None = None, at_once: int = BATCH
) -> Turns[Metrics]:
    latent_dim = model.config.latent_dim
    sums = torch.zeros(5 + 2 * latent_dim, dtype=torch.float64, device=world.device)
    with _evaluating(model):
        prior = model.prior()
        for x, noise, rows in _batches(model, pixels, world, at_once):
            posterior = encoded(model, x, rows, known)
            output = model.decoder(posterior.sample(noise))
            image = model.likelihood.mean(output)
            exact = exact_distortion(model.likelihood, output, x, sigma)
            own = exact if model.likelihood.is_exact else model.likelihood.distortion(output, x)
            sums[0] += own.sum(dtype=torch.float64)
            nats = prior.rate(posterior, noise)
            sums[1] += nats.sum(dtype=torch.float64)
            sums[2] += exact.sum(dtype=torch.float64)
            sums[3] += (image - x).square().sum(dtype=torch.float64)
            if not prior.has_closed_form:
                others = _noise_on(world.device, len(pixels), latent_dim, draw=1)[int(rows[0]) : int(rows[-1]) + 1]
                # half the squared difference of two samples of an image is on average what one of them varies by
                sums[4] += 0.5 * (nats - prior.rate(posterior, others)).square().sum(dtype=torch.float64)
            mean = posterior.mean.double()
            sums[5:] += torch.cat([mean.sum(0), mean.square().sum(0)])
    means = torch.from_numpy((yield from world.read(sums)) / len(pixels))
    distortion, nats, discrete, squares, variance = means[:5].tolist()
    mean, mean_square = means[5:].chunk(2)
    dimensions = model.config.dimensions
    return {
        "distortion": distortion,
        "rate": nats,
        "rate_error": math.sqrt(variance / len(pixels)),
        "nelbo": discrete + nats,
        "bits_per_dim": bits_per_dim(discrete + nats, dimensions),
        "mse": squares / dimensions,
        "active_units": active_units(mean_square - mean.square()),
    }


def validated(
    model: VAE, training: Pixels, validation: Pixels, world: World, definitions: int, at_once: int = BATCH
) -> Turns[Metrics]:
    """``sigma`` of a model by some ``training`` images, and what it makes of the ``validation`` images: `evaluate`'s
    metrics, each ``val_``. A CPU takes so many images ``at_once``."""
    sigma = yield from _calibrated(model, training, world, definitions, at_once)
    found = yield from _evaluated(model, validation, sigma, world, at_once=at_once)
    return {f"val_{name}": value for name, value in found.items()} | {"sigma": sigma}
