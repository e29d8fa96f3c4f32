"""How one run was trained: its losses by epoch."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.registry import ModelFigure
from analysis.figures.style import DARK, OKABE_ITO, Look, draw_note, styled
from trainables.metrics import RATES, at_rate

_LABELS = {
    "loss": "loss D + βR (nats per image)",
    "distortion": "distortion D (nats per image)",
    "rate": "rate R (nats per image)",
    "bits_per_dim": "bits per dimension",
}
_COLUMNS = ["epoch", "train_loss", "train_distortion", "train_rate", "val_distortion", "val_rate", "val_bits_per_dim"]
_VALIDATION: Look = {"color": OKABE_ITO["vermillion"], "label": "validation"}
_RELATIVE = "val_relative_loss"
_WEIGHTS = {0: "lowest KL weight", RATES // 2: "middle", RATES - 1: "highest"}  # of a multi-rate network, by place
_OF_WEIGHTS = tuple(_LABELS)[1:]  # what it has at each
_AT_WEIGHTS = [at_rate(f"val_{name}", place) for name in _OF_WEIGHTS for place in _WEIGHTS]


def compute_curves(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """A run's rows (`trainables.training.loop.fit`), and the ``val_loss`` that they have at their epoch's KL weight;
    of a multi-rate network, which was trained at others than it is validated at, what is validated alone."""
    if rows and _RELATIVE in rows[0]:
        return pd.DataFrame(rows, columns=["epoch", _RELATIVE, *_AT_WEIGHTS], dtype=float)
    curves = pd.DataFrame(rows, columns=_COLUMNS, dtype=float)
    # loss = D + w R with a weight w that may warm up: each epoch's weight follows from its sums
    weight = (curves.train_loss - curves.train_distortion) / curves.train_rate.where(curves.train_rate > 0, 1.0)
    return curves.assign(val_loss=curves.val_distortion + weight * curves.val_rate)


@styled
def draw_curves(curves: pd.DataFrame) -> Figure:
    """Loss, distortion, rate and bits per dimension of one run, training against validation; of a multi-rate network
    what judges it, and the others at three of its KL weights, in validation."""
    if curves.empty:
        return draw_note("The run has not finished its first epoch")
    figure = Figure(figsize=(12, 7.5))
    panels = dict(zip(_LABELS, figure.subplots(2, 2).ravel(), strict=True))
    marker = "o" if len(curves) < 40 else None
    for name, axes in panels.items():
        axes.set(ylabel=_LABELS[name], xlabel="epoch")
        axes.grid(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if _RELATIVE in curves:
        _draw_weights(panels, curves, marker)
    else:
        _draw_training(panels, curves, marker)
    return figure


def _draw_training(panels: Mapping[str, Axes], curves: pd.DataFrame, marker: str | None) -> None:
    for name, axes in panels.items():
        if f"train_{name}" in curves:
            axes.plot(curves.epoch, curves[f"train_{name}"], marker=marker, color=OKABE_ITO["blue"], label="training")
        axes.plot(curves.epoch, curves[f"val_{name}"], marker=marker, ls="--", **_VALIDATION)
    _star(panels["bits_per_dim"], curves, "val_bits_per_dim")
    panels["loss"].legend()


def _draw_weights(panels: Mapping[str, Axes], curves: pd.DataFrame, marker: str | None) -> None:
    panels["loss"].set_ylabel("loss over a linear model's, mean")
    panels["loss"].plot(curves.epoch, curves[_RELATIVE], marker=marker, ls="--", **_VALIDATION)
    _star(panels["loss"], curves, _RELATIVE)
    for name in _OF_WEIGHTS:
        for (place, weight), color in zip(_WEIGHTS.items(), ("sky", "vermillion", "black"), strict=True):
            values = curves[at_rate(f"val_{name}", place)]
            panels[name].plot(curves.epoch, values, marker=marker, ls="--", color=OKABE_ITO[color], label=weight)
    panels["distortion"].legend()


def _star(axes: Axes, curves: pd.DataFrame, name: str) -> None:
    """The epoch of a column's lowest value."""
    best = curves.iloc[curves[name].to_numpy().argmin()]
    label = f"best: {best[name]:.3f} at epoch {best.epoch:.0f}"
    axes.plot(best.epoch, best[name], "*", ms=18, color=OKABE_ITO["orange"], mec=DARK, label=label)
    axes.legend()


FIGURE = ModelFigure(
    name="curves",
    title="Training curves",
    order=140,
    caption="Training (solid) against validation (dashed); a widening gap is overfitting. Of a multi-rate network: "
    "validation at three of its KL weights, and the mean over all that are measured, by which it is judged.",
    compute=lambda model: compute_curves(model.rows),
    draw=draw_curves,
    possible=lambda model: len(model.rows) > 0,
)
