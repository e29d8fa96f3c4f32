"""Whether samples repeat training images: each with those nearest to it in pixels.

Q queries, D numbers in an image of C x H x W. Distances are root mean square differences of pixels in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.images import decode, decode_prior, unit
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import show_tiles, styled
from analysis.measures.codes import encode

_SAMPLES, _NEIGHBOURS = 10, 2
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
    held_out_decoded: float  # of its reconstruction, which is as blurred as samples, and so nearer to every other image
    searched: int  # training images looked at, of `of`
    of: int


def compute_neighbours(context: ModelContext) -> Neighbours:
    """Search at most 20,000 of the images that were trained on, drawn by the seed, for the neighbours of 10 samples."""
    model, data, rng = context.model, context.data, np.random.default_rng(context.seed)
    trained = data.training_rows()
    rows = np.sort(rng.permutation(trained)[:SEARCHED])
    samples = decode_prior(model, rng.standard_normal((_SAMPLES, model.config.latent_dim)))
    # fewer of large images: the search takes seconds whatever their size
    count = int(np.clip(_HELD_OUT * 3072 / model.config.dimensions, 50, _HELD_OUT))
    held = data.test.images[np.sort(rng.permutation(len(data.test.images))[:count])]
    queries = np.concatenate([samples, unit(held), decode(model, encode(model, held).mean_NZ)])
    found, distances = nearest(queries, data.train.images, rows, _NEIGHBOURS)
    held_out, held_out_decoded = np.median(distances[_SAMPLES:, 0].reshape(2, -1), axis=1).tolist()
    images, apart = unit(data.train.images[found[:_SAMPLES].T]), distances[:_SAMPLES].T
    return Neighbours(samples, images, apart, held_out, held_out_decoded, len(rows), len(trained))


def nearest(queries: np.ndarray, images: np.ndarray, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The images nearest to each query, (Q, C, H, W) in [0, 1], of those rows of ``images``, (N, C, H, W) uint8, which
    is read in batches: it may be a memory map larger than memory. Returns ``count`` rows, or as many as there are, and
    their distances, both (Q, count), nearest first."""
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
    differences = (queries.astype(np.float64) - unit(images[found_Q]) for found_Q in chosen.T)
    distances = np.stack([np.sqrt((difference**2).mean((1, 2, 3))) for difference in differences], 1)
    exact = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(chosen, exact, 1), np.take_along_axis(distances, exact, 1)


@styled
def draw_neighbours(neighbours: Neighbours) -> Figure:
    """Samples over their neighbours, the distance to the nearest below."""
    rows = 1 + len(neighbours.nearest)
    _, _, height, width = neighbours.samples.shape
    figure = Figure(figsize=(12, 1.03 * height / width * rows + 1.45))
    axes = figure.subplots()
    labels = ["sample", "nearest\ntraining image", "second\nnearest"][:rows]
    centres = show_tiles(axes, np.concatenate([neighbours.samples[None], neighbours.nearest]), labels)
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
    title="Samples and their nearest training images",
    order=40,
    caption="Samples over the training images nearest in pixels; a memorised one would be at a distance near 0.",
    compute=compute_neighbours,
    draw=draw_neighbours,
)
