"""Probabilities of binary pixels."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from vae_models.config import ModelConfig
from vae_models.likelihoods.protocol import Likelihood


class Bernoulli(Likelihood):
    """The output is the logit of the probability that a pixel is white. Of binary pixels this is exact; of grey ones,
    read as probabilities, it is a cross-entropy, and the likelihood of nothing."""

    def mean(self, output: Tensor) -> Tensor:
        """See `Likelihood`."""
        return torch.sigmoid(output)

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`."""
        return binary_cross_entropy_with_logits(output, x, reduction="none").flatten(1).sum(1)

    def distortion_of_samples(self, output: Tensor, x: Tensor) -> Tensor:
        """See `Likelihood`: log(1 + e^n) - n x of each logit n, where n x is summed by a matrix product."""
        logits = output.flatten(2)
        return softplus(logits).sum(2) - torch.einsum("kbd,bd->kb", logits, x.flatten(1))


FAMILY: dict[str, Callable[[ModelConfig], Likelihood]] = {"bernoulli": lambda _: Bernoulli()}
"""By the name that `ModelConfig.likelihood` has for each."""
