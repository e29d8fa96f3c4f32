"""How many latents carry information, by the KL weight."""

import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from plotly.subplots import make_subplots

from analysis.figures.registry import StudyFigure
from analysis.figures.study._by_beta import NO_TRIALS, ByBeta, chart_dots, compute_by_beta, draw_dots
from analysis.figures.style import BETA_LABEL, OKABE_ITO, Look, depth_handles, draw_note, size_bar, styled


@styled
def draw_active_units(trials: ByBeta) -> Figure:
    """Counts on the left, shares of the latent size on the right; crosses where the code collapsed."""
    if not len(trials.number):
        return draw_note(NO_TRIALS)
    figure = Figure(figsize=(14, 6))
    panels = figure.subplots(1, 2)
    handles = depth_handles(trials.depth, 10)
    for axes, values in zip(panels, (trials.active_units, trials.share), strict=True):
        draw_dots(axes, trials, values)
        if trials.collapsed.any():
            cross: Look = {"ms": 13, "mec": "white", "color": OKABE_ITO["vermillion"], "zorder": 5, "clip_on": False}
            label = f"collapsed: {trials.collapsed.sum()} of {len(trials.number)} trials"
            crosses = axes.plot(trials.beta[trials.collapsed], values[trials.collapsed], "X", label=label, **cross)
    most = max(1, trials.active_units.max())
    panels[0].set_ylim(-0.04 * most, 1.06 * most)
    panels[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("active units")
    panels[1].set_ylim(-0.04, 1.06)
    panels[1].yaxis.set_major_formatter(PercentFormatter(1))
    panels[1].set_ylabel("active units as a share of the latent size")
    size_bar(figure, panels, trials.sizes, trials.latent_dim)
    handles += crosses if trials.collapsed.any() else []
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def active_units_chart(trials: ByBeta) -> go.Figure | None:
    """Counts on the left, shares of the latent size on the right; crosses where the code collapsed."""
    if not len(trials.number):
        return None
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    for column, values in enumerate((trials.active_units, 100 * trials.share), 1):
        chart_dots(figure, trials, values, row=1, col=column)
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


FIGURE = StudyFigure(
    name="active_units",
    order=30,
    caption="Latents that carry information, counted and as a share of the latent size; a cross is a collapsed code.",
    compute=lambda study: compute_by_beta(study.trials),
    draw=draw_active_units,
    chart=active_units_chart,
)
