"""Densities of pixels that are read as real numbers."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_models.config import CONSTANTS, ModelConfig
from vae_models.likelihoods.protocol import Likelihood

_NEAR_HALF = 0.2  # below which a series has more digits than the closed form
_LEAST_VARIANCE = 1e-6  # of pixels in [-1, 1]: an eighth of a grey level, squared
_SMOOTHING = 0.05  # of a step in the variance that is kept, as batch normalisation keeps its own


class _Location(Likelihood):
    """Pixels scaled to [-1, 1] around a location, the output squashed by tanh; a linear decoder's as it is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._is_squashed = config.architecture != "linear"

    def location(self, output: Tensor) -> Tensor:
        """(B, C, H, W), of pixels in [-1, 1]."""
        return torch.tanh(output) if self._is_squashed else output

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`."""
        return (self.location(output) + 1) / 2

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        """Of the location, (B, C, H, W)."""
        return self.location(output) - (2 * x - 1)


class Gaussian(_Location):
    """Unit-variance Gaussian on pixels in [-1, 1]: the squared error."""

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        return (0.5 * self.error(output, x).square() + CONSTANTS["gaussian"]).flatten(1).sum(1)


class Laplace(_Location):
    """Unit-scale Laplace on pixels in [-1, 1]: the absolute error."""

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        return (self.error(output, x).abs() + CONSTANTS["laplace"]).flatten(1).sum(1)


class OptimalGaussian(_Location):
    """Gaussian on pixels in [-1, 1] of the variance that is best for a batch, one for all its numbers: the mean squared
    error (Rybkin et al. 2021, "sigma-VAE", ICML, arXiv:2006.13202, section 3.3). It needs no KL weight.

    A batch's is used in training, of each process that shares it its own part's, and its moving average otherwise."""

    variance: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.register_buffer("variance", torch.ones(()))

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        squares = self.error(output, x).square().flatten(1)
        variance = self.variance
        if self.training:
            # no gradient: at the optimum that of the variance is 0
            variance = squares.detach().mean().clamp(min=_LEAST_VARIANCE)
            self.variance.lerp_(variance.to(self.variance.dtype), _SMOOTHING)
        return 0.5 * (squares / variance + variance.log() + math.log(2 * math.pi)).sum(1)


class ContinuousBernoulli(Likelihood):
    """Continuous Bernoulli on pixels in [0, 1] (Loaiza-Ganem & Cunningham 2019, NeurIPS, arXiv:1907.06845): the
    Bernoulli's cross-entropy with the constant that makes a density of it.

    As an exponential family with the logit n: log p(x) = n x - log((e^n - 1) / n)."""

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`: 1/2 + (coth h - 1/h) / 2 with h = n / 2."""
        half = output / 2
        small = half.abs() < _NEAR_HALF
        safe = torch.where(small, 1.0, half)
        square = half.square()
        near = half * (1 / 3 - square / 45 + 2 * square.square() / 945)
        return 0.5 + 0.5 * torch.where(small, near, 1 / torch.tanh(safe) - 1 / safe)

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`. log((e^n - 1) / n) = h + log(sinh h / h)."""
        half = output / 2
        return (half + _log_sinh_ratio(half) - output * x).flatten(1).sum(1)


def _log_sinh_ratio(h: Tensor) -> Tensor:
    """log(sinh(h) / h), which is even, and 0 at 0."""
    size = h.abs()
    small = size < _NEAR_HALF
    safe = torch.where(small, 1.0, size)
    square = h.square()
    near = square * (1 / 6 - square / 180 + square.square() / 2835)
    far = safe - torch.log(2 * safe) + torch.log1p(-torch.exp(-2 * safe))
    return torch.where(small, near, far)


FAMILY: dict[str, Callable[[ModelConfig], Likelihood]] = {
    "gaussian": Gaussian,
    "laplace": Laplace,
    "optimal_gaussian": OptimalGaussian,
    "continuous_bernoulli": lambda _: ContinuousBernoulli(),
}
"""By the name that `ModelConfig.likelihood` has for each."""
