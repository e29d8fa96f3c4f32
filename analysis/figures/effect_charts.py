"""Interactive charts of what the parameters do, drawn by plotly from the figures' arrays."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from analysis.figures.charts import SYMBOLS
from analysis.figures.study.by_beta import ByBeta
from analysis.figures.study.contour import Axis, Contours
from analysis.figures.style import BETA_LABEL, BITS_LABEL, OKABE_ITO


def bits_by_beta_chart(trials: ByBeta) -> go.Figure:
    """A panel a depth; hover a trial for its numbers. Colour is the latent size, of dots and curves."""
    rows, columns = trials.shape
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.03,
        vertical_spacing=0.12,
        subplot_titles=[panel.title for panel in trials.panels],
    )
    low, high = np.log2([trials.latent_dim.min(), trials.latent_dim.max()])
    for k, panel in enumerate(trials.panels):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        for curve in panel.curves:
            share = 0.0 if high == low else (math.log2(curve.latent_dim) - low) / (high - low)
            (color,) = sample_colorscale("Viridis", share)
            figure.add_scatter(
                x=np.concatenate([curve.beta, curve.beta[::-1]]),
                y=np.concatenate([curve.low, curve.high[::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=color.replace("rgb(", "rgba(").replace(")", ", 0.25)"),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                **place,
            )
            figure.add_scatter(
                x=curve.beta,
                y=curve.middle,
                mode="lines",
                line={"color": color},
                name="mean expected",
                hovertemplate=f"latent size {curve.latent_dim}<br>%{{y:.4f}} expected<extra></extra>",
                showlegend=False,
                **place,
            )
        add_trials(figure, trials, trials.bits, panel.chosen, **place)
    figure.update_xaxes(type="log" if trials.logarithmic else "linear")
    figure.update_xaxes(title=BETA_LABEL, row=rows)
    figure.update_yaxes(range=trials.span)
    figure.update_yaxes(title=BITS_LABEL, col=1)
    figure.update_layout(height=120 + 380 * rows)
    return figure


def active_units_chart(trials: ByBeta) -> go.Figure:
    """Counts on the left, shares of the latent size on the right; crosses where the code collapsed."""
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    for column, values in enumerate((trials.active_units, 100 * trials.share), 1):
        add_trials(figure, trials, values, row=1, col=column)
        if trials.collapsed.any():
            figure.add_scatter(
                x=trials.beta[trials.collapsed],
                y=values[trials.collapsed],
                mode="markers",
                name="collapsed",
                marker={"symbol": "x", "size": 13, "color": OKABE_ITO["vermillion"]},
                hoverinfo="skip",
                showlegend=column == 1,
                legendgroup="collapsed",
                row=1,
                col=column,
            )
    figure.update_xaxes(title=BETA_LABEL, type="log" if trials.logarithmic else "linear")
    figure.update_yaxes(title="active units", rangemode="tozero", col=1)
    figure.update_yaxes(title="active units (% of the latent size)", rangemode="tozero", col=2)
    return figure


def add_trials(
    figure: go.Figure, trials: ByBeta, values: np.ndarray, shown: np.ndarray | None = None, **place: int
) -> None:
    """A trace a depth of (N,) values over the KL weight, all or those ``shown``; colour is the latent size.
    Named once a figure, and not where a panel's title says the depth."""
    color = np.log2(trials.latent_dim)
    sizes = np.unique(trials.latent_dim)
    if len(sizes) > 7:
        sizes = 2 ** np.arange(math.ceil(color.min()), math.floor(color.max()) + 1)
    bar = {"title": {"text": "latent size"}, "tickvals": np.log2(sizes), "ticktext": [str(n) for n in sizes]}
    first = place.get("col", 1) == 1
    for k, depth in enumerate(sorted(set(trials.depth.tolist()))):
        chosen = np.flatnonzero((trials.depth == depth) & (True if shown is None else shown))
        if not len(chosen):
            continue
        figure.add_scatter(
            x=trials.beta[chosen],
            y=values[chosen],
            mode="markers",
            name=f"depth {depth}",
            showlegend=first and shown is None,
            legendgroup=f"depth {depth}",
            marker={
                "opacity": 1,
                "symbol": SYMBOLS[k % len(SYMBOLS)],
                "size": 11,
                "color": color[chosen],
                "cmin": color.min(),
                "cmax": color.max() + 1e-9,
                "colorscale": "Viridis",
                "showscale": first and k == 0,
                "colorbar": bar,
                "line": {"width": 1, "color": "white"},
            },
            text=[about(trials, n) for n in chosen.tolist()],
            hovertemplate="%{text}<extra></extra>",
            **place,
        )


def about(trials: ByBeta, n: int) -> str:
    return (
        f"trial {trials.number[n]}: {trials.bits[n]:.4f} bits/dim<br>β {trials.beta[n]:.3g}, depth "
        f"{trials.depth[n]}<br>{trials.active_units[n]} of {trials.latent_dim[n]} latents active"
    )


def contour_chart(contours: Contours) -> go.Figure:
    """A panel a pair of parameters; hover a trial for what it drew. Empty where the contours are a note."""
    if contours.note:
        return go.Figure()
    columns = min(len(contours.panels), 3)
    rows = math.ceil(len(contours.panels) / columns)
    levels = contours.levels
    # a colour scale each: plotly.js 4 never comes to an end where a contour and markers share a colour axis
    lines = {"start": levels[0], "end": levels[-1], "size": levels[1] - levels[0], "coloring": "fill"}
    figure = make_subplots(rows=rows, cols=columns, horizontal_spacing=0.09, vertical_spacing=0.16)
    for k, panel in enumerate(contours.panels):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        figure.add_contour(
            x=panel.grid_x,
            y=panel.grid_y,
            z=panel.bits,
            zmin=levels[0],
            zmax=levels[-1],
            colorscale="Cividis",
            showscale=k == 0,
            colorbar={"title": {"text": "bits/dim"}},
            hoverinfo="skip",
            contours=lines,
            line={"width": 0.5, "color": "white"},
            **place,
        )
        figure.add_scatter(
            x=panel.x.position,
            y=panel.y.position,
            mode="markers",
            showlegend=False,
            marker={
                "size": 8,
                "color": contours.values,
                "cmin": levels[0],
                "cmax": levels[-1],
                "colorscale": "Cividis",
                "line": {"width": 1, "color": "white"},
            },
            text=[
                f"trial {number}: {value:.4f} bits/dim<br>{stated(panel.x, n)}<br>{stated(panel.y, n)}"
                for n, (number, value) in enumerate(zip(contours.number, contours.values, strict=True))
            ],
            hovertemplate="%{text}<extra></extra>",
            **place,
        )
        figure.update_xaxes(**ticked(panel.x), **place)
        figure.update_yaxes(**ticked(panel.y), **place)
    figure.update_layout(height=120 + 340 * rows)
    return figure


def stated(axis: Axis, n: int) -> str:
    return escape(f"{axis.title} {axis.drawn[n]}")


def ticked(axis: Axis) -> dict[str, Any]:
    """An axis over positions in [0, 1], labelled by what was drawn."""
    return {
        "title": escape(axis.title),
        "range": [-0.05, 1.05],
        "automargin": True,
        "tickvals": [place for place, _ in axis.ticks],
        "ticktext": [escape(label) for _, label in axis.ticks],
    }
