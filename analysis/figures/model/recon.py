"""Test images over their reconstructions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.images import decode, unit, varied_rows
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import show_tiles, styled
from analysis.measures.codes import encode

COLUMNS = 10


@dataclass(frozen=True)
class Reconstructions:
    """Test images, and what the decoder makes of their posterior means."""

    originals: np.ndarray  # (N, C, H, W) in [0, 1]
    decoded: np.ndarray  # (N, C, H, W) in [0, 1]; of binary pixels probabilities
    is_binary: bool = False

    @property
    def wrong(self) -> np.ndarray:
        """The share of each binary image's pixels that lie on the other side of a half, (N,)."""
        return np.asarray(((self.originals > 0.5) != (self.decoded > 0.5)).mean((1, 2, 3)))

    @property
    def mse(self) -> np.ndarray:
        """Mean squared error of each image, (N,)."""
        return np.asarray(((self.originals - self.decoded) ** 2).mean((1, 2, 3)))

    @property
    def psnr_db(self) -> np.ndarray:
        """Peak signal-to-noise ratio of each image, (N,): -10 log10 mse, as the peak is 1."""
        return np.asarray(-10 * np.log10(np.maximum(self.mse, 1e-10)))


def compute_recon(context: ModelContext, most: int = 2 * COLUMNS) -> Reconstructions:
    """Reconstruct test images of as many classes as there are."""
    images = context.data.test.images[varied_rows(context.data.test.labels, most, context.seed)]
    decoded = decode(context.model, encode(context.model, images).mean_NZ)
    return Reconstructions(unit(images), decoded, context.model.config.is_binary)


@styled
def draw_recon(recon: Reconstructions) -> Figure:
    """Blocks of ten pairs, each pair with its signal-to-noise ratio below, or how many of its pixels are wrong."""
    count, _, height, width = recon.originals.shape
    blocks = -(-count // COLUMNS)
    figure = Figure(figsize=(12, (2.25 * height / width + 0.45) * blocks + 0.5))
    quality, each = f"mean PSNR {recon.psnr_db.mean():.1f} dB", [f"{db:.1f} dB" for db in recon.psnr_db]
    if recon.is_binary:
        quality, each = f"{recon.wrong.mean():.1%} of pixels wrong", [f"{share:.1%} wrong" for share in recon.wrong]
    title = f"Test images, decoded from their posterior means: {quality}, mean squared error {recon.mse.mean():.4f}"
    figure.suptitle(title, fontsize=14)
    for block, axes in enumerate(figure.subplots(blocks, 1, squeeze=False).flat):
        part = slice(block * COLUMNS, (block + 1) * COLUMNS)
        pairs = np.stack([recon.originals[part], recon.decoded[part]])
        show_pairs(axes, pairs, min(COLUMNS, count), ["original", "decoded"], each[part])
    return figure


def show_pairs(axes: Axes, pairs: np.ndarray, columns: int, row_labels: Sequence[str], below: Sequence[str]) -> None:
    """Images over what was decoded of them, (2, K, C, H, W), each pair with a text below; as wide as ``columns``."""
    _, count, *shape = pairs.shape
    blank = np.ones((2, columns - count, *shape), np.float32)
    centres = show_tiles(axes, np.concatenate([pairs, blank], 1), row_labels)
    axes.set_xticks(centres[:count], below)
    axes.tick_params(axis="x", labelsize=11, labelcolor="0.3")


FIGURE = ModelFigure(
    name="recon",
    title="Reconstructions",
    order=10,
    caption="Test images and what is left of them after the code; the number is the signal-to-noise ratio. Of "
    "binary images, whose reconstructions are probabilities: how many pixels lie on the wrong side of a half.",
    compute=compute_recon,
    draw=draw_recon,
)
