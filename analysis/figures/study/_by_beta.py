"""What the figures over the KL weight share: the complete trials, and their dots. N complete trials."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from analysis.figures.plotly_style import add_dots, coloured
from analysis.figures.style import (
    BETA_LABEL,
    DARK,
    SIZE_LABEL,
    Look,
    by_depth,
    log_colors,
    log_ticks,
    size_bar,
    size_ticks,
)
from analysis.reading.frames import complete_trials


@dataclass(frozen=True)
class ByBeta:
    """Each (N,), of the trials' best epochs on the validation images."""

    number: np.ndarray
    beta: np.ndarray
    latent_dim: np.ndarray
    depth: np.ndarray
    bits: np.ndarray  # per dimension
    active_units: np.ndarray

    @property
    def note(self) -> str:
        """Why there is nothing to draw, if so."""
        return "" if len(self.number) else "No trial is complete yet: what the KL weight does is unknown"

    @property
    def share(self) -> np.ndarray:
        """Of the latents that are active, (N,) in [0, 1]."""
        return np.asarray(self.active_units / self.latent_dim)

    @property
    def collapsed(self) -> np.ndarray:
        """(N,) bool: no unit is active, so the code says nothing about the image."""
        return np.asarray(self.active_units == 0)

    @property
    def logarithmic(self) -> bool:
        """Whether a logarithmic axis can show the KL weights: all are above 0, and they differ."""
        return bool(0 < self.beta.min() < self.beta.max())

    @property
    def sizes(self) -> ScalarMappable:
        """The colours of the latent sizes."""
        return log_colors(self.latent_dim)

    @property
    def texts(self) -> np.ndarray:
        """(N,) str: each trial's numbers."""
        rows = zip(self.number, self.bits, self.beta, self.depth, self.active_units, self.latent_dim, strict=True)
        texts = [
            f"trial {number}: {bits:.4f} bits/dim<br>β {beta:.3g}, depth {depth}<br>{units} of {size} latents active"
            for number, bits, beta, depth, units, size in rows
        ]
        return np.array(texts)


def compute_by_beta(trials: pd.DataFrame) -> ByBeta:
    """From `analysis.load_trials`."""
    known = complete_trials(trials)
    whole = (known[name].to_numpy(int) for name in ("number", "latent_dim", "depth", "val_active_units"))
    number, latent_dim, depth, active_units = whole
    beta, bits = (known[name].to_numpy(float) for name in ("beta", "val_bits_per_dim"))
    return ByBeta(number, beta, latent_dim, depth, bits, active_units)


def draw_dots(
    axes: Axes, trials: ByBeta, values: np.ndarray, shown: np.ndarray | bool = True, mark: float | None = None
) -> None:
    """Dots of (N,) values over the KL weight, all or those ``shown``; colour is the latent size. The axis reaches to
    a ``mark``, too."""
    look: Look = {"s": 110, "edgecolors": "white", "linewidths": 1, "zorder": 4, "clip_on": False}
    for _, of_depth, marker, _ in by_depth(trials.depth):
        chosen = of_depth & shown
        colors = trials.sizes.to_rgba(trials.latent_dim[chosen])
        axes.scatter(trials.beta[chosen], values[chosen], facecolors=colors, marker=marker, **look)
    weights = np.append(trials.beta, trials.beta[:1] if mark is None else mark)
    low, high = float(weights.min()), float(weights.max())
    if low > 0:
        ticks = log_ticks(low, high) if low < high else [low]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(LogLocator(subs="auto") if low < high else NullLocator())
    axes.set_xlabel(BETA_LABEL, color=DARK)
    axes.grid(True)


def draw_sizes(figure: Figure, trials: ByBeta) -> list[Line2D]:
    """The colour bar of the latent sizes; of one size the legend's entry instead."""
    size = int(trials.latent_dim[0])
    if (trials.latent_dim == size).all():
        return [Line2D([], [], ls="", marker="", label=f"{SIZE_LABEL} {size}")]
    size_bar(figure, trials.sizes, trials.latent_dim)
    return []


def chart_dots(
    figure: go.Figure, trials: ByBeta, values: np.ndarray, place: Look, shown: np.ndarray | bool = True
) -> None:
    """The same in a panel of a chart: a trace a depth, named once a figure, and not where a panel's title says it."""
    color, ticks, first = np.log2(trials.latent_dim), size_ticks(trials.latent_dim), place["col"] == 1
    bar: dict[str, Any] = {"title": {"text": SIZE_LABEL}, "tickvals": np.log2(ticks), "ticktext": list(map(str, ticks))}
    for k, (label, of_depth, _, symbol) in enumerate(by_depth(trials.depth)):
        chosen = of_depth & shown
        if chosen.any():
            look = coloured(color, "Viridis", bar if first and k == 0 else None)
            look |= {"symbol": symbol, "size": 11, "color": color[chosen]}
            legend: Look = {"name": label, "legendgroup": label, "showlegend": first and shown is True}
            dots = {"text": trials.texts[chosen], "marker": look, **legend, **place}
            add_dots(figure, trials.beta[chosen], values[chosen], "%{text}", **dots)
