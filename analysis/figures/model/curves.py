"""How one run was trained: its losses by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True)
class Curves:
    """One run's metrics, each (epochs,); nats per image but for the bits."""

    epoch: np.ndarray
    train: dict[str, np.ndarray]  # ``loss distortion rate``, as training saw them
    validation: dict[str, np.ndarray]
    """The same on the validation images, the loss with the KL weight of the epoch; and ``bits_per_dim``."""


def compute_curves(rows: Sequence[Mapping[str, float]]) -> Curves:
    """The columns of a run's rows (`trainables.training.loop.fit`)."""

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows], dtype=float)

    train = {name: column(f"train_{name}") for name in ("loss", "distortion", "rate")}
    # loss = D + w R with a weight w that may warm up: each epoch's weight follows from its sums
    rate = np.where(train["rate"] > 0, train["rate"], 1.0)
    weight = (train["loss"] - train["distortion"]) / rate
    validation = {name: column(f"val_{name}") for name in ("distortion", "rate", "bits_per_dim")}
    validation["loss"] = validation["distortion"] + weight * validation["rate"]
    return Curves(column("epoch"), train, validation)


@styled
def draw_curves(curves: Curves) -> Figure:
    """Loss, distortion, rate and bits per dimension of one run, training against validation."""
    if not len(curves.epoch):
        return draw_note("The run has not finished its first epoch")
    figure = Figure(figsize=(12, 7.5))
    panels = figure.subplots(2, 2).ravel()
    marker = "o" if len(curves.epoch) < 40 else None
    for axes, (name, label) in zip(panels, _LABELS.items(), strict=True):
        if name in curves.train:
            look: Look = {"ls": "-", "color": OKABE_ITO["blue"], "label": "training"}
            axes.plot(curves.epoch, curves.train[name], marker=marker, **look)
        look = {"ls": "--", "color": OKABE_ITO["vermillion"], "label": "validation"}
        axes.plot(curves.epoch, curves.validation[name], marker=marker, **look)
        axes.set(ylabel=label, xlabel="epoch")
        axes.grid(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    bits = curves.validation["bits_per_dim"]
    best = int(bits.argmin())
    label = f"best: {bits[best]:.3f} at epoch {curves.epoch[best]:.0f}"
    panels[3].plot(curves.epoch[best], bits[best], "*", ms=18, color=OKABE_ITO["orange"], mec=DARK, label=label)
    panels[0].legend()
    panels[3].legend()
    return figure


FIGURE = ModelFigure(
    name="curves",
    order=140,
    caption="Training (solid) against validation (dashed); a widening gap is overfitting.",
    compute=lambda model: compute_curves(model.rows),
    draw=draw_curves,
    possible=lambda model: len(model.rows) > 0,
)
