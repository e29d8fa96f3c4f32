"""What a search of two objectives got for its epochs: how the front's hypervolume grew, and what pruning saved. N
trials that trained, in the order in which they ended."""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.figures.plotly_style import NEUTRAL, add_dots, add_line, whole_ticks
from analysis.figures.registry import StudyContext, StudyFigure
from analysis.figures.style import OKABE_ITO, STATES, Look, styled, whole_numbers
from analysis.reading.frames import eligible
from analysis.statistics.pareto import hypervolume, pareto_front, reference_point

_LAST = 0.25  # of the epochs, in which the front grows still or no more
# Of the hypervolume, in that last part: from where on it is said to grow still. 16 searches of digits
# (``tests/benchmarks/search.py``), each cut at four places: where it had grown by so much, it did so again over as many
# more epochs in 48 of 54; where by less, in 4 of 10. So the one is surer than the other.
_GROWS = 0.01
_EPOCHS_LABEL = "epochs trained, all trials together"
_VOLUME_LABEL = "hypervolume of the front (% of the final one)"
_LAST_LABEL = "last quarter of the epochs"
_GREW_LABEL = "the front grew"
_TICK = {"symbol": "line-ns-open", "size": 10, "color": STATES["PRUNED"].color}


@dataclass(frozen=True)
class SearchQuality:
    """Each (N,)."""

    has_front: bool  # whether it is a search of two objectives
    number: np.ndarray
    state: np.ndarray
    may_be_on_front: np.ndarray  # bool: complete, and within the study's limits where a trial is
    epochs: np.ndarray  # trained by the end of each trial, all together
    volume: np.ndarray  # of these trials' front by then, as a share of the last; 0 before the first
    saved: int  # epochs that pruned trials did not train

    @property
    def grew(self) -> np.ndarray:
        """(N,) bool: the trials that moved the front."""
        return np.asarray(np.diff(self.volume, prepend=0.0) > 0)

    @property
    def last_part(self) -> float:
        """The epochs trained before the last part of them."""
        return float((1 - _LAST) * self.epochs[-1])

    @property
    def growth(self) -> float | None:
        """The share of the hypervolume that the last part of the epochs brought; None of fewer than 2 trials that may
        be on the front."""
        if self.may_be_on_front.sum() < 2:
            return None
        before = self.volume[self.epochs <= self.last_part]
        return float(1 - (before[-1] if len(before) else 0.0))

    @property
    def title(self) -> str:
        """What it sums up to, in a line or two."""
        growth = f"the front's hypervolume grew by {self.growth or 0:.1%} over the last quarter of the epochs"
        saved = f"\npruning saved {self.saved_share:.0%} of the epochs of all trials" if self.saved else ""
        return growth + saved

    @property
    def saved_share(self) -> float:
        """Of the epochs that all trials would have trained without pruning, in [0, 1]."""
        spent = int(self.epochs[-1]) if len(self.epochs) else 0
        return self.saved / (self.saved + spent) if self.saved else 0.0

    @property
    def note(self) -> str:
        """Why there is nothing to draw, if so."""
        if not self.has_front:
            return "A search of one objective has no front that could grow"
        count = int(self.may_be_on_front.sum())
        if count > 1:
            return ""
        within = " within the study's limits" * bool((self.state == "COMPLETE").sum() > count)
        so_far = "there is 1" if count else "there are 0"
        return f"How the front grew takes 2 complete trials{within}; {so_far} so far"


def compute_search_quality(study: StudyContext) -> SearchQuality:
    """From a study's trials and their configs."""
    trials, planned = study.trials, [study.record.config(trial) for trial in study.record.trials]
    ended = [(trial.datetime_complete is None, trial.datetime_complete, trial.number) for trial in study.record.trials]
    order = [number for *_, number in sorted(ended) if trials["epochs"].iloc[number]]
    shown = trials.iloc[order]
    state, epochs = shown["state"].astype(str).to_numpy(), shown["epochs"].to_numpy(int)
    full = np.array([config.epochs if config else 0 for config in planned], dtype=int)[order]
    points, kept = shown[["val_rate", "val_distortion"]].to_numpy(float), eligible(shown, study.record.where)
    volume = growing_hypervolume(np.where(kept[:, None], points, np.nan))
    saved, number = int((full - epochs)[state == "PRUNED"].sum()), shown["number"].to_numpy(int)
    return SearchQuality(study.record.has_front, number, state, kept, epochs.cumsum(), volume, saved)


def growing_hypervolume(points: np.ndarray) -> np.ndarray:
    """(N, 2) of rate and distortion -> (N,): the hypervolume of all up to each, as a share of the last; from one
    reference, that of all. What is not finite adds nothing."""
    known = np.isfinite(points).all(1)
    if not known.any():
        return np.zeros(len(points))
    reference, front, areas = reference_point(tuple(points[known].T)), np.empty((0, 2)), [0.0]
    for point, adds in zip(points, known, strict=True):
        if adds:
            front = np.vstack([front, point])
            front = front[pareto_front(*front.T)]
        areas.append(hypervolume(front[:, 0], front[:, 1], reference) if adds else areas[-1])
    return np.array(areas[1:]) / areas[-1]


def growth_sentence(found: SearchQuality) -> str:
    """Whether more trials may still widen the front, by what the last quarter of the epochs brought."""
    if found.growth is None:
        return f"{found.note}."
    more = "more trials may still widen it" if found.growth >= _GROWS else "more trials may change little"
    less = "at least" if found.growth >= _GROWS else "less than"
    return (
        f"The front's hypervolume grew by {found.growth:.1%} over the last quarter of the epochs, {less} "
        f"{_GROWS:.0%}: {more}."
    )


def pruning_sentence(found: SearchQuality) -> str:
    """What pruning saved; empty where no trial was pruned."""
    pruned = int((found.state == "PRUNED").sum())
    if not pruned:
        return ""
    which = "the trial that was pruned" if pruned == 1 else f"the {pruned} trials that were pruned"
    return f"Pruning saved {found.saved_share:.0%} of the epochs that all trials would have trained: those of {which}."


@styled
def draw_search_quality(found: SearchQuality) -> Figure:
    """A step a trial, a dot where it moved the front, a tick below where one was pruned."""
    figure = Figure(figsize=(11, 6))
    axes = figure.subplots()
    volume, grew, pruned = 100 * found.volume, found.grew, found.epochs[found.state == "PRUNED"]
    axes.axvspan(found.last_part, found.epochs[-1], color="0.92", zorder=0, label=_LAST_LABEL)
    axes.step([0, *found.epochs], [0, *volume], where="post", color=OKABE_ITO["blue"])
    dots: Look = {"color": OKABE_ITO["blue"], "ms": 9, "mec": "white", "zorder": 3, "clip_on": False}
    axes.plot(found.epochs[grew], volume[grew], "o", label=_GREW_LABEL, **dots)
    if len(pruned):
        style = STATES["PRUNED"]
        ticks: Look = {"color": style.color, "ms": 10, "mew": 1.5, "label": style.word}
        axes.plot(pruned, np.full(len(pruned), 0.025), "|", transform=axes.get_xaxis_transform(), **ticks)
    axes.set(xlabel=_EPOCHS_LABEL, ylabel=_VOLUME_LABEL, xlim=(0, found.epochs[-1]), ylim=(0, 105))
    whole_numbers(axes.xaxis)
    axes.grid(True)
    figure.legend(loc="outside lower center", ncols=3)
    axes.set_title(found.title, loc="left", fontsize=13, color="0.25")
    return figure


def search_quality_chart(found: SearchQuality) -> go.Figure:
    """Hover a dot for the trial that moved the front."""
    figure, volume, blue = go.Figure(), 100 * found.volume, OKABE_ITO["blue"]
    figure.add_vrect(found.last_part, found.epochs[-1], fillcolor=NEUTRAL, opacity=0.15, line_width=0)
    add_line(figure, [0, *found.epochs], [0, *volume], line={"shape": "hv", "color": blue})
    for name, chosen, y, marker in (
        (_GREW_LABEL, found.grew, volume, {"color": blue, "size": 9}),
        (STATES["PRUNED"].word, found.state == "PRUNED", np.full(len(volume), 2.5), _TICK),
    ):
        if chosen.any():
            text = [f"trial {number}: {share:.1f}%" for number, share in zip(found.number, volume, strict=True)]
            hover: Look = {"text": np.array(text)[chosen], "name": name, "marker": marker}
            add_dots(figure, found.epochs[chosen], y[chosen], "%{text}<br>%{x} epochs", **hover)
    figure.update_layout(title={"text": found.title.replace("\n", "; "), "font": {"size": 14}})
    figure.update_xaxes(title=_EPOCHS_LABEL, rangemode="tozero", **whole_ticks(0, found.epochs[-1]))
    return figure.update_yaxes(title=_VOLUME_LABEL, range=[0, 105])


FIGURE = StudyFigure(
    name="search_quality",
    title="What the epochs bought",
    order=75,
    caption="The hypervolume of the front of rate against distortion by the epochs that all "
    "trials had trained, those of pruned and failed ones too, in the order in which trials ended. The last quarter of "
    "the epochs (shaded) says whether the front grows still.",
    compute=compute_search_quality,
    note=lambda found: found.note,
    draw=draw_search_quality,
    chart=search_quality_chart,
    shown=lambda found: found.has_front,
)
