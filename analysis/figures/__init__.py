"""Figures as data, then drawing: ``compute_x(...)`` gives a frozen dataclass of arrays, ``draw_x(arrays)`` a
matplotlib figure, and ``save_figure(figure, path)`` a PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.model.aggregate_posterior import compute_aggregate_posterior, draw_aggregate_posterior
from analysis.figures.model.class_means import compute_class_means, draw_class_means
from analysis.figures.model.curves import draw_curves
from analysis.figures.model.extremes import compute_extremes, draw_extremes
from analysis.figures.model.interp import compute_interp, draw_interp
from analysis.figures.model.kl_latents import compute_kl_latents, draw_kl_latents
from analysis.figures.model.latents import compute_pca, compute_umap, draw_pca, draw_umap
from analysis.figures.model.manifold import compute_manifold, draw_manifold
from analysis.figures.model.neighbours import compute_neighbours, draw_neighbours
from analysis.figures.model.noise import compute_noise, draw_noise
from analysis.figures.model.recon import compute_recon, draw_recon
from analysis.figures.model.traversal import compute_traversal, draw_traversal
from analysis.figures.model.traversal_gif import draw_traversal_gif, save_gif
from analysis.figures.style import save_figure
from analysis.measures.codes import Codes, encode
from trainables.data.datasets import Dataset
from vae_models import VAE

__all__ = ["draw_curves", "run_figures", "save_figure"]


Drawing = Callable[[], Figure]


def run_figures(
    model: VAE,
    data: Dataset,
    out: Path,
    stem: str,
    seed: int = 0,
    codes: Codes | None = None,
    progress: Callable[[str], object] = lambda name: None,
) -> dict[str, Path]:
    """Draw one model on the test set: ``out/<name>/<stem>.png`` for each figure, and the traversals in
    motion as ``out/traversal/<stem>.gif``.

    Args:
        model: in evaluation mode, on any device.
        data: its data set; the figures show test images, and the training images nearest to samples.
        out: folder, made as needed; files of the same name are replaced.
        stem: file name without ending, such as ``epoch_0005``.
        seed: of the choice of images, the embedding and the samples.
        codes: the test images' posteriors, where they have been computed (`analysis.measures.codes.encode`).
        progress: told each figure's name before it is drawn, `FIGURES` in all.

    Returns the paths by name in the order to read them: what the model renders, what it makes up, what each
    latent does, what the latents carry, and where the classes lie.
    """
    mean_NZ, logvar_NZ = codes if codes is not None else encode(model, data.test.images)
    paths: dict[str, Path] = {}

    def save(drawings: dict[str, Drawing]) -> None:
        for name, draw in drawings.items():  # one at a time: their images need not be in memory together
            progress(name)
            paths[name] = save_figure(draw(), Path(out) / name / f"{stem}.png")

    save(of_images(model, data, seed, mean_NZ))
    traversal = compute_traversal(model, data.test, data.classes, mean_NZ, logvar_NZ, seed)
    save({"traversal": lambda: draw_traversal(traversal)})
    progress("traversal in motion")
    paths["traversal_gif"] = save_gif(draw_traversal_gif(traversal), Path(out) / "traversal" / f"{stem}.gif")
    save(of_codes(model, data, seed, mean_NZ, logvar_NZ))
    return paths


FIGURES = 13


def of_images(model: VAE, data: Dataset, seed: int, mean_NZ: np.ndarray) -> dict[str, Drawing]:
    test, classes = data.test, data.classes
    return {
        "recon": lambda: draw_recon(compute_recon(model, test, seed=seed)),
        "extremes": lambda: draw_extremes(compute_extremes(model, test, classes, mean_NZ)),
        "noise": lambda: draw_noise(compute_noise(model, seed)),
        "neighbours": lambda: draw_neighbours(compute_neighbours(model, data, seed)),
        "interp": lambda: draw_interp(compute_interp(model, test, classes, seed)),
    }


def of_codes(model: VAE, data: Dataset, seed: int, mean_NZ: np.ndarray, logvar_NZ: np.ndarray) -> dict[str, Drawing]:
    labels, classes = data.test.labels, data.classes
    return {
        "manifold": lambda: draw_manifold(compute_manifold(model, mean_NZ, logvar_NZ)),
        "kl_latents": lambda: draw_kl_latents(compute_kl_latents(mean_NZ, logvar_NZ)),
        "aggregate_posterior": lambda: draw_aggregate_posterior(compute_aggregate_posterior(mean_NZ, logvar_NZ, seed)),
        "pca": lambda: draw_pca(compute_pca(mean_NZ, labels, classes)),
        "umap": lambda: draw_umap(compute_umap(mean_NZ, labels, classes, seed)),
        "class_means": lambda: draw_class_means(compute_class_means(model, mean_NZ, labels, classes)),
    }
