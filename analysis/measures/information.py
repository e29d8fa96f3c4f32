"""What the code says about the image, and how far the codes lie from the prior.

The rate splits in two (Hoffman & Johnson 2016, "ELBO surgery"): E_x KL(q(z | x), p(z)) is the mutual
information I(x; z) plus the aggregate posterior's KL(q(z), p(z)), with q(z) the mean of q(z | x) over the
images. The first does not depend on the prior p(z), the second is to whichever the model has. N images, Z latents;
nats.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from analysis.measures.codes import CODE, Metric, Part, Subject, device_of, image_rates, latent_rates
from analysis.statistics.resampling import standard_error
from vae_models.priors import Prior

_BLOCK = 500  # codes compared with all posteriors at once: a _BLOCK x N matrix of float64
_MARGIN = 1.0  # nats below the cap from which on the estimates say no more than "at least" and "at most"


def capped(measured: Mapping[str, float]) -> bool:
    """Whether the images, hardly overlapping, are too few to tell more than that the mutual information is at least
    this, and the marginal KL at most what it leaves of the rate."""
    return measured["mutual_information"] > measured["mutual_information_cap"] - _MARGIN


def information(
    mean_NZ: np.ndarray,
    logvar_NZ: np.ndarray,
    seed: int = 0,
    device: torch.device | str = "cpu",
    prior: Prior | None = None,
) -> dict[str, float]:
    """The two parts of the rate, nats per image: ``mutual_information``, its ``mutual_information_cap`` log N, and
    ``marginal_kl``, each with its standard error over images, NaN of one. From the posteriors of N images and one
    sample of each, which is compared with all posteriors on ``device``. A ``prior`` of none is N(0, I).

    On average the mutual information is at most that of all images there could be, and the marginal KL at least
    theirs: by little far below the cap, by any amount where they are `capped`. The errors do not know of this."""
    mean, logvar = mean_NZ.astype(np.float64), logvar_NZ.astype(np.float64)
    noise = np.random.default_rng(seed).standard_normal(mean.shape)
    z = mean + noise * np.exp(0.5 * logvar)
    # log q(z | x), log q(z) and log N(z; 0, I), without the constant that all three share
    own, normal = -0.5 * (noise**2 + logvar).sum(1), -0.5 * (z**2).sum(1)
    aggregate = log_mixture(*(torch.from_numpy(part).to(device) for part in (z, mean, logvar))).cpu().numpy()
    rate = image_rates(mean, logvar).sum(1)
    mutual, error = own - aggregate, own - normal - rate
    # the sampled rate is off by this error, and the estimate by a part of it: a control variate, which is all of
    # it where codes overlap and none where they are told apart, so that both ends are free of noise; that of N(0, I),
    # whose exact one is known, whatever the prior
    mutual -= np.dot(mutual - mutual.mean(), error) / max(np.dot(error, error), np.finfo(float).tiny) * error
    marginal = rate - mutual
    if prior is not None and not prior.has_closed_form:  # nor has the rate to it
        log_p = prior.log_prob(torch.from_numpy(z).to(device)).cpu().numpy()
        marginal = aggregate - log_p - 0.5 * z.shape[1] * math.log(2 * math.pi)
    return {
        "mutual_information": float(mutual.mean()),
        "mutual_information_error": standard_error(mutual),
        "mutual_information_cap": math.log(len(z)),
        "marginal_kl": float(marginal.mean()),
        "marginal_kl_error": standard_error(marginal),
    }


def log_mixture(z_MZ: Tensor, mean_NZ: Tensor, logvar_NZ: Tensor) -> Tensor:
    """Log 1/N sum_n q(z | x_n) of each code, (M,), without Z/2 log(2 pi); all float64."""
    precision = torch.exp(-logvar_NZ)
    # -(z - m)^2 / 2v is linear in (z^2, z): one matrix product, and M x N numbers instead of M x N x Z
    weight = torch.cat([-0.5 * precision, mean_NZ * precision], 1)
    bias = -0.5 * (mean_NZ.square() * precision + logvar_NZ).sum(1)
    codes = torch.split(torch.cat([z_MZ.square(), z_MZ], 1), _BLOCK)
    return torch.cat([linear(part, weight, bias).logsumexp(1) for part in codes]) - math.log(len(mean_NZ))


@torch.no_grad()
def _measured(subject: Subject) -> dict[str, float]:
    prior = subject.model.prior()
    found = information(*subject.codes, subject.seed, device_of(subject.model), prior)
    if not prior.has_closed_form:  # nor has a latent a share of the rate
        return found
    rates_Z = latent_rates(*subject.codes)
    return found | {"kl_largest": float(rates_Z.max()), "kl_median": float(np.median(rates_Z))}


CODES = Part(
    "code",
    CODE,
    (
        Metric("active_units", "active units", ".0f", "latents"),  # of the trade-off's part
        Metric("kl_largest", "largest rate of a latent", ".2f", "nats per image"),
        Metric("kl_median", "median rate of a latent", ".2f", "nats per image"),
        Metric("mutual_information", "mutual information of image and code", ".2f", "nats per image", "≥", capped),
        Metric("mutual_information_cap", "the most it can be found to be", ".2f", "log of the images, nats"),
        Metric("marginal_kl", "aggregate posterior to the prior, KL", ".2f", "nats", "≤", capped),
    ),
    _measured,
)
