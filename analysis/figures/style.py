"""How every figure looks: sizes that read from the back of a room, colours that everyone can tell apart."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from itertools import accumulate, cycle, takewhile
from textwrap import fill
from typing import Any, NamedTuple, ParamSpec

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from analysis.reading.states import WORDS
from vae_models import ModelConfig

P = ParamSpec("P")
Look = dict[str, Any]
"""Options of how something is drawn."""

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.labelsize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "legend.frameon": False,
    "legend.fontsize": 12,
    "lines.linewidth": 2,
    "figure.constrained_layout.use": True,
    "axes.formatter.useoffset": False,
}
DARK = "#1a1a1a"
FADED = "#9a9a9a"
OKABE_ITO = {  # Okabe & Ito 2008, jfly.uni-koeln.de/color
    "blue": "#0072B2",
    "orange": "#E69F00",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "black": "#000000",
}
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"]
"""The same markers in plotly's words."""
LINEAR = OKABE_ITO["purple"]
"""Of the best linear model."""
RING: Look = {"marker": "o", "ls": "", "mfc": "none", "mec": OKABE_ITO["vermillion"], "mew": 2.5}
"""Around the best."""
HALO = [patheffects.withStroke(linewidth=3, foreground="white")]
SIZE_LABEL = "latent size"
BETA_LABEL = "KL weight β"
BITS_LABEL = "validation bits per dimension"
RATE_LABEL = "rate R: KL(q(z|x), prior) (nats per image)"
TITLES = {"beta": BETA_LABEL, "latent_dim": SIZE_LABEL, "depth": "depth", "lr": "learning rate"}
"""Column -> what it is called."""
JUDGED_BY = {
    "excess": "excess at its own KL weight (nats per image)",
    "val_bits_per_dim": BITS_LABEL,
    "val_relative_loss": "loss over a linear model's, mean over KL weights",
}
"""`analysis.reading.study_record.StudyRecord.judged_by` -> what it is called."""
JUDGED_SHORT = {"excess": "excess (nats)", "val_bits_per_dim": "bits/dim", "val_relative_loss": "of a linear model's"}
"""The same where there is little room."""
_WHITE = 0.9  # of an edge that looks white, in [0, 1]
SEQUENTIAL = "viridis"


class StateStyle(NamedTuple):
    """How trials that ended in one way look in every figure and chart."""

    word: str
    color: str
    line: str  # of matplotlib
    dash: str  # the same of plotly


STATES = {
    "COMPLETE": StateStyle(WORDS["COMPLETE"], OKABE_ITO["blue"], "-", "solid"),
    "PRUNED": StateStyle(WORDS["PRUNED"], FADED, "--", "dash"),
    "FAIL": StateStyle(WORDS["FAIL"], OKABE_ITO["vermillion"], ":", "dot"),
    "RUNNING": StateStyle(WORDS["RUNNING"], OKABE_ITO["green"], "-.", "dashdot"),
    "INTERRUPTED": StateStyle(WORDS["INTERRUPTED"], OKABE_ITO["purple"], "-.", "dashdot"),
    "WAITING": StateStyle(WORDS["WAITING"], FADED, "-", "solid"),
}


@contextmanager
def house_style(**more: Any) -> Iterator[None]:
    """Inside, figures look like this whatever the caller's own settings, or those in a person's matplotlibrc."""
    with mpl.style.context(["default", _STYLE | more]):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """The drawing function, under this style whatever the caller's own settings."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with house_style():
            return draw(*args, **kwargs)

    return inner


def by_depth(depth: np.ndarray) -> list[tuple[str, np.ndarray, str, str]]:
    """Of each of the depths (N,), lowest first: its name, which runs have it (N,), its marker and plotly's symbol."""
    looks = zip(np.unique(depth).tolist(), cycle(_MARKERS), cycle(SYMBOLS), strict=False)
    return [(f"depth {each}", depth == each, marker, symbol) for each, marker, symbol in looks]


def depth_handles(depth: np.ndarray, size: float) -> list[Line2D]:
    """The legend's entries of the depths (N,)."""
    look: Look = {"ls": "", "color": "0.35", "ms": size}
    return [Line2D([], [], marker=marker, label=label, **look) for label, _, marker, _ in by_depth(depth)]


def class_styles(count: int) -> list[tuple[Any, str]]:
    """A colour and a marker for each class: Okabe & Ito's up to 7, Petroff's ten (2021, arXiv:2107.02270)
    above (of ten colours, five have the same brightness as another: the marker changes after five)."""
    if count <= 7:
        return [(color, "o") for color in list(OKABE_ITO.values())[:count]]
    colors = mpl.color_sequences["petroff10"]
    return [(colors[k % 10], _MARKERS[k // 5 % len(_MARKERS)]) for k in range(count)]


def plain(text: object) -> str:
    """Text that matplotlib shows as it is: no formula between dollars, no label hidden by its underscore, and no boxes
    for letters that the font lacks. Those are escaped, as are what nobody sees and what turns the text around."""
    return _without_markup("\n".join("".join(map(_drawn, line)) for line in str(text).split("\n")))


def short_name(text: str, width: int) -> str:
    """A name from elsewhere, such as a class's, as `plain` has it: in one line, of at most ``width`` characters, those
    of escapes counted. Of a longer one the middle is left out: names that begin alike end otherwise."""
    return _without_markup(_shortened(text, width))


def short_names(texts: Iterable[str], width: int) -> dict[str, str]:
    """Each of the names of one figure -> what `short_name` makes of it; of those that would look alike what sets them
    apart is shown, and a number where that has no room."""
    alike = defaultdict(list)
    for text in dict.fromkeys(texts):
        alike[_shortened(text, width)].append(text)
    found: dict[str, str] = {}
    for short, group in alike.items():
        shown = [short] if len(group) == 1 else [_apart(text, group, width) for text in group]
        for k, (text, one) in enumerate(zip(group, shown, strict=True), start=1):
            is_taken = shown.count(one) > 1 or one in found.values()
            found[text] = f"{_shortened(text, width - 1 - len(str(k)))} {k}" if is_taken else one
    return {text: _without_markup(one) for text, one in found.items()}


def _apart(text: str, group: list[str], width: int) -> str:
    """The part of a name that the others of its group have not, between the beginning and the end of it."""
    start = _in_common(group)
    end = min(_in_common([one[::-1] for one in group]), min(map(len, group)) - start)
    own = _shortened(text[start : len(text) - end], width - 2)
    head = _fitting(list(map(_drawn, text[:start])), width - 2 - len(own))
    return "".join([*head, "…" * (len(head) < start), own, "…" * (end > 0)])


def _in_common(texts: list[str]) -> int:
    """Letters with which all begin."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False)))


def _shortened(text: str, width: int) -> str:
    drawn = list(map(_drawn, text))
    if sum(map(len, drawn)) > width:
        most = (width - 1) // 2
        tail = _fitting(drawn[::-1], most)[::-1]
        drawn = [*_fitting(drawn, width - 1 - sum(map(len, tail))), "…", *tail]
    return "".join(drawn)


def _fitting(drawn: list[str], width: int) -> list[str]:
    """The first letters, as many as have room."""
    return drawn[: bisect_right(list(accumulate(map(len, drawn))), width)]


def _drawn(letter: str) -> str:
    is_seen = letter.isprintable() and ord(letter) in _letters()
    return letter if is_seen else letter.encode("unicode_escape").decode()


def _without_markup(text: str) -> str:
    shown = text.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


@cache
def _letters() -> frozenset[int]:
    """The code points that the figures' font has."""
    return frozenset(get_font(findfont(_STYLE["font.family"])).get_charmap())


def distortion_label(likelihood: str) -> str:
    """Of an axis of distortions under a likelihood, by its words (`ModelConfig.likelihood_words`)."""
    return f"distortion D: -E[log p(x|z)], {likelihood} (nats per image)"


def of_pixels(model: ModelConfig) -> str:
    """What stands behind "bits per dimension" of a model's images: nothing but where they are binary."""
    return " of binary pixels" if model.is_binary else ""


def linear_label(latent_dim: int) -> str:
    """What the best linear model is called."""
    return f"best linear model (PCA, latent size {latent_dim})"


def wrapped(text: str, width: int) -> str:
    """A name in lines of at most ``width`` characters, cut within a word where it must be; its own lines stay."""
    return "\n".join(fill(line, width) for line in text.split("\n"))


def shorten(text: str, width: int) -> str:
    """A label of at most ``width`` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def whole_numbers(axis: Axis) -> None:
    """Label an axis with whole numbers alone, be there only one."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def latents(count: int) -> str:
    """A number of latents in words: "1 latent", "16 latents"."""
    return "1 latent" if count == 1 else f"{count:,} latents"


@styled
def draw_note(text: str) -> Figure:
    """A figure that says why there is none."""
    figure = Figure(figsize=(9, 3))
    figure.text(0.5, 0.5, plain(text), ha="center", va="center", wrap=True, color="0.25", fontsize=15)
    return figure


def mosaic(images: np.ndarray, gap: int) -> np.ndarray:
    """(R, K, C, H, W) in [0, 1] -> one picture of R x K tiles with white gaps, (height, width, 3).
    Images of neither 1 nor 3 channels are shown by their mean."""
    if images.shape[2] not in (1, 3):
        images = images.mean(2, keepdims=True)
    rows, columns, _, height, width = images.shape
    padded = np.ones((rows, columns, 3, height + gap, width + gap), dtype=np.float32)
    padded[..., :height, :width] = images  # one channel is all three
    picture = padded.transpose(0, 3, 1, 4, 2).reshape(rows * (height + gap), columns * (width + gap), 3)
    return picture[: rows * (height + gap) - gap, : columns * (width + gap) - gap].clip(0, 1)


def _ends_in_white(images: np.ndarray) -> np.ndarray:
    """(R, K, C, H, W) in [0, 1] -> which of them one would not tell from a white page at their edges, (R, K) bool; a
    place without a picture, all white, is none."""
    across, down = images[..., [0, -1], :], images[..., [0, -1]]
    edges = (across.mean((2, 3, 4)) + down.mean((2, 3, 4))) / 2
    return np.asarray((edges > _WHITE) & (images.min((2, 3, 4)) < 1))


def show_tiles(axes: Axes, images: np.ndarray, row_labels: Sequence[str] = (), gap: int | None = None) -> np.ndarray:
    """Draw a `mosaic`, its rows labelled; pictures that end in white, as the page is, have a frame. Returns the tiles'
    centres in x, (K,)."""
    rows, columns, _, height, width = images.shape
    gap = max(1, round(width / 14)) if gap is None else gap
    axes.imshow(mosaic(images, gap), interpolation="nearest", aspect="equal")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])
    frame: Look = {"fill": False, "ec": "0.75", "lw": 0.8, "clip_on": False}
    for row, column in np.argwhere(_ends_in_white(images)).tolist():
        place = column * (width + gap) - 0.5, row * (height + gap) - 0.5
        axes.add_patch(Rectangle(place, width, height, **frame))
    centres = np.arange(rows) * (height + gap) + (height - 1) / 2
    axes.set_yticks(centres[: len(row_labels)], row_labels)
    return np.asarray(np.arange(columns) * (width + gap) + (width - 1) / 2)


def panel_grid(count: int) -> tuple[int, int]:
    """Rows and columns that so many panels, 1 or more, are laid out in."""
    return math.ceil(count / 3), min(count, 3)


def panel_axes(figure: Figure, count: int, **options: Any) -> list[Axes]:
    """The axes of so many panels, in the order in which they are read."""
    grid = figure.subplots(*panel_grid(count), squeeze=False, **options).ravel().tolist()
    for axes in grid[count:]:
        axes.set_visible(False)
    return list(grid[:count])


def log_colors(values: np.ndarray) -> ScalarMappable:
    """The colours of KL weights or latent sizes: on a logarithmic scale where all are positive."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (1.0, 1.0)
    if low == high:
        low, high = (low / 2, high * 2) if low > 0 else (0.0, 1.0)
    return ScalarMappable(LogNorm(low, high) if low > 0 else Normalize(low, high), SEQUENTIAL)


def beta_bar(figure: Figure, scale: ScalarMappable) -> None:
    """The colour bar of KL weights, with numbers that read as they are written."""
    bar = figure.colorbar(scale, ax=figure.axes, label=BETA_LABEL, pad=0.01)
    if isinstance(scale.norm, LogNorm):
        ticks = log_ticks(*scale.get_clim())
        bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
        bar.minorticks_off()


def size_bar(figure: Figure, scale: ScalarMappable, sizes: np.ndarray) -> None:
    """The colour bar of latent sizes."""
    bar, ticks = figure.colorbar(scale, ax=figure.axes, label=SIZE_LABEL, pad=0.01), size_ticks(sizes)
    bar.set_ticks(ticks, labels=[str(tick) for tick in ticks])
    bar.minorticks_off()


def size_ticks(sizes: np.ndarray) -> list[int]:
    """Latent sizes to label: those there are where they are few, powers of two where many."""
    ticks = [int(size) for size in np.unique(sizes)]
    if len(ticks) <= 7:
        return ticks
    return [2**k for k in range(math.ceil(math.log2(ticks[0])), int(math.log2(ticks[-1])) + 1)] or ticks


def log_ticks(low: float, high: float) -> list[float]:
    """Values to label from ``low`` to ``high``: 1, 2, 5 or powers of ten; the ends where one or none fits."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    inside = [step * 10.0**k for k in decades for step in steps if low <= step * 10.0**k <= high]
    return inside if len(inside) > 1 else [low, high]
