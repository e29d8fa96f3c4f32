"""Binary images, of pixels 0 and 255, made of grey ones: prepared once per node, as the grey ones are."""

from collections.abc import Iterator

import numpy as np

from trainables.data.cache import Blocks

_SEED = 16_180_339  # of what is drawn once: every training and every test sees the same images
_BLOCK = 256  # images that are in memory at once
_HALF = 127  # the last level that is black by a threshold


def binary_blocks(images: np.ndarray, how: str, part: int) -> Blocks:
    """(N, C, H, W) uint8 as binary images, of the same shape. ``how`` is "threshold", white above half; or "fixed":
    each pixel is drawn once, white with a probability of its grey value over 255 (Salakhutdinov & Murray 2008, ICML).
    Each ``part`` of a set has draws of its own."""
    generator = np.random.default_rng([_SEED, part])

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(images), _BLOCK):
            some = images[start : start + _BLOCK]
            threshold = _HALF if how == "threshold" else 255 * generator.random(some.shape)
            yield np.uint8(255) * (some > threshold)

    return Blocks(images.shape, images.dtype, blocks())
