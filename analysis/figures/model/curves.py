"""How one run was trained: its losses by epoch."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.registry import ModelFigure
from analysis.figures.style import DARK, OKABE_ITO, Look, draw_note, styled

_LABELS = {
    "loss": "loss D + βR (nats per image)",
    "distortion": "distortion D (nats per image)",
    "rate": "rate R (nats per image)",
    "bits_per_dim": "bits per dimension",
}
_COLUMNS = ["epoch", "train_loss", "train_distortion", "train_rate", "val_distortion", "val_rate", "val_bits_per_dim"]


def compute_curves(rows: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """A run's rows (`trainables.training.loop.fit`), and the ``val_loss`` that they have at their epoch's KL weight."""
    curves = pd.DataFrame(rows, columns=_COLUMNS, dtype=float)
    # loss = D + w R with a weight w that may warm up: each epoch's weight follows from its sums
    weight = (curves.train_loss - curves.train_distortion) / curves.train_rate.where(curves.train_rate > 0, 1.0)
    return curves.assign(val_loss=curves.val_distortion + weight * curves.val_rate)


@styled
def draw_curves(curves: pd.DataFrame) -> Figure:
    """Loss, distortion, rate and bits per dimension of one run, training against validation."""
    if curves.empty:
        return draw_note("The run has not finished its first epoch")
    figure = Figure(figsize=(12, 7.5))
    panels = figure.subplots(2, 2).ravel()
    marker = "o" if len(curves) < 40 else None
    for axes, (name, label) in zip(panels, _LABELS.items(), strict=True):
        if f"train_{name}" in curves:
            axes.plot(curves.epoch, curves[f"train_{name}"], marker=marker, color=OKABE_ITO["blue"], label="training")
        look: Look = {"ls": "--", "color": OKABE_ITO["vermillion"], "label": "validation"}
        axes.plot(curves.epoch, curves[f"val_{name}"], marker=marker, **look)
        axes.set(ylabel=label, xlabel="epoch")
        axes.grid(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    best = curves.iloc[curves.val_bits_per_dim.to_numpy().argmin()]
    label = f"best: {best.val_bits_per_dim:.3f} at epoch {best.epoch:.0f}"
    panels[3].plot(best.epoch, best.val_bits_per_dim, "*", ms=18, color=OKABE_ITO["orange"], mec=DARK, label=label)
    panels[0].legend()
    panels[3].legend()
    return figure


FIGURE = ModelFigure(
    name="curves",
    title="Training curves",
    order=140,
    caption="Training (solid) against validation (dashed); a widening gap is overfitting.",
    compute=lambda model: compute_curves(model.rows),
    draw=draw_curves,
    possible=lambda model: len(model.rows) > 0,
)
