"""Which test images are neighbours in the latent space: UMAP of their posterior means, coloured by label.

N images, Z latents.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.model._scatter import legend, scatter
from analysis.figures.registry import ModelFigure
from analysis.figures.style import draw_note, styled

_UMAP_IMAGES = 2_000
_UMAP_LEAST = 15


@dataclass(frozen=True)
class Umap:
    """A two-dimensional embedding of the posterior means, or why there is none."""

    coordinates: np.ndarray  # (N, 2); (0, 2) where there is none
    labels: np.ndarray
    classes: tuple[str, ...]
    of: int  # images that the N were drawn from
    seed: int  # of the embedding, and of the choice of images
    note: str = ""


def compute_umap(mean_NZ: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], seed: int = 0) -> Umap:
    """UMAP (McInnes et al. 2018, arXiv:1802.03426) of at most 2,000 of the images, the same for a seed."""

    def none(note: str) -> Umap:
        return Umap(np.zeros((0, 2)), labels[:0], classes, len(mean_NZ), seed, note)

    if len(mean_NZ) < _UMAP_LEAST:
        return none(f"UMAP needs at least {_UMAP_LEAST} images to find neighbours, and there are {len(mean_NZ)}")
    rows = np.random.default_rng(seed).permutation(len(mean_NZ))[:_UMAP_IMAGES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about disconnected vertices and threads, which a seed rules out
        try:
            from umap import UMAP  # its compiler takes seconds to import: here, where it is needed
        except ImportError:
            return none("UMAP is not installed; this figure needs it: pip install 'vae-studies[umap]'")
        mapper = UMAP(n_neighbors=min(15, len(rows) - 1), min_dist=0.1, random_state=seed, n_jobs=1)
        coordinates = mapper.fit_transform(mean_NZ[rows])
    return Umap(np.asarray(coordinates), labels[rows], classes, len(mean_NZ), seed)


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
    axes.set(xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)")
    drawn = f"{len(umap.labels):,} of {umap.of:,}" if len(umap.labels) < umap.of else f"{umap.of:,}"
    axes.set_title(f"UMAP of the posterior means: {drawn} test images, seed {umap.seed}")
    legend(axes, umap.classes)
    return figure


FIGURE = ModelFigure(
    name="umap",
    order=120,
    caption="Neighbours in the latent space stay neighbours here; distances between islands mean little.",
    compute=lambda model: compute_umap(model.codes.mean_NZ, model.data.test.labels, model.data.classes, model.seed),
    draw=draw_umap,
)
