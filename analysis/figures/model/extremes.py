"""The test images that the model renders best and worst. N test images, K shown of each kind, images of C x H x W."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.images import decode, unit
from analysis.figures.model.recon import COLUMNS, show_pairs
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import short_names, styled
from analysis.measures.codes import batches, posteriors

_NAME_LENGTH = 12


@dataclass(frozen=True)
class Extremes:
    """Reconstructions by their error, best first and worst first."""

    mse: np.ndarray  # (N,) mean squared error of pixels in [0, 1] of every test image, decoded from its posterior mean
    rows: np.ndarray  # (2, K) test images: the best, the worst
    originals: np.ndarray  # (2, K, C, H, W) in [0, 1]
    decoded: np.ndarray  # (2, K, C, H, W) in [0, 1]
    names: list[list[str]]  # classes of the best and of the worst; empty strings where there is one class


@torch.no_grad()
def compute_extremes(context: ModelContext) -> Extremes:
    """Reconstruct the whole test set from its posterior means, in batches."""
    model, codes, test, classes = context.model, context.codes, context.data.test, context.data.classes
    errors = [
        (model.decode(posteriors(codes, rows, x.device).mean) - x).square().mean((1, 2, 3))
        for rows, x in batches(model, test.images)
    ]
    mse = torch.cat(errors).cpu().numpy()
    order = np.argsort(mse, kind="stable")
    count = min(COLUMNS, max(1, len(order) // 2))
    rows = np.stack([order[:count], order[::-1][:count]])
    originals = unit(test.images[rows])
    decoded = decode(model, codes.mean_NZ[rows.ravel()]).reshape(originals.shape)
    names = [[classes[k] if len(classes) > 1 else "" for k in test.labels[kind]] for kind in rows]
    return Extremes(mse, rows, originals, decoded, names)


@styled
def draw_extremes(extremes: Extremes) -> Figure:
    """Two blocks of originals over reconstructions, error and class below each."""
    height, width = extremes.originals.shape[-2:]
    figure = Figure(figsize=(12, 2 * (2.2 * height / width + 0.55) + 0.5))
    figure.suptitle(
        f"Best and worst reconstructions of {len(extremes.mse):,} test images, by squared error: "
        f"median {np.median(extremes.mse):.4f}",
        fontsize=14,
    )
    named = short_names(chain(*extremes.names), _NAME_LENGTH)
    for k, (axes, kind) in enumerate(zip(figure.subplots(2, 1), ("best", "worst"), strict=True)):
        shown = zip(extremes.mse[extremes.rows[k]], extremes.names[k], strict=True)
        below = [f"{error:.4f}\n{named[name]}".strip() for error, name in shown]
        pairs = np.stack([extremes.originals[k], extremes.decoded[k]])
        show_pairs(axes, pairs, COLUMNS, [f"{kind}:\noriginal", "decoded"], below)
    return figure


FIGURE = ModelFigure(
    name="extremes",
    title="Best and worst reconstructions",
    order=20,
    caption="The test images rendered best and worst, over their reconstructions; below: mean squared error and class.",
    compute=compute_extremes,
    draw=draw_extremes,
)
