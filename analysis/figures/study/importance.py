"""Which parameters mattered, by `analysis.statistics.importance`."""

from html import escape

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.figures.plotly_style import NEUTRAL
from analysis.figures.registry import StudyFigure
from analysis.figures.style import DARK, FADED, OKABE_ITO, TITLES, Look, plain, styled
from analysis.statistics.importance import IMPORTANCE_RESAMPLES, Importance, compute_importance

REMAINDER = "interactions and unexplained"
_SHARE_LABEL = "share of the variance of bits per dimension that each explains alone (%)"


def _percents(importance: Importance) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) shares and the ends of their intervals; the shares themselves where there are none."""
    shares = importance.shares * 100
    if importance.intervals is None:
        return shares, shares, shares
    low, high = np.array([(found.low, found.high) for found in importance.intervals]).T * 100
    return shares, low, high


@styled
def draw_importance(importance: Importance) -> Figure:
    """A bar a parameter, a line over its interval, and a grey bar of what is left."""
    names = [plain(TITLES.get(name, name)) for name in importance.names] + [REMAINDER.replace(" ", "\n", 1)]
    figure = Figure(figsize=(10, 1.8 + 0.8 * len(names)))
    axes = figure.subplots()
    rows, rest = np.arange(len(names))[::-1], importance.remainder * 100
    shares, low, high = _percents(importance)
    axes.barh(rows, [*shares, rest], color=[OKABE_ITO["blue"]] * len(shares) + [FADED], height=0.6)
    if importance.intervals is not None:
        look: Look = {"fmt": "none", "ecolor": DARK, "capsize": 6, "elinewidth": 2, "capthick": 2}
        axes.errorbar(shares, rows[:-1], xerr=[shares - low, high - shares], **look)
    for row, share, end in zip(rows, [*shares, rest], [*high, rest], strict=True):
        axes.annotate(f"{share:.0f} %", (end, row), xytext=(9, 0), textcoords="offset points", va="center")
    axes.set_yticks(rows, names)
    axes.set_xlim(0, 110)
    lines = "" if importance.intervals is None else "; lines: 95 % of resampled trials"
    axes.set_xlabel(f"{_SHARE_LABEL}\n{importance.trials} complete trials{lines}")
    return figure


def importance_chart(importance: Importance) -> go.Figure:
    """A bar a parameter, with its interval where there is one, and a grey one of what is left."""
    shares, low, high = _percents(importance)
    error, ranges = None, [""] * len(shares)
    if importance.intervals is not None:
        error = {"array": high - shares, "arrayminus": shares - low, "color": NEUTRAL, "thickness": 2, "width": 6}
        ranges = [f"<br>95 % of resampled trials: {ends.low:.0%} to {ends.high:.0%}" for ends in importance.intervals]
    names = [escape(TITLES.get(name, name)) for name in importance.names]
    figure, hover = go.Figure(), "%{y}: %{x:.1f} %"
    told: Look = {"text": ranges, "textposition": "none", "hovertemplate": f"{hover}%{{text}}<extra></extra>"}
    figure.add_bar(x=shares, y=names, orientation="h", error_x=error, marker={"color": OKABE_ITO["blue"]}, **told)
    rest: Look = {"marker": {"color": NEUTRAL}, "hovertemplate": f"{hover}<extra></extra>"}
    figure.add_bar(x=[100 * importance.remainder], y=[REMAINDER], orientation="h", **rest)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title=_SHARE_LABEL, rangemode="tozero")
    return figure.update_yaxes(autorange="reversed", automargin=True)


FIGURE = StudyFigure(
    name="importance",
    order=40,
    caption="Share of the value's variance that each parameter alone explains: main effects (fANOVA) of a forest of "
    "the complete trials, times the R² of its predictions of trials it has not seen; grey is the rest. Lines "
    "span 95 % of resampled trials.",
    compute=lambda study: compute_importance(
        study.record.trials,
        study.record.columns,
        resamples=IMPORTANCE_RESAMPLES,
        values=study.trials["val_bits_per_dim"].tolist(),
    ),
    note=lambda importance: importance.note,
    draw=draw_importance,
    chart=importance_chart,
)
