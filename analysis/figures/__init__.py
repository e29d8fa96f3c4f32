"""Figures as data, then drawing: ``compute_x(...)`` gives a frozen dataclass of arrays, ``draw_x(arrays)`` a
matplotlib figure, and ``save_figure(figure, path)`` a PNG."""

from __future__ import annotations

from pathlib import Path

from analysis.figures.curves import draw_curves
from analysis.figures.interp import compute_interp, draw_interp
from analysis.figures.latents import compute_pca, compute_umap, draw_pca, draw_umap
from analysis.figures.noise import compute_noise, draw_noise
from analysis.figures.recon import compute_recon, draw_recon
from analysis.figures.style import save_figure
from analysis.metrics import encode
from trainables.data import Dataset
from vae_models import VAE

__all__ = ["draw_curves", "run_figures", "save_figure"]


def run_figures(model: VAE, data: Dataset, out: Path, stem: str, seed: int = 0) -> dict[str, Path]:
    """Draw one model on the test set: ``out/{recon,pca,umap,interp,noise}/<stem>.png``.

    Args:
        model: on the CPU, in evaluation mode.
        data: its data set; the figures show test images.
        out: folder, made as needed; files of the same name are replaced.
        stem: file name without ending, such as ``epoch_0005``.
        seed: of the choice of images, the embedding and the samples.

    Returns the five paths by folder name.
    """
    mean_NZ, _ = encode(model, data.test.images)
    figures = {
        "recon": draw_recon(compute_recon(model, data.test, seed=seed)),
        "pca": draw_pca(compute_pca(mean_NZ, data.test.labels, data.classes)),
        "umap": draw_umap(compute_umap(mean_NZ, data.test.labels, data.classes, seed)),
        "interp": draw_interp(compute_interp(model, data.test, data.classes, seed)),
        "noise": draw_noise(compute_noise(model, seed)),
    }
    return {name: save_figure(figure, Path(out) / name / f"{stem}.png") for name, figure in figures.items()}
