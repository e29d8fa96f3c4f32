"""Which parameters mattered, by `analysis.statistics.importance`."""

from functools import partial
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.figures.plotly_style import NEUTRAL
from analysis.figures.registry import StudyContext, StudyFigure
from analysis.figures.style import DARK, FADED, OKABE_ITO, TITLES, Look, plain, styled, wrapped
from analysis.reading.frames import complete_trials
from analysis.statistics.bands import bands, ranks_within
from analysis.statistics.importance import IMPORTANCE_RESAMPLES, Importance, compute_importance

REMAINDER = "interactions and unexplained"
_CONSTANT = "did not vary"
_LONGEST = 24  # characters of a line of a name
_OF = {"val_bits_per_dim": Importance.of, "val_relative_loss": "the loss over a linear model's"}


def _percents(importance: Importance) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) shares and the ends of their intervals; the shares themselves where there are none."""
    shares = importance.shares * 100
    if importance.intervals is None:
        return shares, shares, shares
    low, high = np.array([(found.low, found.high) for found in importance.intervals]).T * 100
    return shares, low, high


def _label(importance: Importance) -> str:
    return wrapped(f"share that each explains alone (%) of the variance of {importance.of}", 75)


def _names(importance: Importance) -> tuple[list[str], list[str]]:
    """What the parameters are called that differed, and those that did not."""
    differed, constant = ([TITLES.get(it, it) for it in names] for names in (importance.names, importance.constant))
    return differed, constant


def compute_study_importance(study: StudyContext) -> Importance:
    """Of what one objective minimises; of two, of the rank of excess among trials of neighbouring KL weights, for what
    else was searched: a high KL weight leaves little to lose, whatever the model."""
    record, trials = study.record, study.trials
    asked = partial(compute_importance, record.trials, record.columns, resamples=IMPORTANCE_RESAMPLES)
    if not record.has_front:
        return asked(trials[record.judged_by].to_numpy(float), of=_OF[record.judged_by])
    if record.space.keys() <= {"beta"}:
        none = "Nothing but the KL weight was searched, so nothing else can have mattered"
        return Importance([], np.zeros(0), len(complete_trials(trials)), none)
    known = complete_trials(trials)
    known = known[np.isfinite(known["excess"])]
    band = bands(known["beta"].to_numpy(float))
    ranks = pd.Series(ranks_within(band, known["excess"].to_numpy(float)), known.index).reindex(trials.index)
    count = int(band.max(initial=0)) + 1
    within = f" within {count} bands of KL weight" if count > 1 else ""
    return asked(ranks.to_numpy(float), of=f"the rank of excess{within}", besides=("beta",))


@styled
def draw_importance(importance: Importance) -> Figure:
    """A bar a parameter, a line over its interval, and a grey bar of what is left; a word for those that were the same
    in all trials."""
    differed, constant = _names(importance)
    labels = [*differed, REMAINDER.replace(" ", "\n", 1), *constant]
    names = [plain(wrapped(label, _LONGEST)) for label in labels]
    figure = Figure(figsize=(10, 1.8 + 0.8 * len(names)))
    axes = figure.subplots()
    rows, rest = np.arange(len(names))[::-1], importance.remainder * 100
    shares, low, high = _percents(importance)
    known = rows[: len(shares) + 1]
    axes.barh(known, [*shares, rest], color=[OKABE_ITO["blue"]] * len(shares) + [FADED], height=0.6)
    if importance.intervals is not None:
        look: Look = {"fmt": "none", "ecolor": DARK, "capsize": 6, "elinewidth": 2, "capthick": 2}
        axes.errorbar(shares, known[:-1], xerr=[shares - low, high - shares], **look)
    beside: Look = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
    for row, share, end in zip(known, [*shares, rest], [*high, rest], strict=True):
        axes.annotate(f"{share:.0f}%", (end, row), **beside)
    for row in rows[len(known) :]:
        axes.annotate(f"{_CONSTANT}: nothing can be said", (0, row), color="0.35", **beside)
    axes.set_yticks(rows, names)
    axes.set(xlim=(0, 110), ylim=(-0.6, len(names) - 0.4))
    axes.set_xticks(range(0, 101, 20))
    lines = "" if importance.intervals is None else "; lines: 95% of resampled trials"
    axes.set_xlabel(f"{_label(importance)}\n{importance.trials} complete trials{lines}")
    return figure


def importance_chart(importance: Importance) -> go.Figure:
    """A bar a parameter, with its interval where there is one, and a grey one of what is left."""
    shares, low, high = _percents(importance)
    error, ranges = None, [""] * len(shares)
    if importance.intervals is not None:
        error = {"array": high - shares, "arrayminus": shares - low, "color": NEUTRAL, "thickness": 2, "width": 6}
        ranges = [f"<br>95% of resampled trials: {ends.low:.0%} to {ends.high:.0%}" for ends in importance.intervals]
    names, constant = ([escape(name) for name in of] for of in _names(importance))
    figure, hover = go.Figure(), "%{y}: %{x:.1f}%"
    told: Look = {"text": ranges, "textposition": "none", "hovertemplate": f"{hover}%{{text}}<extra></extra>"}
    figure.add_bar(x=shares, y=names, orientation="h", error_x=error, marker={"color": OKABE_ITO["blue"]}, **told)
    rest: Look = {"marker": {"color": NEUTRAL}, "hovertemplate": f"{hover}<extra></extra>"}
    figure.add_bar(x=[100 * importance.remainder], y=[REMAINDER], orientation="h", **rest)
    if constant:
        words: Look = {"text": [_CONSTANT] * len(constant), "textposition": "outside", "hoverinfo": "skip"}
        figure.add_bar(x=[0] * len(constant), y=constant, orientation="h", **words)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(
        title=_label(importance).replace("\n", "<br>"), range=[0, 110], tickvals=list(range(0, 101, 20))
    )
    return figure.update_yaxes(autorange="reversed", automargin=True)


FIGURE = StudyFigure(
    name="importance",
    title="What mattered",
    order=40,
    caption="Share of the variance that each parameter alone explains: main effects (fANOVA) of a forest of the "
    "complete trials, times the R² of its predictions of trials it has not seen; grey is the rest. Lines span 95% of "
    "resampled trials. What varies is said below the axis: of one objective what it minimises; of two the rank of "
    "excess among trials of neighbouring KL weights (0 is the lowest of its band, 1 the highest), as a high KL weight "
    "leaves little to lose.",
    compute=compute_study_importance,
    note=lambda importance: importance.note,
    draw=draw_importance,
    chart=importance_chart,
)
