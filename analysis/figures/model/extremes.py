"""The test images that the model renders best and worst.

N test images, K shown of each kind, images of C x H x W.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.images import decode, unit
from analysis.figures.registry import ModelFigure
from analysis.figures.style import plain, show_tiles, styled
from trainables.data.datasets import Split
from trainables.training.evaluate import BATCH
from vae_models import VAE

_COLUMNS = 10
_NAME_LENGTH = 12


@dataclass(frozen=True)
class Extremes:
    """Reconstructions by their error, best first and worst first."""

    mse: np.ndarray  # (N,) mean squared error of pixels in [0, 1] of every test image, decoded from its posterior mean
    rows: np.ndarray  # (2, K) test images: the best, the worst
    originals: np.ndarray  # (2, K, C, H, W) in [0, 1]
    decoded: np.ndarray  # (2, K, C, H, W) in [0, 1]
    names: list[list[str]]  # classes of the best and of the worst; empty strings where there is one class


def compute_extremes(model: VAE, test: Split, classes: tuple[str, ...], mean_NZ: np.ndarray) -> Extremes:
    """Reconstruct the whole test set from its posterior means, (N, Z), in batches."""
    mse = np.concatenate(
        [
            _squared_error(test.images[k : k + BATCH], decode(model, mean_NZ[k : k + BATCH]))
            for k in range(0, len(mean_NZ), BATCH)
        ]
    )
    order = np.argsort(mse, kind="stable")
    count = min(_COLUMNS, max(1, len(order) // 2))
    rows = np.stack([order[:count], order[::-1][:count]])
    shape = (2, count, *test.images.shape[1:])
    return Extremes(
        mse,
        rows,
        unit(test.images[rows.ravel()]).reshape(shape),
        decode(model, mean_NZ[rows.ravel()]).reshape(shape),
        [[classes[k] if len(classes) > 1 else "" for k in test.labels[kind]] for kind in rows],
    )


def _squared_error(images: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Mean squared error of each image: uint8 and [0, 1], both (N, C, H, W) -> (N,)."""
    return np.asarray(((unit(images) - decoded) ** 2).mean((1, 2, 3)))


@styled
def draw_extremes(extremes: Extremes) -> Figure:
    """Two blocks of originals over reconstructions, error and class below each."""
    _, count, _, height, width = extremes.originals.shape
    figure = Figure(figsize=(12, 2 * (2.2 * height / width + 0.55) + 0.5))
    figure.suptitle(
        f"Best and worst reconstructions of {len(extremes.mse):,} test images, by squared error: "
        f"median {np.median(extremes.mse):.4f}",
        fontsize=14,
    )
    for k, (axes, kind) in enumerate(zip(figure.subplots(2, 1), ("best", "worst"), strict=True)):
        missing = np.ones((2, _COLUMNS - count, *extremes.originals.shape[2:]), dtype=np.float32)
        pairs = np.concatenate([np.stack([extremes.originals[k], extremes.decoded[k]]), missing], 1)
        centres, _ = show_tiles(axes, pairs, [f"{kind}:\noriginal", "decoded"])
        labels = [
            f"{error:.4f}\n{plain(name[:_NAME_LENGTH])}".strip()
            for error, name in zip(extremes.mse[extremes.rows[k]], extremes.names[k], strict=True)
        ]
        axes.set_xticks(centres[:count], labels)
        axes.tick_params(axis="x", labelsize=11, labelcolor="0.3")
    return figure


FIGURE = ModelFigure(
    name="extremes",
    order=20,
    caption="The test images rendered best and worst, over their reconstructions; below: mean squared error and class.",
    compute=lambda model: compute_extremes(model.model, model.data.test, model.data.classes, model.codes.mean_NZ),
    draw=draw_extremes,
)
