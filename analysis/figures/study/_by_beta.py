"""What the figures over the KL weight share: the complete trials, and their dots.

N complete trials.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import NullFormatter

from analysis.figures.plotly_style import SYMBOLS, add_dots, coloured
from analysis.figures.style import BETA_LABEL, DARK, SEQUENTIAL, Look, depth_markers, log_ticks, size_norm, size_ticks
from analysis.reading.frames import complete_trials

NO_TRIALS = "No trial is complete yet: what the KL weight does is unknown"


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
        return len(self.beta) > 0 and 0 < self.beta.min() < self.beta.max()

    @property
    def sizes(self) -> ScalarMappable:
        """The colours of the latent sizes."""
        return ScalarMappable(size_norm(self.latent_dim), SEQUENTIAL)


def compute_by_beta(trials: pd.DataFrame) -> ByBeta:
    """From `analysis.load_trials`."""
    known = complete_trials(trials)
    whole = (known[name].to_numpy(int) for name in ("number", "latent_dim", "depth", "val_active_units"))
    number, latent_dim, depth, active_units = whole
    beta, bits = (known[name].to_numpy(float) for name in ("beta", "val_bits_per_dim"))
    return ByBeta(number, beta, latent_dim, depth, bits, active_units)


def draw_dots(axes: Axes, trials: ByBeta, values: np.ndarray, shown: np.ndarray | None = None) -> None:
    """Dots of (N,) values over the KL weight, all or those ``shown``; colour is the latent size."""
    for depth, marker in depth_markers(trials.depth).items():
        chosen = (trials.depth == depth) & (True if shown is None else shown)
        colours: Look = {"c": trials.latent_dim[chosen], "norm": trials.sizes.norm, "cmap": SEQUENTIAL}
        look: Look = {"edgecolors": "white", "linewidths": 1, "zorder": 4, "clip_on": False}
        axes.scatter(trials.beta[chosen], values[chosen], s=110, marker=marker, **colours, **look)
    if trials.logarithmic:
        ticks = log_ticks(float(trials.beta.min()), float(trials.beta.max()))
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(BETA_LABEL, color=DARK)
    axes.grid(True)


def chart_dots(
    figure: go.Figure, trials: ByBeta, values: np.ndarray, shown: np.ndarray | None = None, **place: int
) -> None:
    """The same in a chart: a trace a depth, named once a figure, and not where a panel's title says the depth."""
    color, ticks = np.log2(trials.latent_dim), size_ticks(trials.latent_dim)
    bar: dict[str, Any] = {
        "title": {"text": "latent size"},
        "tickvals": np.log2(ticks),
        "ticktext": list(map(str, ticks)),
    }
    first = place.get("col", 1) == 1
    for k, depth in enumerate(np.unique(trials.depth).tolist()):
        chosen = np.flatnonzero((trials.depth == depth) & (True if shown is None else shown))
        if not len(chosen):
            continue
        marker = {"symbol": SYMBOLS[k % len(SYMBOLS)], "size": 11, "color": color[chosen]}
        add_dots(
            figure,
            trials.beta[chosen],
            values[chosen],
            "%{text}",
            text=[_about(trials, n) for n in chosen.tolist()],
            name=f"depth {depth}",
            showlegend=first and shown is None,
            legendgroup=f"depth {depth}",
            marker=coloured(color, "Viridis", bar if first and k == 0 else None) | marker,
            **place,
        )


def _about(trials: ByBeta, n: int) -> str:
    return (
        f"trial {trials.number[n]}: {trials.bits[n]:.4f} bits/dim<br>β {trials.beta[n]:.3g}, depth "
        f"{trials.depth[n]}<br>{trials.active_units[n]} of {trials.latent_dim[n]} latents active"
    )
