"""The pieces that every network here is made of."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv_transpose2d, group_norm, pad

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gated": partial(nn.GLU, 1),
}


Films = Iterator[Tensor]
"""What a KL weight makes of a multi-rate network's layers, (B, 2 C) for each that is conditioned, in the order in which
they are used: the logarithms of what its C outputs are scaled by, and what they are shifted by."""


def modulated(x: Tensor, films: Films | None) -> Tensor:
    """The next of the ``films`` on x, (B, C, ...): feature-wise linear modulation (Perez et al. 2018, AAAI,
    arXiv:1709.07871). x as it is where there are none. A scale that could reach 0 would stay there: a random decoder is
    better off without its latents, and what is multiplied by 0 has no gradient."""
    if films is None:
        return x
    scale, shift = (part.view(*part.shape, *[1] * (x.ndim - 2)) for part in next(films).chunk(2, 1))
    return x * scale.exp() + shift


def conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3 x 3, padded so that stride 1 keeps the shape and stride 2 halves it."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def dense(widths: Sequence[int], activation: str) -> list[nn.Module]:
    """Fully connected layers from each width to the next, (B, first) -> (B, last), each with its activation. A gated
    one's is h(x) * sigmoid(g(x)) (Dauphin et al. 2017, ICML, arXiv:1612.08083), h and g two halves of one map."""
    maps = 2 if activation == "gated" else 1
    layers = [(Conditioned(before, maps * after), _ACTIVATIONS[activation]()) for before, after in pairwise(widths)]
    return [module for layer in layers for module in layer]


def _modulated_norm(norm: nn.GroupNorm, x: Tensor, film: Tensor) -> Tensor:
    """`modulated`, of a normalisation's output, in its own pass over x: with the images side by side as channels, its
    scale and shift are theirs."""
    scale, shift = film.chunk(2, 1)
    weight, bias = norm.weight * scale.exp(), norm.bias * scale.exp() + shift
    images, channels, *sides = x.shape
    beside = x.reshape(1, images * channels, *sides)
    return group_norm(beside, images * norm.num_groups, weight.flatten(), bias.flatten(), norm.eps).view(x.shape)


class Conditioned(nn.Linear):
    """A fully connected layer whose outputs may be modulated, (B, N) -> (B, M)."""

    def forward(self, x: Tensor, films: Films | None = None) -> Tensor:
        """As the class says."""
        return modulated(super().forward(x), films)


class NormAct(nn.Sequential):
    """Group normalisation (of up to 8 groups), which may be modulated, then the activation. Shapes stay as they are."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__(nn.GroupNorm(math.gcd(8, channels), channels), _ACTIVATIONS[activation]())

    def forward(self, x: Tensor, films: Films | None = None) -> Tensor:
        """As the class says."""
        norm, act = self
        activated: Tensor = act(norm(x) if films is None else _modulated_norm(cast(nn.GroupNorm, norm), x, next(films)))
        return activated


class ResidualBlock(nn.Module):
    """Pre-activation residual block (He et al. 2016, arXiv:1603.05027): (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        halves = [(NormAct(channels, activation), conv(channels, channels)) for _ in range(2)]
        self.body = Layers(*halves[0], *halves[1])

    def forward(self, x: Tensor, films: Films | None = None) -> Tensor:
        """As the class says."""
        change: Tensor = self.body(x, films)
        return x + change


class Layers(nn.Sequential):
    """Layers one after the other, each that can be modulated with the next of the films."""

    def forward(self, x: Tensor, films: Films | None = None) -> Tensor:
        """As the class says."""
        for layer in self:
            x = layer(x, films) if isinstance(layer, Conditioned | NormAct | ResidualBlock) else layer(x)
        return x


class UpConv(nn.Conv2d):
    """Nearest upsampling by 2, then a 3 x 3 convolution: (B, C, H, W) -> (B, K, 2H, 2W).

    Computed as what it equals, one transposed convolution of stride 2 whose 4 x 4 kernel holds sums of the
    3 x 3 taps (sub-pixel convolution: Shi et al. 2016, arXiv:1609.05158, appendix A): under half the
    multiplications, and no image of twice the side in between."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        # each of the 4 x 4 is the sum of the 3 x 3 taps, flipped, that meet the same input pixel
        kernel = 4 * avg_pool2d(pad(self.weight.flip(2, 3), (1, 1, 1, 1)), kernel_size=2, stride=1)
        return conv_transpose2d(x, kernel.transpose(0, 1), self.bias, stride=2, padding=1)
