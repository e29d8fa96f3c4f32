"""Whether samples repeat training images: each with those nearest to it in pixels.

Q queries, D numbers in an image, images of C x H x W. Distances are root mean square differences of pixels in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.images import decode, unit
from analysis.figures.registry import ModelFigure
from analysis.figures.style import show_tiles, styled
from analysis.measures.codes import encode
from trainables.data.datasets import Dataset
from vae_models import VAE

_SAMPLES = 10
_NEIGHBOURS = 2
SEARCHED = 20_000
_HELD_OUT = 250
NUMBERS = 1 << 24  # pixels of training images that are floats at once


@dataclass(frozen=True)
class Neighbours:
    """Samples from the prior and the training images nearest to each."""

    samples: np.ndarray  # (Q, C, H, W) in [0, 1]
    nearest: np.ndarray  # (K, Q, C, H, W) in [0, 1], nearest first
    distances: np.ndarray  # (K, Q), of each to its sample
    held_out: float  # median distance of a test image to its nearest of the same training images
    held_out_decoded: float
    """The same of these test images' reconstructions, which are as blurred as samples: a blurred image is
    nearer to every other."""
    searched: int  # training images looked at, of `of`
    of: int


def compute_neighbours(model: VAE, data: Dataset, seed: int = 0) -> Neighbours:
    """Search at most 20,000 of the images that were trained on, drawn by ``seed``, for the neighbours of 10 samples."""
    rng = np.random.default_rng(seed)
    trained = data.training_rows()
    rows = np.sort(rng.permutation(trained)[:SEARCHED])
    samples = decode(model, rng.standard_normal((_SAMPLES, model.config.latent_dim)))
    # fewer of large images: the search takes seconds whatever their size
    count = int(np.clip(_HELD_OUT * 3072 / model.config.dimensions, 50, _HELD_OUT))
    held = data.test.images[np.sort(rng.permutation(len(data.test.images))[:count])]
    queries = np.concatenate([samples, unit(held), decode(model, encode(model, held)[0])])
    found, distances = nearest(queries, data.train.images, rows, _NEIGHBOURS)
    held_out, held_out_decoded = np.median(distances[_SAMPLES:, 0].reshape(2, -1), axis=1)
    images = unit(data.train.images[found[:_SAMPLES].T.ravel()])
    return Neighbours(
        samples,
        images.reshape(-1, _SAMPLES, *samples.shape[1:]),
        distances[:_SAMPLES].T,
        float(held_out),
        float(held_out_decoded),
        len(rows),
        len(trained),
    )


def nearest(queries: np.ndarray, images: np.ndarray, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` images nearest to each query.

    Args:
        queries: (Q, C, H, W) in [0, 1].
        images: (N, C, H, W) uint8, read in batches: it may be a memory map larger than memory.
        rows: of ``images``, those that are searched.
        count: at most ``len(rows)`` are found.

    Returns rows of ``images`` and their distances, both (Q, count), nearest first.
    """
    q_QD = torch.from_numpy(queries.reshape(len(queries), -1)) - 0.5
    best = torch.full((len(queries), 0), torch.inf)
    found = torch.zeros(len(queries), 0, dtype=torch.long)
    step = max(1, NUMBERS // q_QD.shape[1])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        x_BD = torch.from_numpy(images[part].reshape(len(part), -1)).float() / 255 - 0.5
        # without |q|^2, which is the same for all: a matrix product instead of Q x B x D differences
        squares = x_BD.square().sum(1) - 2 * q_QD @ x_BD.T
        best = torch.cat([best, squares], 1)
        found = torch.cat([found, torch.from_numpy(part).expand(len(queries), -1)], 1)
        best, order = best.topk(min(count, best.shape[1]), largest=False)
        found = found.gather(1, order)
    # exactly, of those found: the product's rounding would hide that an image is repeated
    chosen = found.numpy()
    distances = np.stack([_rms(queries, unit(images[chosen[:, k]])) for k in range(chosen.shape[1])], 1)
    exact = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(chosen, exact, 1), np.take_along_axis(distances, exact, 1)


def _rms(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root mean square difference of images, (N, C, H, W) twice -> (N,)."""
    return np.asarray(np.sqrt(((a.astype(np.float64) - b) ** 2).mean((1, 2, 3))))


@styled
def draw_neighbours(neighbours: Neighbours) -> Figure:
    """Samples over their neighbours, the distance to the nearest below."""
    rows = 1 + len(neighbours.nearest)
    _, _, height, width = neighbours.samples.shape
    figure = Figure(figsize=(12, 1.03 * height / width * rows + 1.45))
    axes = figure.subplots()
    tiles = np.concatenate([neighbours.samples[None], neighbours.nearest])
    labels = ["sample", "nearest\ntraining image", "second\nnearest"][:rows]
    centres, _ = show_tiles(axes, tiles, labels)
    axes.set_xticks(centres, [f"{distance:.3f}" for distance in neighbours.distances[0]])
    axes.set_xlabel("distance to the nearest: root mean square difference of pixels in [0, 1]", labelpad=8)
    searched, of = neighbours.searched, neighbours.of
    drawn = f"{searched:,} of {of:,}" if searched < of else f"{of:,}"
    figure.suptitle(
        f"Samples from the prior and the nearest of {drawn} training images\n"
        f"median distance: of samples {np.median(neighbours.distances[0]):.3f}, of test images "
        f"{neighbours.held_out:.3f}, of their reconstructions {neighbours.held_out_decoded:.3f}",
        fontsize=14,
    )
    return figure


FIGURE = ModelFigure(
    name="neighbours",
    order=40,
    caption="Samples over the training images nearest in pixels; a memorised one would be at a distance near 0.",
    compute=lambda model: compute_neighbours(model.model, model.data, model.seed),
    draw=draw_neighbours,
)
