"""Training likelihoods log p(x | z), behind one small protocol.

A decoder ends in unbounded numbers, ``output``; a likelihood says what they mean. Shapes: B images of
C x H x W; pixels x are in [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_models.config import CONSTANTS


class Likelihood(Protocol):
    """log p(x | z): what a decoder's output says of an image."""

    def mean(self, output: Tensor) -> Tensor:
        """Decoder output (B, C, H, W) -> the image it stands for, (B, C, H, W) in [0, 1], or beyond where nothing
        squashes it."""
        ...

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """-log p(x | z) in nats per image, (B,)."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """Unit-variance Gaussian on pixels scaled to [-1, 1], its mean the squashed output: the squared error."""

    squash: Callable[[Tensor], Tensor] = torch.tanh

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`."""
        return (self.squash(output) + 1) / 2

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        error = self.squash(output) - (2 * x - 1)
        return (0.5 * error.square() + CONSTANTS["gaussian"]).flatten(1).sum(1)


@dataclass(frozen=True)
class Laplace:
    """Unit-scale Laplace on pixels scaled to [-1, 1], its mean the squashed output: the absolute error."""

    squash: Callable[[Tensor], Tensor] = torch.tanh

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`."""
        return (self.squash(output) + 1) / 2

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        error = self.squash(output) - (2 * x - 1)
        return (error.abs() + CONSTANTS["laplace"]).flatten(1).sum(1)


class Bernoulli:
    """Each pixel in [0, 1] read as the probability that it is white: the cross-entropy of the logits."""

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`."""
        return torch.sigmoid(output)

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        return binary_cross_entropy_with_logits(output, x, reduction="none").flatten(1).sum(1)


LIKELIHOODS: dict[str, Likelihood] = {"gaussian": Gaussian(), "laplace": Laplace(), "bernoulli": Bernoulli()}
"""By the name that `ModelConfig.likelihood` has for it."""


def _as_it_is(output: Tensor) -> Tensor:
    return output


LIKELIHOODS_OF_LINEAR = LIKELIHOODS | {"gaussian": Gaussian(_as_it_is), "laplace": Laplace(_as_it_is)}
"""The same for an affine decoder, whose output is the mean itself; logits are logits there, too."""
