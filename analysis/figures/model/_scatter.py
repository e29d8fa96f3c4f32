"""What the maps of the latent space share: N points by class, with their names."""

import numpy as np
from matplotlib.axes import Axes

from analysis.figures.style import HALO, Look, class_styles, short_names

_LONGEST = 18  # characters of a class's name
_LEGEND_CLASSES = 24


def scatter(axes: Axes, coordinates: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """Points, (N, 2), by class in a mixed order, and each class's name at its median, where there are several."""
    styles = class_styles(len(classes))
    size = float(np.clip(60_000 / max(1, len(labels)), 9, 40))
    order = np.random.default_rng(0).permutation(len(labels))
    for part in np.array_split(order, 20):  # in turns: the last class must not cover the others
        for label in np.unique(labels[part]):
            color, marker = styles[label]
            points = coordinates[part[labels[part] == label]]
            axes.scatter(points[:, 0], points[:, 1], s=size, color=color, marker=marker, alpha=0.75, linewidths=0)
    if not 1 < len(classes) <= _LEGEND_CLASSES:
        return
    present = np.unique(labels)
    medians = [np.median(coordinates[labels == label], axis=0) for label in present]
    places = apart((axes.transData + axes.transAxes.inverted()).transform(medians))
    look: Look = {"ha": "center", "va": "center", "weight": "bold", "path_effects": HALO, "transform": axes.transAxes}
    names = short_names(classes, _LONGEST)
    for label, (x, y) in zip(present, places, strict=True):
        axes.text(x, y, names[classes[label]], **look)


def apart(places_K2: np.ndarray, width: float = 0.12, height: float = 0.036) -> np.ndarray:
    """Label positions in axes fractions, (K, 2), pushed up and down until none covers another."""
    places, index = places_K2.copy(), np.arange(len(places_K2))
    for _ in range(200):
        gap = places[:, None] - places[None]
        near = (np.abs(gap[..., 0]) < width) & (np.abs(gap[..., 1]) < height)
        np.fill_diagonal(near, False)
        if not near.any():
            break
        above = np.where(gap[..., 1] == 0, np.sign(index[:, None] - index), np.sign(gap[..., 1]))
        places[:, 1] += 0.25 * (near * above * (height - np.abs(gap[..., 1]))).sum(1)
    return places


def legend(axes: Axes, classes: tuple[str, ...]) -> None:
    """Class names beside the axes; of very many classes, the first ones, and of one class none."""
    if len(classes) == 1:
        return
    styles = class_styles(len(classes))[:_LEGEND_CLASSES]
    handles = [axes.plot([], [], marker, color=color, markersize=9)[0] for color, marker in styles]
    short, more = short_names(classes, _LONGEST), len(classes) - len(styles)
    names = [short[name] for name in classes[:_LEGEND_CLASSES]]
    title = f"class (and {more} more)" if more else "class"
    axes.legend(handles, names, title=title, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)
