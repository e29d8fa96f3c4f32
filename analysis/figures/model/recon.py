"""Test images over their reconstructions."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.images import decode, unit, varied_rows
from analysis.figures.registry import ModelFigure
from analysis.figures.style import show_tiles, styled
from analysis.measures.codes import encode
from trainables.data.datasets import Split
from vae_models import VAE

_COLUMNS = 10


@dataclass(frozen=True)
class Reconstructions:
    """N test images and what the decoder makes of their posterior means."""

    originals: np.ndarray  # (N, C, H, W) in [0, 1]
    decoded: np.ndarray  # (N, C, H, W) in [0, 1]

    @property
    def mse(self) -> np.ndarray:
        """Mean squared error of each image, (N,)."""
        return np.asarray(((self.originals - self.decoded) ** 2).mean((1, 2, 3)))

    @property
    def psnr_db(self) -> np.ndarray:
        """Peak signal-to-noise ratio of each image, (N,): -10 log10 mse, as the peak is 1."""
        return np.asarray(-10 * np.log10(np.maximum(self.mse, 1e-10)))


def compute_recon(model: VAE, test: Split, count: int = 2 * _COLUMNS, seed: int = 0) -> Reconstructions:
    """Reconstruct ``count`` images of as many classes as there are."""
    rows = varied_rows(test.labels, count, seed)
    mean_NZ, _ = encode(model, test.images[rows])
    return Reconstructions(unit(test.images[rows]), decode(model, mean_NZ))


@styled
def draw_recon(recon: Reconstructions) -> Figure:
    """Blocks of ten pairs, each pair with its signal-to-noise ratio below."""
    count = len(recon.originals)
    blocks = -(-count // _COLUMNS)
    _, _, height, width = recon.originals.shape
    figure = Figure(figsize=(12, (2.25 * height / width + 0.45) * blocks + 0.5))
    figure.suptitle(
        f"Test images, decoded from their posterior means: mean PSNR {recon.psnr_db.mean():.1f} dB, "
        f"mean squared error {recon.mse.mean():.4f}",
        fontsize=14,
    )
    for block, axes in enumerate(figure.subplots(blocks, 1, squeeze=False).flat):
        part = slice(block * _COLUMNS, (block + 1) * _COLUMNS)
        pairs = np.stack([recon.originals[part], recon.decoded[part]])
        missing = _COLUMNS - pairs.shape[1] if blocks > 1 else 0
        blank = np.ones((2, missing, *pairs.shape[2:]), dtype=pairs.dtype)
        centres, bottom = show_tiles(axes, np.concatenate([pairs, blank], 1), ["original", "decoded"])
        axes.set_xticks(centres[: pairs.shape[1]], [f"{db:.1f} dB" for db in recon.psnr_db[part]])
        axes.tick_params(axis="x", labelsize=11, labelcolor="0.3")
        axes.set_ylim(bottom, -0.5)
    return figure


FIGURE = ModelFigure(
    name="recon",
    order=10,
    caption="Test images and what is left of them after the code; the number is the signal-to-noise ratio.",
    compute=lambda model: compute_recon(model.model, model.data.test, seed=model.seed),
    draw=draw_recon,
)
