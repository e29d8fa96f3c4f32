"""Which test images are neighbours in the latent space: UMAP of their posterior means, coloured by label."""

import os
import tempfile
import warnings
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.model._scatter import legend, scatter
from analysis.figures.registry import ModelFigure
from analysis.figures.style import draw_note, styled
from trainables.errors import reason_of
from trainables.process import closed_folder

_LEAST, _MOST = 15, 2_000  # images


@dataclass(frozen=True)
class Umap:
    """A two-dimensional embedding of the posterior means of N images."""

    coordinates: np.ndarray  # (N, 2)
    labels: np.ndarray  # (N,)
    classes: tuple[str, ...]
    of: int  # images that the N were drawn from
    seed: int  # of the embedding, and of the choice of images


def compute_umap(mean_NZ: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], seed: int = 0) -> Umap | str:
    """UMAP (McInnes et al. 2018, arXiv:1802.03426) of at most 2,000 of the images, the same for a seed; or why there is
    none."""
    if len(mean_NZ) < _LEAST:
        return f"UMAP needs at least {_LEAST} images to find neighbours, and there are {len(mean_NZ)}"
    rows = np.random.default_rng(seed).permutation(len(mean_NZ))[:_MOST]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about disconnected vertices and threads, which a seed rules out
        try:
            mapper = _umap()(n_neighbors=min(15, len(rows) - 1), min_dist=0.1, random_state=seed, n_jobs=1)
            coordinates = mapper.fit_transform(mean_NZ[rows])
        except ImportError:
            return "UMAP is not installed; this figure needs it: pip install 'vae-studies[umap]'"
        except Exception as error:  # whatever its compiler finds in a machine or in a person's settings
            return f"UMAP could not be computed here: {reason_of(error)}"
    return Umap(np.asarray(coordinates), labels[rows], classes, len(mean_NZ), seed)


def _umap() -> Any:
    """The class. What its compiler makes is kept beside UMAP or in the home, or where neither can be written, in a
    temporary folder. Raises: ImportError."""
    try:
        return _compiled_once()
    except RuntimeError:
        import numba

        os.environ["NUMBA_CACHE_DIR"] = str(closed_folder(Path(tempfile.gettempdir()), "numba"))
        numba.config.reload_config()  # type: ignore[no-untyped-call]
        return _compiled_once()


def _compiled_once() -> Any:
    """The class, whose functions are compiled once on a machine: UMAP itself asks that only of some, and what it makes
    anew takes 40 times as long as to embed 300 points. Raises: ImportError; RuntimeError where nothing can be kept."""
    from umap import UMAP, distances, layouts, umap_, utils

    for function in chain.from_iterable(vars(it).values() for it in (distances, layouts, umap_, utils)):
        if hasattr(function, "enable_caching"):
            function.enable_caching()
    return UMAP


@styled
def draw_umap(umap: Umap | str) -> Figure:
    """The embedding without axis numbers: UMAP keeps neighbours, not distances."""
    if isinstance(umap, str):
        return draw_note(umap)
    figure = Figure(figsize=(10, 7))
    axes = figure.subplots()
    scatter(axes, umap.coordinates, umap.labels, umap.classes)
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)")
    drawn = f"{len(umap.labels):,} of {umap.of:,}" if len(umap.labels) < umap.of else f"{umap.of:,}"
    axes.set_title(f"UMAP of the posterior means: {drawn} test images, seed {umap.seed}")
    legend(axes, umap.classes)
    return figure


FIGURE = ModelFigure(
    name="umap",
    title="Codes by UMAP",
    order=120,
    caption="Neighbours in the latent space stay neighbours here; distances between islands mean little.",
    compute=lambda model: compute_umap(model.codes.mean_NZ, model.data.test.labels, model.data.classes, model.seed),
    draw=draw_umap,
)
