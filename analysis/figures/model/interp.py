"""From an image of one class to one of another, through the latent space: on a line and on an arc."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.images import decode, unit, varied_rows
from analysis.figures.registry import ModelContext, ModelFigure
from analysis.figures.style import draw_note, short_name, show_tiles, styled
from analysis.measures.codes import encode

_PAIRS, _STEPS = 4, 9
_Between = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # as `lerp`


@dataclass(frozen=True)
class Interpolations:
    """P pairs of test images and T decoded points between them."""

    ends: np.ndarray  # (P, 2, C, H, W) in [0, 1]: the test images
    decoded: np.ndarray  # (P, 2, T, C, H, W) in [0, 1]: linear, then spherical, or by one path alone (P, 1, ...)
    names: list[tuple[str, str]]  # the classes of each pair


def lerp(a_Z: np.ndarray, b_Z: np.ndarray, t_T: np.ndarray) -> np.ndarray:
    """Points on the line from a to b: (Z,), (Z,), (T,) in [0, 1] -> (T, Z)."""
    return np.asarray((1 - t_T[:, None]) * a_Z + t_T[:, None] * b_Z)


def slerp(a_Z: np.ndarray, b_Z: np.ndarray, t_T: np.ndarray) -> np.ndarray:
    """Points on the great arc from a to b (Shoemake 1985), (T, Z), the norm going linearly from |a| to |b|: samples of
    a Gaussian of many dimensions lie near a sphere, and a line cuts through its empty middle. Vectors that are
    parallel, opposite or zero span no arc; between those it is the line."""
    norm_a, norm_b = np.linalg.norm(a_Z), np.linalg.norm(b_Z)
    if norm_a == 0 or norm_b == 0:
        return lerp(a_Z, b_Z, t_T)
    unit_a, unit_b = a_Z / norm_a, b_Z / norm_b
    angle = np.arccos(np.clip(unit_a @ unit_b, -1, 1))
    if np.sin(angle) < 1e-4:
        return lerp(a_Z, b_Z, t_T)
    weights_a, weights_b = np.sin((1 - t_T) * angle), np.sin(t_T * angle)
    directions = (weights_a[:, None] * unit_a + weights_b[:, None] * unit_b) / np.sin(angle)
    return np.asarray(directions * ((1 - t_T) * norm_a + t_T * norm_b)[:, None])


def compute_interp(
    context: ModelContext, most: int = _PAIRS, paths: Sequence[_Between] = (lerp, slerp)
) -> Interpolations | str:
    """At most so many pairs of test images, of two classes each where there are two, and what lies on the ``paths``
    between them; or why there is none."""
    test, classes = context.data.test, context.data.classes
    rows = varied_rows(test.labels, 2 * most, context.seed)
    rows = rows[: len(rows) // 2 * 2]
    if not len(rows):
        return "An interpolation needs two test images"
    mean_NZ = encode(context.model, test.images[rows]).mean_NZ.astype(np.float64)
    t = np.linspace(0, 1, _STEPS)
    points = [path(a, b, t) for a, b in zip(mean_NZ[::2], mean_NZ[1::2], strict=True) for path in paths]
    decoded = decode(context.model, np.concatenate(points))
    pairs_P2 = rows.reshape(-1, 2)
    names = [(classes[first], classes[last]) for first, last in test.labels[pairs_P2]]
    shaped = decoded.reshape(-1, len(paths), _STEPS, *decoded.shape[1:])
    return Interpolations(unit(test.images[pairs_P2]), shaped, names)


@styled
def draw_interp(interp: Interpolations | str) -> Figure:
    """A block a pair: the linear path over the spherical one, between the two test images."""
    if isinstance(interp, str):
        return draw_note(interp)
    pairs, _, steps, _, height, width = interp.decoded.shape
    figure = Figure(figsize=(12, (1.98 * height / width + 0.42) * pairs + 0.8))
    figure.suptitle("Between two test images: decoded from points on a line and on an arc of the latent space")
    blocks = figure.subplots(pairs, 1, squeeze=False).ravel()
    for axes, ends, decoded, (first, last) in zip(blocks, interp.ends, interp.decoded, interp.names, strict=True):
        left, right = (np.stack([end, end])[:, None] for end in ends)
        centres = show_tiles(axes, np.concatenate([left, decoded, right], 1), ["linear", "spherical"])
        axes.set_title(f"{short_name(first, 40)} → {short_name(last, 40)}", loc="left", fontsize=13, weight="bold")
    blocks[-1].set_xticks(centres, ["image", *(str(Fraction(k, steps - 1)) for k in range(steps)), "image"])
    blocks[-1].set_xlabel("share of the way")
    return figure


FIGURE = ModelFigure(
    name="interp",
    title="Interpolations",
    order=50,
    caption="From one test image to another; a path without ghosts means a well-filled latent space.",
    compute=compute_interp,
    draw=draw_interp,
)
