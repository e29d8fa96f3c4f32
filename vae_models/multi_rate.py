"""One network for every KL weight: log beta, standardised, conditions its layers (Bae et al. 2023, "Multi-Rate VAE",
ICLR, arXiv:2212.03905; here by scales and shifts in place of that paper's gates).

Each layer's scale and shift are affine, so that at one KL weight they are folded into the weights beside them: what is
left is a plain network.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_models.blocks import Conditioned, Films, NormAct
from vae_models.config import ModelConfig

_HIDDEN = 4  # units of log beta, which all layers share: each of 2 C numbers a layer has a weight for every one
# the weights are so many times as large as what an optimiser steps through: Adam, whose steps do not depend on a
# gradient's scale, moves the conditioning so many times as fast as the network
_SPEED = 12.0


class Site(NamedTuple):
    """Where a film is applied: to the outputs of a layer, or to its inputs."""

    layer: nn.Linear | nn.GroupNorm
    is_input: bool = False

    @property
    def channels(self) -> int:
        """Numbers that are scaled and shifted."""
        if isinstance(self.layer, nn.GroupNorm):
            return self.layer.num_channels
        return self.layer.in_features if self.is_input else self.layer.out_features

    @torch.no_grad()
    def fold(self, film: Tensor) -> None:
        """Make the layer what the film, (2 C,), makes of it."""
        scale, shift = film.chunk(2)
        weight, bias = self.layer.weight, self.layer.bias
        if self.is_input:
            bias.add_(weight @ shift)
            weight.mul_(scale.exp())
        else:
            bias.mul_(scale.exp()).add_(shift)
            weight.mul_(scale.exp().view(-1, *[1] * (weight.ndim - 1)))


def sites(encoder: nn.Module, decoder: nn.Module) -> list[Site]:
    """In the order in which a pass through both comes to them."""
    first = next(layer for layer in decoder.modules() if isinstance(layer, nn.Linear))
    return [*_outputs(encoder), Site(first, is_input=True), *_outputs(decoder)]


def _outputs(network: nn.Module) -> Iterator[Site]:
    for layer in network.modules():
        if isinstance(layer, Conditioned):
            yield Site(layer)
        elif isinstance(layer, NormAct):
            norm = layer[0]
            assert isinstance(norm, nn.GroupNorm)
            yield Site(norm)


class Conditioning(nn.Module):
    """KL weights (B,) -> `Films`, all of them 0 before training: then the network is what it is without."""

    def __init__(self, config: ModelConfig, channels: list[int]) -> None:
        super().__init__()
        low, high = map(math.log, config.beta_range)
        self._middle, self._half, self._sizes = (low + high) / 2, (high - low) / 2, [2 * each for each in channels]
        self.hidden = nn.Linear(1, _HIDDEN)
        with torch.no_grad():  # rising and falling ones that begin all along the range: drawn, some ranges lack them
            self.hidden.weight[:, 0] = 2.0 * (-1.0) ** torch.arange(_HIDDEN)
            self.hidden.bias.copy_(torch.linspace(-1, 1, _HIDDEN))
        self.films = nn.Linear(_HIDDEN, sum(self._sizes))
        nn.init.zeros_(self.films.weight)
        nn.init.zeros_(self.films.bias)

    def forward(self, beta: Tensor) -> Films:
        """As the class says."""
        with torch.autocast(beta.device.type, enabled=False):  # bfloat16 knows a KL weight to 2 %
            position = (beta.log() - self._middle) / self._half
            hidden = nn.functional.silu(self.hidden(position[:, None]))
            return iter((_SPEED * self.films(hidden)).split(self._sizes, 1))
