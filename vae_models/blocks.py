"""The pieces that every network here is made of."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv_transpose2d, pad

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}


def conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3 x 3, padded so that stride 1 keeps the shape and stride 2 halves it."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def dense(widths: Sequence[int], activation: str) -> list[nn.Module]:
    """Fully connected layers from each width to the next, (B, first) -> (B, last), each with its activation."""
    layers = [(nn.Linear(before, after), _ACTIVATIONS[activation]()) for before, after in pairwise(widths)]
    return [module for layer in layers for module in layer]


class NormAct(nn.Sequential):
    """Group normalisation (of up to 8 groups), then the activation. Shapes stay as they are."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__(nn.GroupNorm(math.gcd(8, channels), channels), _ACTIVATIONS[activation]())


class ResidualBlock(nn.Module):
    """Pre-activation residual block (He et al. 2016, arXiv:1603.05027): (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        halves = [(NormAct(channels, activation), conv(channels, channels)) for _ in range(2)]
        self.body = nn.Sequential(*halves[0], *halves[1])

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        change: Tensor = self.body(x)
        return x + change


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
