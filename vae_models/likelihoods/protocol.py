"""What every likelihood log p(x | z) is to the rest: what a decoder's output says of an image."""

from torch import Tensor, nn


class Likelihood(nn.Module):
    """A decoder ends in unbounded numbers, ``output``; a likelihood says what they mean. Shapes: B images of
    C x H x W, pixels x in [0, 1]; ``output`` is (B, P C, H, W), the first C channels each number's first parameter."""

    outputs: int = 1
    """P: how many parameters the decoder has for each number in an image."""
    is_exact: bool = False
    """Whether it is a probability of pixels as they are, binary ones or of 256 levels: then distortion + rate are minus
    the ELBO as they stand. A density is judged by the calibrated discrete Gaussian around its `mean` instead."""

    def mean(self, output: Tensor) -> Tensor:
        """Decoder output -> the image it stands for, (B, C, H, W) in [0, 1], or beyond where nothing squashes it."""
        raise NotImplementedError

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        """-log p(x | z) in nats per image, (B,)."""
        raise NotImplementedError

    def distortion_of_samples(self, output: Tensor, x: Tensor) -> Tensor:
        """That of K samples of each image: (K, B, P C, H, W) and (B, C, H, W) -> (K, B). One that needs no K copies of
        the images is faster."""
        every = x.expand(len(output), *x.shape).flatten(0, 1)
        return self.distortion(output.flatten(0, 1), every).view(len(output), -1)

    def parameters_of(self, output: Tensor) -> tuple[Tensor, ...]:
        """The P parameters of each number, (B, C, H, W) each."""
        return output.chunk(self.outputs, 1)
