"""How many latents carry information, by the KL weight, and how many a linear model would use. N complete trials, G
points of a curve."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.figures.plotly_style import add_line, panel_chart
from analysis.figures.registry import StudyContext, StudyFigure, of_plain_trials
from analysis.figures.study._by_beta import ByBeta, chart_dots, compute_by_beta, draw_dots, draw_sizes
from analysis.figures.style import BETA_LABEL, LINEAR, OKABE_ITO, Look, depth_handles, linear_label, panel_axes, styled
from trainables.errors import UserError

_POINTS = 400
_PURPLE = (
    "The purple line is how many of the training images' principal components are worth coding at each KL weight: "
    "those whose variance is above it."
)
_FEW = 8  # units below which an axis of its own would count in halves


@dataclass(frozen=True)
class ActiveUnits:
    """The trials, and the units of the best linear model of the training images at their largest latent size."""

    trials: ByBeta
    beta: np.ndarray  # (G,) from the lowest KL weight of a trial to the highest; empty where there is no such model
    linear: np.ndarray  # (G,) active units there


def _compute(study: StudyContext) -> ActiveUnits:
    trials, none = compute_by_beta(study.trials), np.empty(0)
    with suppress(UserError):  # the rate-distortion plane says why
        low, high = trials.beta[trials.beta > 0].min(initial=np.inf), trials.beta.max(initial=0)
        if 0 < low < high:
            beta = np.geomspace(low, high, _POINTS)
            return ActiveUnits(trials, beta, study.linear.optimum(beta).active_units)
    return ActiveUnits(trials, none, none)


@styled
def draw_active_units(found: ActiveUnits) -> Figure:
    """Counts on the left, shares of the latent size on the right; crosses where the code collapsed."""
    trials = found.trials
    figure = Figure(figsize=(14, 6))
    counts, shares = panel_axes(figure, 2)
    handles = depth_handles(trials.depth, 10)
    for axes, values in ((counts, trials.active_units), (shares, trials.share)):
        draw_dots(axes, trials, values)
        if trials.collapsed.any():
            cross: Look = {"ms": 13, "mec": "white", "color": OKABE_ITO["vermillion"], "zorder": 5, "clip_on": False}
            label = f"collapsed: {trials.collapsed.sum()} of {len(trials.number)} trials"
            crosses = axes.plot(trials.beta[trials.collapsed], values[trials.collapsed], "X", label=label, **cross)
    if len(found.beta):
        look: Look = {
            "color": LINEAR,
            "lw": 2.2,
            "ds": "steps-mid",
            "zorder": 2,
            "label": linear_label(trials.latent_dim.max()),
        }
        handles += counts.plot(found.beta, found.linear, **look)
    most = max(1, trials.active_units.max(), found.linear.max(initial=0))
    counts.set(ylim=(-0.04 * most, 1.06 * most), ylabel="active units")
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    shares.set(ylim=(-0.04, 1.06), ylabel="active units as a share of the latent size")
    shares.yaxis.set_major_formatter(PercentFormatter(1))
    handles += draw_sizes(figure, trials)
    handles += crosses if trials.collapsed.any() else []
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def active_units_chart(found: ActiveUnits) -> go.Figure:
    """Counts on the left, shares of the latent size on the right; crosses where the code collapsed."""
    trials = found.trials
    figure, places = panel_chart(2, horizontal_spacing=0.1, subplot_titles=["active units", "% of the latents"])
    beta, collapsed = trials.beta, trials.collapsed
    cross: Look = {"symbol": "x", "size": 13, "color": OKABE_ITO["vermillion"]}
    for place, values in zip(places, (trials.active_units, 100 * trials.share), strict=True):
        chart_dots(figure, trials, values, place)
        if collapsed.any():
            look: Look = {"mode": "markers", "marker": cross, "hoverinfo": "skip", "showlegend": place["col"] == 1}
            dots = {"x": beta[collapsed], "y": values[collapsed]}
            figure.add_scatter(name="collapsed", legendgroup="collapsed", **dots, **look, **place)
    if len(found.beta):
        steps: Look = {"color": LINEAR, "width": 2.5, "shape": "hvh"}
        add_line(figure, found.beta, found.linear, linear_label(trials.latent_dim.max()), line=steps, **places[0])
    figure.update_xaxes(title=BETA_LABEL, type="log" if trials.logarithmic else "linear")
    whole = {"dtick": 1} if max(trials.active_units.max(), found.linear.max(initial=0)) < _FEW else {}
    figure.update_yaxes(rangemode="tozero").update_yaxes(col=1, **whole)
    return figure


FIGURE = StudyFigure(
    name="active_units",
    title="Active units by KL weight",
    order=30,
    caption="Latents that carry information, counted and as a share of the latent size; a cross is a collapsed code.",
    more=lambda study: _PURPLE if study.is_gaussian else "",
    compute=_compute,
    note=lambda found: found.trials.note,
    draw=draw_active_units,
    chart=active_units_chart,
    possible=of_plain_trials,
)
