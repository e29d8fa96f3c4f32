"""Where the encoder puts N test images: the principal components of their posterior means, coloured by label."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.model._scatter import legend, scatter
from analysis.figures.registry import ModelFigure
from analysis.figures.style import class_styles, latents, styled


@dataclass(frozen=True)
class Pca:
    """Posterior means on their principal axes."""

    coordinates: np.ndarray  # (N, 2), or (N, 1) of a single latent
    explained: np.ndarray  # share of the variance on each of these axes
    labels: np.ndarray
    classes: tuple[str, ...]
    latent_dim: int


def compute_pca(mean_NZ: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Pca:
    """The first two principal components by an eigendecomposition of the covariance; the sign of each is
    that which makes its largest loading positive, so that a figure does not flip from run to run."""
    centred = mean_NZ.astype(np.float64) - mean_NZ.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(centred.T @ centred / max(1, len(centred) - 1))
    order = np.argsort(variances)[::-1][:2]
    axes = axes[:, order]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0))
    total = variances.sum()
    explained = variances[order].clip(0) / total if total > 0 else np.zeros(len(order))
    return Pca(centred @ axes, explained, labels, classes, mean_NZ.shape[1])


@styled
def draw_pca(pca: Pca) -> Figure:
    """The plane of the first two components; of a single latent, its histogram by class."""
    figure = Figure(figsize=(10, 7))
    axes = figure.subplots()
    if pca.coordinates.shape[1] == 1:
        values = pca.coordinates[:, 0]
        bins = np.linspace(values.min() - 1e-9, values.max() + 1e-9, 61).tolist()
        for label, (color, _) in enumerate(class_styles(len(pca.classes))):
            axes.hist(values[pca.labels == label], bins=bins, color=color, histtype="step", linewidth=2)
        axes.set(xlabel="posterior mean of the only latent, centred", ylabel="test images")
    else:
        scatter(axes, pca.coordinates, pca.labels, pca.classes)
        first, second = (f"{share:.0%}" if share >= 0.01 else f"{share:.1%}" for share in pca.explained)
        axes.set_xlabel(f"first component ({first} of the variance)")
        axes.set_ylabel(f"second component ({second} of the variance)")
        axes.grid(True)
    axes.set_title(f"PCA of the posterior means: {len(pca.labels):,} test images, {latents(pca.latent_dim)}")
    legend(axes, pca.classes)
    return figure


FIGURE = ModelFigure(
    name="pca",
    title="Codes by PCA",
    order=110,
    caption="Posterior means along their two directions of most variance; classes apart are told apart.",
    compute=lambda model: compute_pca(model.codes.mean_NZ, model.data.test.labels, model.data.classes),
    draw=draw_pca,
)
