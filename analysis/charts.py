"""The page's interactive charts: the same arrays as the figures, drawn by plotly."""

from __future__ import annotations

from html import escape

import numpy as np
import plotly.graph_objects as go

from analysis.figures.parallel import Parallel
from analysis.figures.rate_distortion import RateDistortion
from analysis.figures.search import History
from analysis.figures.style import BITS_LABEL, OKABE_ITO

SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"]
NEUTRAL = "#888888"
BLUE_TO_ORANGE = [[0, OKABE_ITO["blue"]], [1, OKABE_ITO["orange"]]]
"""Lower is better and blue; both ends show on white and on black."""
CONFIG = {"displaylogo": False, "responsive": True, "displayModeBar": "hover"}


def to_html(figure: go.Figure, name: str) -> str:
    """A ``<div>`` and its script, without plotly.js itself. Transparent, so that the page's colours show."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 14, "color": NEUTRAL},
        margin={"l": 70, "r": 20, "t": 60, "b": 60},
        height=480,
        legend={"orientation": "h", "y": 1.08},
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,.25)", zeroline=False)
    figure.update_yaxes(gridcolor="rgba(128,128,128,.25)", zeroline=False)
    return figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=CONFIG)


def rate_distortion_chart(plane: RateDistortion) -> go.Figure:
    """Hover a run for its numbers; the dotted lines are equal bits per dimension."""
    figure = go.Figure()
    low, high = plane.rate.min(), plane.rate.max()
    for bits in np.linspace(plane.bits_per_dim.min(), plane.bits_per_dim.max(), 5):
        nats = bits * plane.nats_per_bit
        figure.add_scatter(
            x=[low, high], y=[nats - low, nats - high], mode="lines", hoverinfo="skip", showlegend=False,
            line={"dash": "dot", "width": 1, "color": NEUTRAL},
        )  # fmt: skip
        figure.add_annotation(x=high, y=nats - high, text=f"{bits:.3g} bits/dim", showarrow=False, yshift=9)
    front = np.flatnonzero(plane.is_front)[np.argsort(plane.rate[plane.is_front])]
    figure.add_scatter(
        x=plane.rate[front], y=plane.distortion[front], mode="lines", name="Pareto front", hoverinfo="skip",
        line={"color": NEUTRAL, "width": 1.5},
    )  # fmt: skip
    color, ticks = beta_colors(plane.beta)
    for k, depth in enumerate(sorted(set(plane.depth.tolist()))):
        chosen = np.flatnonzero(plane.depth == depth)
        figure.add_scatter(
            x=plane.rate[chosen],
            y=plane.distortion[chosen],
            mode="markers",
            name=f"depth {depth}",
            marker={
                "opacity": 1,
                "symbol": SYMBOLS[k % len(SYMBOLS)], "size": 9 + 2 * np.log2(plane.latent_dim[chosen]),
                "color": color[chosen], "cmin": color.min(), "cmax": color.max() + 1e-9,
                "colorscale": "Viridis", "showscale": k == 0, "colorbar": {"title": {"text": "β"}, **ticks},
                "line": {"width": 1, "color": "white"},
            },
            text=[
                f"{plane.label[n]}<br>β {plane.beta[n]:.3g}, latent size {plane.latent_dim[n]}, depth {depth}"
                f"<br>{plane.bits_per_dim[n]:.4f} bits/dim" for n in chosen
            ],
            hovertemplate="%{text}<br>rate %{x:.2f}, distortion %{y:.2f} nats<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="rate R (nats per image)")
    figure.update_yaxes(title="calibrated distortion (nats per image)")
    return figure


def beta_colors(beta: np.ndarray) -> tuple[np.ndarray, dict[str, list[float] | list[str]]]:
    """Numbers to colour KL weights by, and the colour bar's ticks: on a log scale where all are positive."""
    if (beta <= 0).any():
        return beta, {}
    values = np.geomspace(beta.min(), beta.max(), 4) if beta.max() > beta.min() else beta[:1]
    return np.log10(beta), {"tickvals": list(np.log10(values)), "ticktext": [f"{v:.2g}" for v in values]}


def history_chart(history: History) -> go.Figure:
    """The value of every trial, and the best so far."""
    figure = go.Figure()
    colors = {"COMPLETE": OKABE_ITO["blue"], "PRUNED": "#999999", "RUNNING": OKABE_ITO["green"]}
    for state, color in colors.items():
        chosen = (history.state == state) & np.isfinite(history.value)
        if chosen.any():
            figure.add_scatter(
                x=history.number[chosen], y=history.value[chosen], mode="markers", name=state.lower(),
                marker={"color": color, "size": 11},
                hovertemplate="trial %{x}: %{y:.4f}<extra></extra>",
            )  # fmt: skip
    figure.add_scatter(
        x=history.number, y=history.best, mode="lines", name="best so far", hoverinfo="skip",
        line={"shape": "hv", "color": OKABE_ITO["orange"]},
    )  # fmt: skip
    figure.update_xaxes(title="trial")
    figure.update_yaxes(title=BITS_LABEL)
    return figure


def parallel_chart(parallel: Parallel) -> go.Figure:
    """Drag along an axis to keep the trials that cross it there."""
    lines = parallel.complete
    dimensions = [
        {
            "label": escape(title.replace("\n", " ")),
            "values": parallel.positions[lines, k],
            "range": [0, 1],
            "tickvals": [position for position, _ in ticks],
            "ticktext": [escape(label) for _, label in ticks],
        }
        for k, (title, ticks) in enumerate(zip(parallel.axes, parallel.ticks, strict=True))
    ]
    line = {"color": parallel.values[lines], "colorscale": BLUE_TO_ORANGE, "showscale": True}
    return go.Figure(go.Parcoords(dimensions=dimensions, line=line))
