"""What the decoder makes of each class's mean code, and how far apart these lie. K classes, images of C x H x W."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.images import decode
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import SEQUENTIAL, Look, draw_note, mosaic, short_names, styled

_MOST, _NUMBERED = 20, 12
_NAME_LENGTH, _SHORT = 16, 4


@dataclass(frozen=True)
class ClassMeans:
    """Of the classes that have test images, the first 20."""

    images: np.ndarray  # (K, C, H, W) in [0, 1], decoded from the mean of a class's posterior means
    distances: np.ndarray  # (K, K) Euclidean
    names: list[str]
    of: int  # classes that have test images
    unit: str  # of a distance


def compute_class_means(context: ModelContext) -> ClassMeans | str:
    """Of the posterior means of the test images, by their labels; or why there is nothing to compare."""
    labels = context.data.test.labels
    present = np.unique(labels)
    if len(present) < 2:
        return f"Class means need test images of at least 2 classes, and there is {len(present)}"
    chosen = present[:_MOST]
    mean_KZ = np.stack([context.codes.mean_NZ[labels == label].mean(0, dtype=np.float64) for label in chosen])
    distances = np.linalg.norm(mean_KZ[:, None] - mean_KZ, axis=2)
    names = [context.data.classes[k] for k in chosen]
    return ClassMeans(decode(context.model, mean_KZ), distances, names, len(present), context.unit)


@styled
def draw_class_means(means: ClassMeans | str) -> Figure:
    """The matrix of distances, its rows and columns headed by the decoded means."""
    if isinstance(means, str):
        return draw_note(means)
    count = len(means.names)
    figure = Figure(figsize=(11, 9.4))
    axes = figure.subplots()
    apart = ~np.eye(count, dtype=bool)
    shown = np.where(apart, means.distances, np.nan)
    picture = axes.imshow(shown, cmap=SEQUENTIAL)
    for k, image in enumerate(means.images):
        _thumbnail(axes, image, -1.05, k)
        _thumbnail(axes, image, k, -1.05)
    axes.set(xlim=(-1.6, count - 0.5), ylim=(count - 0.5, -1.6))
    short = short_names(means.names, _NAME_LENGTH)
    names = [short[name] for name in means.names]
    slanted: Look = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(count), names, **(slanted if max(map(len, names)) > _SHORT else {}))
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if count <= _NUMBERED:
        middle = (np.nanmin(shown) + np.nanmax(shown)) / 2
        for row, column in np.argwhere(apart):
            color = "white" if shown[row, column] <= middle else "black"
            axes.text(column, row, f"{shown[row, column]:.1f}", ha="center", va="center", color=color, fontsize=11)
    figure.colorbar(picture, ax=axes, label=f"distance of class means, {means.unit}", shrink=0.8)
    first = f"the first {count} of {means.of} classes" if count < means.of else f"{count} classes"
    axes.set_title(f"Class means of the test images, decoded, and their distances: {first}", loc="left")
    return figure


def _thumbnail(axes: Axes, image: np.ndarray, x: float, y: float) -> None:
    """An image (C, H, W) as large as fits into a cell centred at (x, y)."""
    _, height, width = image.shape
    half_x, half_y = 0.46 * width / max(height, width), 0.46 * height / max(height, width)
    extent = x - half_x, x + half_x, y + half_y, y - half_y
    axes.imshow(mosaic(image[None, None], 0), extent=extent, interpolation="nearest")


FIGURE = ModelFigure(
    name="class_means",
    title="Class means",
    order=130,
    caption="Each class's mean code, decoded, and how far apart these means lie.",
    compute=compute_class_means,
    draw=draw_class_means,
    possible=lambda model: model.dataset is not None and len(model.dataset.classes) > 1,
)
