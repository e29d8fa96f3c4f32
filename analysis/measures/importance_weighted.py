"""How likely the model finds an image: the importance-weighted bound on log p(x).

N images of C x H x W, Z latents, K samples of each image's posterior; nats per image.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from analysis.measures.codes import (
    PIXELS,
    TRADE_OFF,
    Metric,
    Part,
    Subject,
    batches,
    chosen_rows,
    device_of,
    posteriors,
)
from analysis.statistics.resampling import standard_error
from trainables.training.evaluate import encoded
from vae_models import VAE
from vae_models.elbo import exact_distortion
from vae_models.priors import Posterior

# test images and K of the part: decoding them is most of what measuring a large model costs
LIKELIHOOD_IMAGES, LIKELIHOOD_SAMPLES = 100, 50
_FEW_EFFECTIVE = 10.0  # samples, below which the bound may lie far under the likelihood
IMAGES = 50  # of a batch, of which each step draws one sample or more


class Bound(NamedTuple):
    """Of each image, (N,) float64, from the weights w_k = p(x, z_k) / q(z_k | x) of its samples."""

    log_likelihood: np.ndarray  # log 1/K sum_k w_k, at most log p(x) on average, nearer to it the larger K
    elbo: np.ndarray  # 1/K sum_k log w_k, at most the bound: what one sample gives, on average
    effective_samples: np.ndarray  # (sum_k w_k)^2 / sum_k w_k^2, 1 to K (Kong 1992): near 1, one weight makes the bound

    @property
    def mean(self) -> float:
        """The bound on the mean of log p(x)."""
        return float(self.log_likelihood.mean())

    @property
    def standard_error(self) -> float:
        """Of `mean`, from the spread over images; NaN of a single one."""
        return standard_error(self.log_likelihood)


@torch.no_grad()
def iwae(
    model: VAE, images: np.ndarray, sigma: float, samples: int, seed: int = 0, known: Posterior | None = None
) -> Bound:
    """The importance-weighted bound (Burda et al. 2016, arXiv:1509.00519, equation 8) of each image, (N, C, H, W)
    uint8, from K = ``samples`` of its posterior, computed where the model is in memory that does not grow with K.

    ``sigma`` is the discretised Gaussian's, by which a model is judged that was trained by a density, as in
    `trainables.training.evaluate`: with one sample this is minus its ``nelbo``. ``known`` are the images' posteriors,
    (N, Z) on any device, where they are encoded already.
    Raises: ValueError for fewer samples than one."""
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    generator = torch.Generator(device_of(model)).manual_seed(seed)
    parts = [
        _batch_weights(model, x, encoded(model, x, rows, known), sigma, samples, generator)
        for rows, x in batches(model, images, size=IMAGES)
    ]
    total, squares, logs = (torch.cat(column) for column in zip(*parts, strict=True))
    found = total - math.log(samples), logs / samples, (2 * total - squares).exp()
    return Bound(*(part.cpu().numpy() for part in found))


def _batch_weights(
    model: VAE, x: Tensor, posterior: Posterior, sigma: float, samples: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Log sum_k w_k, log sum_k w_k^2 and sum_k log w_k of each image of a batch, (B,) float64."""
    shape, prior = posterior.mean.shape, model.prior()
    total = torch.full(shape[:1], -math.inf, device=x.device, dtype=torch.float64)
    squares, logs = total.clone(), torch.zeros_like(total)
    at_once = max(1, PIXELS[x.device.type] // x.numel())
    for start in range(0, samples, at_once):
        count = min(at_once, samples - start)
        # one draw a sample, so that the chunks' size does not change the numbers
        noise = torch.stack([torch.randn(shape, generator=generator, device=x.device) for _ in range(count)])
        output = model.decoder(posterior.sample(noise).flatten(0, 1))
        repeated = x.expand(count, *x.shape).flatten(0, 1)
        distortion = exact_distortion(model.likelihood, output, repeated, sigma).view(count, -1).double()
        weights = prior.log_ratio(posterior, noise).double() - distortion
        total = torch.logaddexp(total, weights.logsumexp(0))
        squares = torch.logaddexp(squares, (2 * weights).logsumexp(0))
        logs += weights.sum(0)
    return total, squares, logs


def likelihood(subject: Subject) -> dict[str, float]:
    """``log_likelihood``, nats per image: minus the ``nelbo`` of all images, plus what the bound of
    ``log_likelihood_samples`` samples (`iwae`) gains on the ELBO by the same samples, in the mean over
    ``log_likelihood_images`` of them, as images differ in it far less than in their likelihood.
    ``log_likelihood_error`` is the gain's standard error; ``effective_samples`` the median over those images."""
    images, seed = subject.data.test.images, subject.seed
    rows = chosen_rows(len(images), LIKELIHOOD_IMAGES, seed)
    known = posteriors(subject.codes, rows)
    bound = iwae(subject.model, images[rows], subject.sigma, LIKELIHOOD_SAMPLES, seed, known)
    gain = bound.log_likelihood - bound.elbo
    return {
        "log_likelihood": float(gain.mean()) - subject.evaluated["nelbo"],
        "log_likelihood_error": standard_error(gain),
        "log_likelihood_images": len(rows),
        "log_likelihood_samples": LIKELIHOOD_SAMPLES,
        "effective_samples": float(np.median(bound.effective_samples)),
    }


LIKELIHOOD = Part(
    "likelihood",
    TRADE_OFF,
    (
        Metric(
            "log_likelihood",
            "log-likelihood, bound of {log_likelihood_samples:.0f} samples",
            ".2f",
            "nats per image, by {log_likelihood_images:.0f} images' gain on the ELBO",
            "≥",
            lambda measured: measured["effective_samples"] < _FEW_EFFECTIVE,
        ),
        Metric("effective_samples", "samples that carry this bound", ".1f", "effective, median of these images"),
    ),
    likelihood,
)
