"""What each latent does: one test image's code, moved along one latent at a time, R of them, to T positions."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.figures.images import decode, unit, varied_rows
from analysis.figures.model.kl_latents import compute_kl_latents
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import OKABE_ITO, Look, latents, short_name, show_tiles, styled

_ROWS, _POSITIONS, _REACH = 8, 13, 3.0


@dataclass(frozen=True)
class Traversal:
    """One test image's code with one latent replaced, for the latents of the largest KL, largest first."""

    image: np.ndarray  # (C, H, W) in [0, 1]
    name: str  # its class
    latents: np.ndarray  # (R,) indices
    kl: np.ndarray  # (R,) nats per image, averaged over the test set
    own: np.ndarray  # (R,) the image's own posterior mean
    positions: np.ndarray  # (T,) what the latent is set to
    decoded: np.ndarray  # (R, T, C, H, W) in [0, 1]
    latent_dim: int
    unit: str  # of a latent's value


def compute_traversal(context: ModelContext) -> Traversal:
    """Traverse at most 8 latents from -3 to 3 from one test image's posterior mean (as in Higgins et al.
    2017, beta-VAE, ICLR)."""
    data, mean_NZ = context.data, context.codes.mean_NZ
    spread = compute_kl_latents(*context.codes)
    chosen = spread.latents[:_ROWS]
    row = varied_rows(data.test.labels, 1, context.seed)[0]
    positions = np.linspace(-_REACH, _REACH, _POSITIONS)
    z = np.tile(mean_NZ[row], (len(chosen), _POSITIONS, 1))
    z[np.arange(len(chosen)), :, chosen] = positions
    image, name = unit(data.test.images[row]), data.classes[data.test.labels[row]]
    decoded = decode(context.model, z.reshape(-1, z.shape[-1])).reshape(*z.shape[:2], *image.shape)
    own, size = mean_NZ[row, chosen], z.shape[-1]
    return Traversal(image, name, chosen, spread.kl[:_ROWS], own, positions, decoded, size, context.unit)


@styled
def draw_traversal(traversal: Traversal) -> Figure:
    """A row a latent: the image, then decoded from left to right; a frame where the image's own code is."""
    rows, _, channels, height, width = traversal.decoded.shape
    image = np.broadcast_to(traversal.image, (rows, 1, channels, height, width))
    figure = Figure(figsize=(12, max(0.74 * height / width, 0.5) * rows + 1.2))
    axes = figure.subplots()
    labels = [f"latent {k}\n{nats:.2f} nats" for k, nats in zip(traversal.latents, traversal.kl, strict=True)]
    centres = show_tiles(axes, np.concatenate([image, traversal.decoded], 1), labels)
    axes.tick_params(axis="y", labelsize=11)
    ticks = ["image", *(f"{value:g}" for value in traversal.positions[::2])]
    axes.set_xticks([centres[0], *centres[1::2]], ticks)
    axes.set_xlabel(f"the latent's value, in {traversal.unit}")
    margin = max(1, round(width / 14)) / 2  # the frame is in the gap around a tile
    look: Look = {"fill": False, "edgecolor": OKABE_ITO["vermillion"], "linewidth": 2, "clip_on": False}
    for own, y in zip(traversal.own, axes.get_yticks(), strict=True):
        x = centres[1 + np.abs(traversal.positions - own).argmin()]
        corner = x - width / 2 - margin, y - height / 2 - margin
        axes.add_patch(Rectangle(corner, width + 2 * margin, height + 2 * margin, **look))
    most = f"the {rows} of largest KL of " if rows < traversal.latent_dim else ""
    figure.suptitle(
        f"Latent traversals of a test image (class {short_name(traversal.name, 30)}): "
        f"{most}{latents(traversal.latent_dim)}; framed: its own code",
        fontsize=14,
    )
    return figure


FIGURE = ModelFigure(
    name="traversal",
    title="Latent traversals",
    order=60,
    caption="One test image's code with one latent moved at a time (framed: nearest to its own code); a row that does "
    "not change carries little of what its codes could say.",
    compute=compute_traversal,
    draw=draw_traversal,
)
