"""What the decoder makes of each class's mean code, and how far apart these lie.

N images, Z latents, K classes, images of C x H x W.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.images import decode
from analysis.figures.registry import ModelFigure
from analysis.figures.style import SEQUENTIAL, draw_note, mosaic, plain, styled
from vae_models import VAE

_MOST = 20
_NUMBERED = 12
_NAME_LENGTH, _SHORT = 16, 4


@dataclass(frozen=True)
class ClassMeans:
    """Of the classes that have test images, the first 20; or why there is nothing to compare."""

    images: np.ndarray  # (K, C, H, W) in [0, 1], decoded from the mean of a class's posterior means
    distances: np.ndarray  # (K, K) Euclidean, in prior standard deviations
    names: list[str]
    of: int  # classes that have test images
    note: str = ""


def compute_class_means(model: VAE, mean_NZ: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> ClassMeans:
    """Of the posterior means of the test images, (N, Z), and their labels, (N,)."""
    present = np.unique(labels)
    chosen = present[:_MOST]
    if len(present) < 2:
        note = f"Class means need test images of at least 2 classes, and there is {len(present)}"
        shape = (0, *model.config.image_shape)
        return ClassMeans(np.zeros(shape, np.float32), np.zeros((0, 0)), [], len(present), note)
    mean_KZ = np.stack([mean_NZ[labels == label].mean(0, dtype=np.float64) for label in chosen])
    distances = np.linalg.norm(mean_KZ[:, None] - mean_KZ[None], axis=2)
    return ClassMeans(decode(model, mean_KZ), distances, [classes[k] for k in chosen], len(present))


@styled
def draw_class_means(means: ClassMeans) -> Figure:
    """The matrix of distances, its rows and columns headed by the decoded means."""
    if means.note:
        return draw_note(means.note)
    count = len(means.names)
    figure = Figure(figsize=(11, 9.4))
    axes = figure.subplots()
    shown = np.where(np.eye(count, dtype=bool), np.nan, means.distances)
    picture = axes.imshow(shown, cmap=SEQUENTIAL)
    for k, image in enumerate(means.images):
        _thumbnail(axes, image, -1.05, k)
        _thumbnail(axes, image, k, -1.05)
    axes.set(xlim=(-1.6, count - 0.5), ylim=(count - 0.5, -1.6))
    names = [plain(_shortened(name)) for name in means.names]
    if max(map(len, names)) > _SHORT:
        axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(range(count), names)
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if count <= _NUMBERED:
        middle = (np.nanmin(shown) + np.nanmax(shown)) / 2
        for row, column in zip(*np.nonzero(~np.eye(count, dtype=bool)), strict=True):
            value = means.distances[row, column]
            color = "white" if value <= middle else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=color, fontsize=11)
    figure.colorbar(picture, ax=axes, label="distance of class means, prior standard deviations", shrink=0.8)
    first = f"the first {count} of {means.of} classes" if count < means.of else f"{count} classes"
    axes.set_title(f"Class means of the test images, decoded, and their distances: {first}", loc="left")
    return figure


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _thumbnail(axes: Axes, image: np.ndarray, x: float, y: float) -> None:
    """An image (C, H, W) as large as fits into a cell centred at (x, y)."""
    height, width = image.shape[1:]
    half_x, half_y = 0.46 * width / max(height, width), 0.46 * height / max(height, width)
    axes.imshow(
        mosaic(image[None, None], 0), extent=(x - half_x, x + half_x, y + half_y, y - half_y), interpolation="nearest"
    )


FIGURE = ModelFigure(
    name="class_means",
    order=130,
    caption="Each class's mean code, decoded, and how far apart these means lie.",
    compute=lambda model: compute_class_means(
        model.model, model.codes.mean_NZ, model.data.test.labels, model.data.classes
    ),
    draw=draw_class_means,
)
