"""Where the encoder puts the test images: PCA and UMAP of the posterior means, coloured by label.

N images, Z latents.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import HALO, class_styles, draw_note, latents, plain, styled

UMAP_IMAGES = 2_000
UMAP_LEAST = 15
LEGEND_CLASSES = 24


@dataclass(frozen=True)
class Pca:
    """Posterior means on their principal axes."""

    coordinates: np.ndarray
    """(N, 2), or (N, 1) of a single latent."""
    explained: np.ndarray
    """Share of the variance on each of these axes."""
    labels: np.ndarray
    classes: tuple[str, ...]
    latent_dim: int


@dataclass(frozen=True)
class Umap:
    """A two-dimensional embedding of the posterior means, or why there is none."""

    coordinates: np.ndarray
    """(N, 2); (0, 2) where there is none."""
    labels: np.ndarray
    classes: tuple[str, ...]
    of: int
    """Images that the N were drawn from."""
    seed: int
    """Of the embedding, and of the choice of images."""
    note: str = ""


def compute_pca(mean_NZ: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Pca:
    """The first two principal components by an eigendecomposition of the covariance; the sign of each is
    that which makes its largest loading positive, so that a figure does not flip from run to run."""
    centred = mean_NZ.astype(np.float64) - mean_NZ.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / max(1, len(centred) - 1))
    order = np.argsort(variances)[::-1][:2]
    axes = axes[:, order]
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0))
    total = variances.sum()
    explained = variances[order].clip(0) / total if total > 0 else np.zeros(len(order))
    return Pca(centred @ axes, explained, labels, classes, mean_NZ.shape[1])


def compute_umap(mean_NZ: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], seed: int = 0) -> Umap:
    """UMAP (McInnes et al. 2018, arXiv:1802.03426) of at most 2,000 of the images, the same for a seed."""
    if len(mean_NZ) < UMAP_LEAST:
        note = f"UMAP needs at least {UMAP_LEAST} images to find neighbours, and there are {len(mean_NZ)}"
        return Umap(np.zeros((0, 2)), labels[:0], classes, len(mean_NZ), seed, note)
    rows = np.random.default_rng(seed).permutation(len(mean_NZ))[:UMAP_IMAGES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about disconnected vertices and threads, which a seed rules out
        from umap import UMAP  # its compiler takes seconds to import: here, where it is needed

        neighbours = min(15, len(rows) - 1)
        mapper = UMAP(n_neighbors=neighbours, min_dist=0.1, random_state=seed, n_jobs=1)
        coordinates = mapper.fit_transform(mean_NZ[rows])
    return Umap(np.asarray(coordinates), labels[rows], classes, len(mean_NZ), seed)


@styled
def draw_pca(pca: Pca) -> Figure:
    """The plane of the first two components; of a single latent, its histogram by class."""
    figure = Figure(figsize=(10, 7))
    axes = figure.subplots()
    shares = [f"{share:.0%}" if share >= 0.01 else f"{share:.1%}" for share in pca.explained]
    if pca.coordinates.shape[1] == 1:
        histogram(axes, pca)
        axes.set_xlabel("posterior mean of the only latent, centred")
        axes.set_ylabel("test images")
    else:
        scatter(axes, pca.coordinates, pca.labels, pca.classes)
        axes.set_xlabel(f"first component ({shares[0]} of the variance)")
        axes.set_ylabel(f"second component ({shares[1]} of the variance)")
        axes.grid(True)
    of = f"{len(pca.labels):,} test images, {latents(pca.latent_dim)}"
    axes.set_title(f"PCA of the posterior means: {of}")
    legend(axes, pca.classes)
    return figure


@styled
def draw_umap(umap: Umap) -> Figure:
    """The embedding without axis numbers: UMAP keeps neighbours, not distances."""
    if umap.note:
        return draw_note(umap.note)
    figure = Figure(figsize=(10, 7))
    axes = figure.subplots()
    scatter(axes, umap.coordinates, umap.labels, umap.classes)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("UMAP 1 (no unit)")
    axes.set_ylabel("UMAP 2 (no unit)")
    drawn = f"{len(umap.labels):,} of {umap.of:,}" if len(umap.labels) < umap.of else f"{umap.of:,}"
    axes.set_title(f"UMAP of the posterior means: {drawn} test images, seed {umap.seed}")
    legend(axes, umap.classes)
    return figure


def scatter(axes: Axes, coordinates: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """Points by class in a mixed order, and each class's name at its median."""
    styles = class_styles(len(classes))
    size = float(np.clip(60_000 / max(1, len(labels)), 9, 40))
    order = np.random.default_rng(0).permutation(len(labels))
    for part in np.array_split(order, 20):  # in turns: the last class must not cover the others
        for label in np.unique(labels[part]):
            color, marker = styles[label]
            points = coordinates[part[labels[part] == label]]
            axes.scatter(points[:, 0], points[:, 1], s=size, color=color, marker=marker, alpha=0.75, linewidths=0)
    if len(classes) <= LEGEND_CLASSES:
        present = np.unique(labels)
        medians = np.stack([np.median(coordinates[labels == label], axis=0) for label in present])
        to_axes = axes.transData + axes.transAxes.inverted()
        places = apart(to_axes.transform(medians))
        for label, (x, y) in zip(present, places, strict=True):
            axes.text(
                x,
                y,
                plain(classes[label]),
                ha="center",
                va="center",
                weight="bold",
                path_effects=HALO,
                transform=axes.transAxes,
            )


def apart(places_K2: np.ndarray, width: float = 0.12, height: float = 0.036) -> np.ndarray:
    """Label positions in axes fractions, (K, 2), pushed up and down until none covers another."""
    places = places_K2.copy()
    for _ in range(200):
        gap = places[:, None] - places[None]
        near = (np.abs(gap[..., 0]) < width) & (np.abs(gap[..., 1]) < height)
        np.fill_diagonal(near, False)
        if not near.any():
            break
        index = np.arange(len(places))
        above = np.where(gap[..., 1] == 0, np.sign(index[:, None] - index[None]), np.sign(gap[..., 1]))
        places[:, 1] += 0.25 * (near * above * (height - np.abs(gap[..., 1]))).sum(1)
    return places


def histogram(axes: Axes, pca: Pca) -> None:
    values = pca.coordinates[:, 0]
    bins = np.linspace(values.min() - 1e-9, values.max() + 1e-9, 61).tolist()
    for label, (color, _) in enumerate(class_styles(len(pca.classes))):
        axes.hist(values[pca.labels == label], bins=bins, color=color, histtype="step", linewidth=2)


def legend(axes: Axes, classes: tuple[str, ...]) -> None:
    """Class names beside the axes; of very many classes, the first ones."""
    handles = [
        axes.plot([], [], marker, color=color, markersize=9)[0]
        for color, marker in class_styles(len(classes))[:LEGEND_CLASSES]
    ]
    names = [plain(name) for name in classes[:LEGEND_CLASSES]]
    more = len(classes) - len(names)
    title = f"class (and {more} more)" if more else "class"
    axes.legend(handles, names, title=title, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)
