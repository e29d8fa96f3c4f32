"""What the KL weight does to images: the same test images and the same noise through several models.

M models, K columns, images of C x H x W.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.model.batched import decode, unit
from analysis.figures.model.recon import varied_rows
from analysis.figures.style import draw_note, latents, plain, show_tiles, styled
from analysis.measures.codes import encode
from trainables.data.datasets import Split
from vae_models import VAE

COLUMNS = 8


@dataclass(frozen=True)
class AcrossBeta:
    """Models of one data set, by KL weight."""

    beta: np.ndarray
    """(M,) rising."""
    latent_dim: np.ndarray
    """(M,)."""
    labels: list[str]
    """The runs' names."""
    originals: np.ndarray
    """(K, C, H, W) in [0, 1]: test images."""
    decoded: np.ndarray
    """(M, K, C, H, W) in [0, 1]: from each model's posterior means of them."""
    samples: np.ndarray
    """(M, K, C, H, W) in [0, 1]: from the same noise, of which a model takes as many numbers as it has
    latents."""


def compute_across_beta(models: list[tuple[float, str, VAE]], test: Split, seed: int = 0) -> AcrossBeta:
    """Reconstruct 8 test images and decode 8 draws from the prior with each model.

    Args:
        models: KL weight, name and model of each run, in any order.
        test: images of the models' shape.
        seed: of the choice of images and of the noise.
    """
    models = sorted(models, key=lambda entry: (entry[0], entry[2].config.latent_dim))
    chosen = test.images[varied_rows(test.labels, COLUMNS, seed)]
    sizes = np.array([model.config.latent_dim for _, _, model in models], dtype=int)
    noise = np.random.default_rng(seed).standard_normal((max(sizes, default=1), COLUMNS)).T
    decoded = [decode(model, encode(model, chosen)[0]) for _, _, model in models]
    samples = [decode(model, noise[:, : model.config.latent_dim]) for _, _, model in models]
    return AcrossBeta(
        beta=np.array([beta for beta, _, _ in models], dtype=float),
        latent_dim=sizes,
        labels=[label for _, label, _ in models],
        originals=unit(chosen),
        decoded=np.array(decoded, np.float32).reshape(len(models), *chosen.shape),
        samples=np.array(samples, np.float32).reshape(len(models), COLUMNS, *chosen.shape[1:]),
    )


@styled
def draw_across_beta(across: AcrossBeta) -> Figure:
    """A row a model: the test images' reconstructions on the left, samples on the right."""
    if not len(across.beta):
        return draw_note("No model to compare over KL weights")
    rows = len(across.beta) + 1
    height, width = across.originals.shape[-2:]
    figure = Figure(figsize=(16, 0.88 * height / width * rows + 1.0))
    left, right = figure.subplots(1, 2)
    labels = [
        f"β {beta:.3g}, {latents(size)}" + (f"\n{plain(label)}" if label else "")
        for beta, size, label in zip(across.beta, across.latent_dim, across.labels, strict=True)
    ]
    show_tiles(left, np.concatenate([across.originals[None], across.decoded]), ["test images", *labels])
    show_tiles(right, np.concatenate([np.ones_like(across.samples[:1]), across.samples]))
    left.tick_params(axis="y", labelsize=12)
    left.set_title("reconstructions of the same test images")
    right.set_title("decoded from the same noise")
    return figure
