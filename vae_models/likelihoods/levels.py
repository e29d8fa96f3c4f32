"""Probabilities of 8-bit pixels: mass functions over the levels k = 0 to 255 of x = k / 255.

A density's mass at a level is what lies in its bin, from (k - 1/2) / 255 to (k + 1/2) / 255; the bins of 0 and 255 are
open to infinity, so that the 256 probabilities sum to 1 (Salimans et al. 2017, "PixelCNN++", ICLR, arXiv:1701.05517).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from vae_models.config import ModelConfig
from vae_models.likelihoods.protocol import Likelihood

LEVELS = 256
MIN_SIGMA = 1e-3  # of pixels in [0, 1], a quarter of a grey level: below it one bin holds all, whatever sigma
_LOG_SCALES = math.log(MIN_SIGMA), math.log(10.0)  # ten times the range of pixels says no more than another ten
_FIRST_LOG_SCALE = math.log(0.25)  # of an untrained decoder, whose output is near 0: a quarter of the range
_FAR = 1e9  # scales from the mean, where an open bin ends: unlike infinity it has a gradient, which is 0
_LOG_CONCENTRATION = 10.0  # of a beta distribution's parameters, either way


def levels(x: Tensor) -> Tensor:
    """Pixels in [0, 1], multiples of 1/255 -> their levels, whole numbers from 0 to 255."""
    return torch.round(x * (LEVELS - 1))


def _edges(x: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The lower and the upper end of the bin of each pixel's level, in scales from the mean."""
    level = levels(x)
    lower, upper = (((level + side) / (LEVELS - 1) - mean) / scale for side in (-0.5, 0.5))
    return torch.where(level == 0, -_FAR, lower), torch.where(level == LEVELS - 1, _FAR, upper)


def log_discretised_gaussian(mean: Tensor, x: Tensor, sigma: Tensor | float) -> Tensor:
    """Log-probability of each pixel, as ``x`` is shaped, of a Gaussian; ``mean`` and ``sigma`` are of pixels in
    [0, 1]."""
    lower, upper = _edges(x, mean, torch.as_tensor(sigma, dtype=mean.dtype, device=mean.device))
    # Phi(b) - Phi(a) = Phi(-a) - Phi(-b): work in the left tail, where log_ndtr keeps its digits
    flip = lower > -upper
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    log_b: Tensor = torch.special.log_ndtr(b)
    return log_b + torch.log(-torch.expm1(torch.special.log_ndtr(a) - log_b))


def log_discretised_logistic(mean: Tensor, x: Tensor, scale: Tensor) -> Tensor:
    """Log-probability of each pixel, as ``x`` is shaped, of a logistic distribution; ``mean`` and ``scale`` are of
    pixels in [0, 1]. s(b) - s(a) = s(b) s(-a) (1 - exp(a - b)), of which no part cancels."""
    lower, upper = _edges(x, mean, scale)
    is_open = (lower == -_FAR) | (upper == _FAR)
    width = torch.where(is_open, _FAR, 1 / ((LEVELS - 1) * scale))
    return logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-width))


def log_beta_binomial(alpha: Tensor, beta: Tensor, level: Tensor) -> Tensor:
    """Log-probability of ``level`` out of 255 draws whose probability is Beta(alpha, beta). In float64 inside:
    differences of log-gammas of hundreds lose four digits of float32's seven."""
    alpha, beta, level = alpha.double(), beta.double(), level.double()
    draws, log_gamma = LEVELS - 1.0, torch.lgamma
    rest = draws - level
    choose = math.lgamma(draws + 1) - log_gamma(level + 1) - log_gamma(rest + 1)
    drawn = log_gamma(level + alpha) + log_gamma(rest + beta) - log_gamma(draws + alpha + beta)
    return choose + drawn + log_gamma(alpha + beta) - log_gamma(alpha) - log_gamma(beta)


def _bounded(output: Tensor, low: float, high: float, at_zero: float) -> Tensor:
    """Unbounded numbers -> ones in (low, high), ``at_zero`` where they are 0 and of slope 1 there: a clamped one has no
    gradient, and never comes back."""
    above, below = high - at_zero, at_zero - low
    return at_zero + torch.where(output > 0, above * torch.tanh(output / above), below * torch.tanh(output / below))


def _scale(output: Tensor) -> Tensor:
    """The decoder's number -> a scale of pixels in [0, 1]."""
    return _bounded(output, *_LOG_SCALES, _FIRST_LOG_SCALE).exp()


class DiscretisedLogistic(Likelihood):
    """A logistic distribution of a mean and a scale for each number (Kingma et al. 2016, NeurIPS, arXiv:1606.04934)."""

    outputs = 2

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`: where the distribution lies, without what the two open bins cut off."""
        return torch.sigmoid(self.parameters_of(output)[0])

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        scale = _scale(self.parameters_of(output)[1])
        return -log_discretised_logistic(self.mean(output), x, scale).flatten(1).sum(1)


class LogisticMixture(Likelihood):
    """A mixture of K discretised logistics for each number, those of a pixel's channels independent of each other given
    z (Salimans et al. 2017, whose channels are conditioned on one another)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._components = config.components
        self.outputs = 3 * config.components

    def _parts(self, output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and scales, (B, K, C, H, W) each."""
        weight, mean, scale = output.unflatten(1, (3, self._components, -1)).unbind(1)
        # apart before training, or all components would stay one; no buffer, which a weights file would have to hold
        spread = torch.logit((torch.arange(self._components, device=mean.device) + 0.5) / self._components)
        return log_softmax(weight, 1), torch.sigmoid(mean + spread.view(-1, 1, 1, 1)), _scale(scale)

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`: of the components' means."""
        log_weight, mean, _ = self._parts(output)
        return (log_weight.exp() * mean).sum(1)

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        log_weight, mean, scale = self._parts(output)
        log_p = log_discretised_logistic(mean, x.unsqueeze(1), scale)
        return -torch.logsumexp(log_weight + log_p, 1).flatten(1).sum(1)


class BetaBinomial(Likelihood):
    """The number of 255 draws whose probability is a beta distribution's, of two parameters for each number (as in
    Townsend et al. 2019, "BB-ANS", ICLR, arXiv:1901.04866)."""

    outputs = 2

    def _concentrations(self, output: Tensor) -> tuple[Tensor, Tensor]:
        bounded = _LOG_CONCENTRATION * torch.tanh(output / _LOG_CONCENTRATION)
        alpha, beta = self.parameters_of(bounded.exp())
        return alpha, beta

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`: alpha / (alpha + beta)."""
        alpha, beta = self._concentrations(output)
        return alpha / (alpha + beta)

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        alpha, beta = self._concentrations(output)
        return -log_beta_binomial(alpha, beta, levels(x)).flatten(1).sum(1).to(output.dtype)


class DiscretisedGaussian(Likelihood):
    """A Gaussian whose sigma is learnt: one for all, one for each channel, or by the decoder one for each number."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = {"one": 1, "channel": config.image_shape[0]}.get(config.learnt_sigma)
        self.outputs = 2 if channels is None else 1
        # the number from which a decoder's scale is made
        self._sigma = None if channels is None else nn.Parameter(torch.zeros(channels, 1, 1))

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`: where the distribution lies, without what the two open bins cut off."""
        return torch.sigmoid(self.parameters_of(output)[0])

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        sigma = _scale(self.parameters_of(output)[1] if self._sigma is None else self._sigma)
        return -log_discretised_gaussian(self.mean(output), x, sigma).flatten(1).sum(1)


FAMILY: dict[str, Callable[[ModelConfig], Likelihood]] = {
    "discretised_logistic": lambda _: DiscretisedLogistic(),
    "logistic_mixture": LogisticMixture,
    "beta_binomial": lambda _: BetaBinomial(),
    "discretised_gaussian": DiscretisedGaussian,
}
"""By the name that `ModelConfig.likelihood` has for each."""
