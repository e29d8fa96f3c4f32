"""How every interactive chart looks."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.ticker import MaxNLocator
from plotly.subplots import make_subplots

from analysis.figures.style import BETA_LABEL, RING, Look, log_ticks, panel_grid

NEUTRAL = "#888888"


def to_json(figure: go.Figure) -> str:
    """What plotly.js draws it from, as JSON that a page can hold in a script. Transparent, so that the page's colours
    show."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 14, "color": NEUTRAL},
        margin={"l": 70, "r": 20, "t": 60, "b": 60},
        height=figure.layout.height or 480,
        legend={"orientation": "h", "y": 1.08, "yanchor": "bottom"},  # it grows upwards, away from the dots
        modebar={"orientation": "v"},  # beside the dots, not on the legend
    )
    axis = {"gridcolor": "rgba(128,128,128,.25)", "zeroline": False}
    figure.update_xaxes(**axis).update_yaxes(**axis)
    return str(figure.to_json()).replace("<", r"\u003c")


def panel_chart(count: int, **options: Any) -> tuple[go.Figure, list[Look]]:
    """So many panels, as `analysis.figures.style.panel_axes`; and the row and column of each."""
    rows, columns = panel_grid(count)
    places: list[Look] = [{"row": k // columns + 1, "col": k % columns + 1} for k in range(count)]
    return make_subplots(rows=rows, cols=columns, **options), places


def scale_by_weight(figure: go.Figure, beta: np.ndarray) -> None:
    """Horizontal axes of these KL weights, rising."""
    ticks = log_ticks(float(beta[0]), float(beta[-1]))
    figure.update_xaxes(title=BETA_LABEL, type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


def add_line(figure: go.Figure, x: Any, y: Any, name: str = "", **options: Any) -> None:
    """A line that does not answer the mouse; in the legend where it has a name."""
    options = {"hoverinfo": "skip", "showlegend": bool(name), "name": name} | options
    figure.add_scatter(x=x, y=y, mode="lines", **options)


def add_dots(figure: go.Figure, x: Any, y: Any, hover: str, **options: Any) -> None:
    """Markers; ``hover`` is plotly's template of what is shown at each."""
    figure.add_scatter(x=x, y=y, hovertemplate=f"{hover}<extra></extra>", **{"mode": "markers"} | options)


def add_rings(figure: go.Figure, x: Any, y: Any, name: str, **options: Any) -> None:
    """Around the best, as `analysis.figures.style.RING`; they do not answer the mouse."""
    ring = {"symbol": "circle-open", "size": 13, "color": RING["mec"], "line": {"width": RING["mew"]}}
    figure.add_scatter(x=x, y=y, mode="markers", name=name, marker=ring, hoverinfo="skip", **options)


def whole_ticks(low: float, high: float) -> dict[str, Any]:
    """An axis that shows whole numbers alone; where there are few of them, plotly would show halves."""
    ticks = MaxNLocator(10, integer=True).tick_values(low, high)
    return {"tickvals": [int(tick) for tick in ticks if low <= tick <= high and tick == int(tick)]}


def coloured(values: np.ndarray, colorscale: str, bar: dict[str, Any] | None) -> dict[str, Any]:
    """How a marker looks whose colour is one of ``values``, all that the figure shows; with their colour bar, which
    one value alone has not."""
    look = {"opacity": 1, "colorscale": colorscale, "line": {"width": 1, "color": "white"}}
    low, high = values.min(), values.max()
    if low == high:  # the middle of the scale, as `analysis.figures.style.log_colors`
        low, high, bar = low - 1, high + 1, None
    return look | {"cmin": low, "cmax": high, "showscale": bar is not None, "colorbar": bar}


def beta_colors(beta: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Numbers to colour KL weights by, and the colour bar: on a log scale where all are positive."""
    bar: dict[str, Any] = {"title": {"text": "β"}}
    if (beta <= 0).any():
        return beta, bar
    values = np.geomspace(beta.min(), beta.max(), 4) if beta.max() > beta.min() else beta[:1]
    return np.log10(beta), bar | {"tickvals": list(np.log10(values)), "ticktext": [f"{v:.2g}" for v in values]}
