"""The page's interactive charts: the same arrays as the figures, drawn by plotly."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from analysis.figures.model.curves import LearningCurves
from analysis.figures.study.history import History
from analysis.figures.study.importance import REMAINDER, SHARE_LABEL
from analysis.figures.study.parallel import Parallel
from analysis.figures.study.rate_distortion import RateDistortion, front_order, hypervolume_words, outside_words
from analysis.figures.study.timeline import STATE_COLORS, Timeline
from analysis.figures.style import BITS_LABEL, OKABE_ITO, TITLES
from analysis.statistics.importance import Importance

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
        height=figure.layout.height or 480,
        legend={"orientation": "h", "y": 1.08},
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,.25)", zeroline=False)
    figure.update_yaxes(gridcolor="rgba(128,128,128,.25)", zeroline=False)
    return figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=CONFIG)


def rate_distortion_chart(plane: RateDistortion) -> go.Figure:
    """Hover a run for its numbers; the dotted lines are equal bits per dimension."""
    figure = go.Figure()
    shown, bottom = ~plane.outside, plane.frame[1][0]
    low, high = plane.rate[shown].min(), plane.rate[shown].max()
    for bits in np.linspace(plane.bits_per_dim[shown].min(), plane.bits_per_dim[shown].max(), 5):
        nats = bits * plane.nats_per_bit
        figure.add_scatter(
            x=[low, high],
            y=[nats - low, nats - high],
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            line={"dash": "dot", "width": 1, "color": NEUTRAL},
        )
        end = max(low, min(high, nats - bottom))
        figure.add_annotation(x=end, y=nats - end, text=f"{bits:.3g} bits/dim", showarrow=False, yshift=9)
    front = front_order(plane)
    figure.add_scatter(
        x=plane.rate[front],
        y=plane.distortion[front],
        mode="lines",
        name="Pareto front",
        hoverinfo="skip",
        line={"color": NEUTRAL, "width": 1.5},
    )
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
                "symbol": SYMBOLS[k % len(SYMBOLS)],
                "size": 9 + 2 * np.log2(plane.latent_dim[chosen]),
                "color": color[chosen],
                "cmin": color.min(),
                "cmax": color.max() + 1e-9,
                "colorscale": "Viridis",
                "showscale": k == 0,
                "colorbar": {"title": {"text": "β"}, **ticks},
                "line": {"width": 1, "color": "white"},
            },
            text=[
                f"{plane.label[n]}<br>β {plane.beta[n]:.3g}, latent size {plane.latent_dim[n]}, depth {depth}"
                f"<br>{plane.bits_per_dim[n]:.4f} bits/dim"
                for n in chosen
            ],
            hovertemplate="%{text}<br>rate %{x:.2f}, distortion %{y:.2f} nats<extra></extra>",
        )
    mark_plane(figure, plane)
    frame_chart(figure, [("", plane)])
    figure.update_xaxes(title="rate R (nats per image)")
    figure.update_yaxes(title="calibrated distortion (nats per image)")
    return figure


def fronts_chart(planes: Sequence[tuple[str, RateDistortion]]) -> go.Figure:
    """The complete trials and the front of each of several studies, by name."""
    figure = go.Figure()
    colors = list(OKABE_ITO.values())[:-1]
    for k, (name, plane) in enumerate(planes):
        front = front_order(plane)
        color, label = colors[k % len(colors)], escape(name)
        figure.add_scatter(
            x=plane.rate[front],
            y=plane.distortion[front],
            mode="lines",
            name=f"front of {label}",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=label,
            line={"color": color, "width": 2},
        )
        figure.add_scatter(
            x=plane.rate,
            y=plane.distortion,
            mode="markers",
            name=label,
            legendgroup=label,
            marker={"color": color, "symbol": SYMBOLS[k % len(SYMBOLS)], "size": 10},
            text=[
                f"{label}, {plane.label[n]}<br>β {plane.beta[n]:.3g}, latent size {plane.latent_dim[n]}, "
                f"depth {plane.depth[n]}<br>{plane.bits_per_dim[n]:.4f} bits/dim"
                for n in range(len(plane.label))
            ],
            hovertemplate="%{text}<br>rate %{x:.2f}, distortion %{y:.2f} nats<extra></extra>",
        )
    frame_chart(figure, planes)
    figure.update_xaxes(title="rate R (nats per image)")
    figure.update_yaxes(title="calibrated distortion (nats per image)")
    return figure


def frame_chart(figure: go.Figure, planes: Sequence[tuple[str, RateDistortion]]) -> None:
    """Leave out the runs that are so far off that the others would be squashed, and say so."""
    said = [f"{name}: {words}" if name else words for name, plane in planes if (words := outside_words(plane))]
    if not said:
        return
    for update, ends in zip(
        (figure.update_xaxes, figure.update_yaxes),
        np.transpose([plane.frame for _, plane in planes], (1, 2, 0)),
        strict=True,
    ):
        update(range=[float(ends[0].min()), float(ends[1].max())])
    figure.add_annotation(
        x=1,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="right",
        yanchor="top",
        align="right",
        showarrow=False,
        text="<br>".join(map(escape, said)) + "<br>(a double click shows all)",
    )


def mark_plane(figure: go.Figure, plane: RateDistortion) -> None:
    """The front's knee, and the hypervolume with the point that it is measured from."""
    if plane.knee is not None:
        figure.add_scatter(
            x=plane.rate[[plane.knee]],
            y=plane.distortion[[plane.knee]],
            mode="markers",
            hoverinfo="skip",
            name="knee of the front",
            marker={"symbol": "diamond-open", "size": 24, "color": NEUTRAL, "line": {"width": 3}},
        )
    if plane.reference is not None and plane.hypervolume is not None:
        figure.add_scatter(
            x=[plane.reference[0]],
            y=[plane.reference[1]],
            mode="markers",
            name="hypervolume's reference",
            marker={"symbol": "cross-thin", "size": 12, "line": {"width": 2, "color": NEUTRAL}},
            hovertemplate=f"{hypervolume_words(plane)}<extra></extra>",
        )


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
                x=history.number[chosen],
                y=history.value[chosen],
                mode="markers",
                name=state.lower(),
                marker={"color": color, "size": 9},
                hovertemplate="trial %{x}: %{y:.4f}<extra></extra>",
            )
    figure.add_scatter(
        x=history.number,
        y=history.best,
        mode="lines",
        name="best so far",
        hoverinfo="skip",
        line={"shape": "hv", "color": OKABE_ITO["orange"]},
    )
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
    bar = {"title": {"text": "bits/dim"}}
    line = {"color": parallel.values[lines], "colorscale": BLUE_TO_ORANGE, "showscale": True, "colorbar": bar}
    return go.Figure(go.Parcoords(dimensions=dimensions, line=line))


def importance_chart(importance: Importance) -> go.Figure:
    """A bar a parameter, with its interval where there is one, and a grey one of what is left; empty where
    the importance is a note."""
    told = importance.intervals
    shares = importance.shares * 100
    error = (
        None
        if told is None
        else {
            "array": [100 * found.high - share for found, share in zip(told, shares, strict=True)],
            "arrayminus": [share - 100 * found.low for found, share in zip(told, shares, strict=True)],
            "color": NEUTRAL,
            "thickness": 2,
            "width": 6,
        }
    )
    ranges = (
        [""] * len(shares)
        if told is None
        else [f"<br>95 % of resampled trials: {found.low:.0%} to {found.high:.0%}" for found in told]
    )
    figure = go.Figure(
        go.Bar(
            x=shares,
            y=[escape(TITLES.get(name, name)) for name in importance.names],
            orientation="h",
            error_x=error,
            marker={"color": OKABE_ITO["blue"]},
            text=ranges,
            textposition="none",
            hovertemplate="%{y}: %{x:.1f} %%{text}<extra></extra>",
        )
    )
    if importance.names:
        figure.add_bar(
            x=[100 * importance.remainder],
            y=[REMAINDER],
            orientation="h",
            marker={"color": NEUTRAL},
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title=SHARE_LABEL, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


DASHES = {"COMPLETE": "solid", "PRUNED": "dash", "FAIL": "dot", "RUNNING": "dashdot"}


def learning_curves_chart(curves: LearningCurves) -> go.Figure:
    """Hover an epoch for its trial; one trace a state, as thousands of traces would be slow."""
    figure = go.Figure()
    color, ticks = beta_colors(curves.beta)
    for state, dash in DASHES.items():
        rows = [k for k, found in enumerate(curves.states) if found == state]
        if not rows:
            continue
        # a gap after each trial keeps its line from the next one's
        x = [epoch for k in rows for epoch in (*range(1, len(curves.values[k]) + 1), None)]
        y = [value for k in rows for value in (*curves.values[k].tolist(), None)]
        lengths = [len(curves.values[k]) + 1 for k in rows]
        texts = [
            f"trial {curves.numbers[k]} ({state.lower()})<br>β {curves.beta[k]:.3g}, latent size {curves.latent_dim[k]}"
            for k in rows
        ]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name="failed" if state == "FAIL" else state.lower(),
            line={"dash": dash, "width": 1, "color": "rgba(128,128,128,.6)"},
            marker={
                "size": 6,
                "color": np.repeat(color[rows], lengths),
                "cmin": color.min(),
                "cmax": color.max() + 1e-9,
                "colorscale": "Viridis",
                "showscale": not figure.data,
                "colorbar": {"title": {"text": "β"}, **ticks},
            },
            text=np.repeat(texts, lengths),
            hovertemplate="%{text}<br>epoch %{x}: %{y:.4f}<extra></extra>",
        )
    if curves.best is not None:
        best = curves.values[curves.best]
        figure.add_scatter(
            x=np.arange(1, len(best) + 1),
            y=best,
            mode="lines",
            hoverinfo="skip",
            name=f"best: trial {curves.numbers[curves.best]}",
            line={"width": 4, "color": OKABE_ITO["vermillion"]},
        )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=BITS_LABEL)
    return figure


def timeline_chart(timeline: Timeline) -> go.Figure:
    """Hover a bar for its trial and how long it took."""
    figure = go.Figure()
    name, size = timeline.unit
    for state, color in STATE_COLORS.items():
        chosen = timeline.state == state
        if not chosen.any():
            continue
        spent = (timeline.end - timeline.start)[chosen] / size
        figure.add_bar(
            x=spent,
            base=timeline.start[chosen] / size,
            y=timeline.lane[chosen],
            orientation="h",
            name="failed" if state == "FAIL" else state.lower(),
            marker={"color": color, "pattern": {"shape": "/" if state == "RUNNING" else ""}},
            text=[
                f"trial {number}: {state.lower()}<br>{each:.3g} {name}"
                for number, each in zip(timeline.number[chosen], spent, strict=True)
            ],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_layout(barmode="overlay", bargap=0.15, title={"text": timeline.title, "font": {"size": 14}})
    figure.update_xaxes(title=f"{name} since the first trial started")
    figure.update_yaxes(title="slot", autorange="reversed", dtick=max(1, timeline.lanes // 10))
    return figure
