"""The two pieces that every network here is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "leaky_relu": partial(nn.LeakyReLU, 0.2)}


def conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


class NormAct(nn.Sequential):
    """Group normalisation (of up to 8 groups), then the activation. Shapes stay as they are."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__(nn.GroupNorm(math.gcd(8, channels), channels), ACTIVATIONS[activation]())


class ResidualBlock(nn.Module):
    """Pre-activation residual block (He et al. 2016, arXiv:1603.05027): (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            NormAct(channels, activation),
            conv(channels, channels),
            NormAct(channels, activation),
            conv(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
