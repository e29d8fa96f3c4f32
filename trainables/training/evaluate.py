"""Rate, distortion and the calibrated ELBO of a model over a set, on one process or many. Z latents; sums and counts
are reduced over the ranks in float64, then divided once."""

import numpy as np
import torch
from torch import Tensor

from trainables.metrics import Metrics
from trainables.training.batches import Pixels
from trainables.training.process_group import World
from trainables.training.yardstick import YARDSTICKS
from vae_models import VAE
from vae_models.elbo import active_units, bits_per_dim, discrete_gaussian_nll, rate
from vae_models.vae import Posterior

BATCH = 500
_NOISE_SEED = 20_140_411  # the same noise for a row in every evaluation: epochs and trials differ by their models alone


def row_noise(count: int, latent_dim: int) -> Tensor:
    """(count, Z) standard normal, the same on every rank and device."""
    return torch.randn(count, latent_dim, generator=torch.Generator().manual_seed(_NOISE_SEED))


@torch.no_grad()
def calibrated_sigma(model: VAE, pixels: Pixels, world: World, definitions: int = 2) -> float:
    """The calibrated likelihood's sigma, of pixels in [0, 1], from residuals mean(z) - x, z ~ q(z | x): the most
    probable one (`trainables.training.yardstick`), or by definitions 1 their root mean square. NaN where one is."""
    statistic, sigma_of = YARDSTICKS[definitions]
    noise = row_noise(len(pixels), model.config.latent_dim)
    nothing = torch.empty(0, device=world.device)
    total = statistic(nothing, nothing)
    for rows, x in pixels.in_order(BATCH, world):
        output, _ = model(x, noise[rows].to(world.device))
        total += statistic(model.likelihood.mean(output), x)
    return sigma_of(world.sum(total).cpu().numpy())


def encoded(model: VAE, x: Tensor, rows: np.ndarray, known: Posterior | None) -> Posterior:
    """q(z | x) of a batch: these rows of what is ``known``, (N, Z) on any device, or the encoder's."""
    return model.encode(x) if known is None else Posterior(*(part[rows].to(x.device) for part in known))


@torch.no_grad()
def evaluate(model: VAE, pixels: Pixels, sigma: float, world: World, known: Posterior | None = None) -> Metrics:
    """Metrics of a model over a set, with one noise sample an image, whose posteriors may be ``known``. Returns
    ``distortion rate nelbo`` in nats per image, ``bits_per_dim``, ``mse`` of pixels in [0, 1] and ``active_units``.
    ``distortion`` is under the training likelihood; ``nelbo`` is the rate plus the distortion under the discrete
    Gaussian of width ``sigma`` (`calibrated_sigma`): one yardstick for all KL weights and likelihoods."""
    latent_dim = model.config.latent_dim
    noise = row_noise(len(pixels), latent_dim)
    sums = torch.zeros(5 + 2 * latent_dim, dtype=torch.float64, device=world.device)
    for rows, x in pixels.in_order(BATCH, world):
        posterior = encoded(model, x, rows, known)
        output = model.decoder(posterior.sample(noise[rows].to(world.device)))
        image = model.likelihood.mean(output)
        sums[0] += model.likelihood.distortion(output, x).sum(dtype=torch.float64)
        sums[1] += rate(posterior).sum(dtype=torch.float64)
        sums[2] += discrete_gaussian_nll(image, x, sigma).sum(dtype=torch.float64)
        sums[3] += (image - x).square().sum(dtype=torch.float64)
        sums[4] += len(rows)
        mean = posterior.mean.double()
        sums[5:] += torch.cat([mean.sum(0), mean.square().sum(0)])
    sums = world.sum(sums).cpu()
    count = sums[4].item()
    distortion, nats, discrete, squares = (sums[:4] / count).tolist()
    mean, mean_square = (sums[5:] / count).chunk(2)
    dimensions = model.config.dimensions
    return {
        "distortion": distortion,
        "rate": nats,
        "nelbo": discrete + nats,
        "bits_per_dim": bits_per_dim(discrete + nats, dimensions),
        "mse": squares / dimensions,
        "active_units": active_units(mean_square - mean.square()),
    }
