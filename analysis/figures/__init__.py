"""Figures as data, then drawing: ``compute_x(...)`` gives a frozen dataclass of arrays, ``draw_x(arrays)`` a
matplotlib figure, and ``save_figure(figure, path)`` a PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.aggregate_posterior import compute_aggregate_posterior, draw_aggregate_posterior
from analysis.figures.class_means import compute_class_means, draw_class_means
from analysis.figures.curves import draw_curves
from analysis.figures.extremes import compute_extremes, draw_extremes
from analysis.figures.interp import compute_interp, draw_interp
from analysis.figures.kl_latents import compute_kl_latents, draw_kl_latents
from analysis.figures.latents import compute_pca, compute_umap, draw_pca, draw_umap
from analysis.figures.manifold import compute_manifold, draw_manifold
from analysis.figures.neighbours import compute_neighbours, draw_neighbours
from analysis.figures.noise import compute_noise, draw_noise
from analysis.figures.recon import compute_recon, draw_recon
from analysis.figures.style import save_figure
from analysis.figures.traversal import compute_traversal, draw_traversal
from analysis.figures.traversal_gif import draw_traversal_gif, save_gif
from analysis.metrics import Codes, encode
from trainables.data import Dataset
from vae_models import VAE

__all__ = ["draw_curves", "run_figures", "save_figure"]


def run_figures(
    model: VAE, data: Dataset, out: Path, stem: str, seed: int = 0, codes: Codes | None = None
) -> dict[str, Path]:
    """Draw one model on the test set: ``out/<name>/<stem>.png`` for each figure, and the traversals in
    motion as ``out/traversal/<stem>.gif``.

    Args:
        model: in evaluation mode, on any device.
        data: its data set; the figures show test images, and the training images nearest to samples.
        out: folder, made as needed; files of the same name are replaced.
        stem: file name without ending, such as ``epoch_0005``.
        seed: of the choice of images, the embedding and the samples.
        codes: the test images' posteriors, where they have been computed (`analysis.metrics.encode`).

    Returns the paths by name in the order to read them: what the model renders, what it makes up, what each
    latent does, what the latents carry, and where the classes lie.
    """
    mean_NZ, logvar_NZ = codes if codes is not None else encode(model, data.test.images)
    paths: dict[str, Path] = {}
    for name, figure in draw_images(model, data, seed, mean_NZ):
        paths[name] = save_figure(figure, Path(out) / name / f"{stem}.png")
    traversal = compute_traversal(model, data.test, data.classes, mean_NZ, logvar_NZ, seed)
    paths["traversal"] = save_figure(draw_traversal(traversal), Path(out) / "traversal" / f"{stem}.png")
    paths["traversal_gif"] = save_gif(draw_traversal_gif(traversal), Path(out) / "traversal" / f"{stem}.gif")
    for name, figure in draw_codes(model, data, seed, mean_NZ, logvar_NZ):
        paths[name] = save_figure(figure, Path(out) / name / f"{stem}.png")
    return paths


def draw_images(model: VAE, data: Dataset, seed: int, mean_NZ: np.ndarray) -> Iterator[tuple[str, Figure]]:
    """Of images, one figure at a time: those of a data set need not be in memory together."""
    test, classes = data.test, data.classes
    yield "recon", draw_recon(compute_recon(model, test, seed=seed))
    yield "extremes", draw_extremes(compute_extremes(model, test, classes, mean_NZ))
    yield "noise", draw_noise(compute_noise(model, seed))
    yield "neighbours", draw_neighbours(compute_neighbours(model, data, seed))
    yield "interp", draw_interp(compute_interp(model, test, classes, seed))


def draw_codes(
    model: VAE, data: Dataset, seed: int, mean_NZ: np.ndarray, logvar_NZ: np.ndarray
) -> Iterator[tuple[str, Figure]]:
    """Of the latent space, one figure at a time."""
    labels, classes = data.test.labels, data.classes
    yield "manifold", draw_manifold(compute_manifold(model, mean_NZ, logvar_NZ))
    yield "kl_latents", draw_kl_latents(compute_kl_latents(mean_NZ, logvar_NZ))
    aggregate = compute_aggregate_posterior(mean_NZ, logvar_NZ, seed)
    yield "aggregate_posterior", draw_aggregate_posterior(aggregate)
    yield "pca", draw_pca(compute_pca(mean_NZ, labels, classes))
    yield "umap", draw_umap(compute_umap(mean_NZ, labels, classes, seed))
    yield "class_means", draw_class_means(compute_class_means(model, mean_NZ, labels, classes))
