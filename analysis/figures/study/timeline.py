"""When trials ran: a bar a trial and time that it ran, in as few lanes as trials ran at once. S bars."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from optuna.trial import FrozenTrial

from analysis.figures.plotly_style import NEUTRAL
from analysis.figures.registry import StudyContext, StudyFigure
from analysis.figures.style import DARK, STATES, Look, styled
from analysis.reading.states import states_of
from analysis.reading.validation import column
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_STOPPED = 60.0  # seconds without a trial, from which nobody drove the study: between two of its trials pass a few
_NONE = np.zeros(0, "datetime64[us]"), np.zeros(0, int), np.zeros(0, "datetime64[us]"), np.zeros(0, str)
_UNENDED = ("RUNNING", "INTERRUPTED")
_NUMBERED = 60  # trials above which the bars have no numbers


@dataclass(frozen=True)
class Timeline:
    """Each (S,), by start; seconds after the first trial's start, without those in which the study was stopped."""

    number: np.ndarray  # of the trial; an interrupted one has several bars
    start: np.ndarray
    end: np.ndarray  # of a running trial, the latest time that is known
    state: np.ndarray
    lane: np.ndarray  # from 0; no two bars of a lane overlap
    stops: np.ndarray  # (stops, 2): where the study was stopped, and for how many seconds
    left_out: int  # trials without a start, or finished without an end

    @property
    def lanes(self) -> int:
        """Trials that ran at once, at most."""
        return int(self.lane.max()) + 1

    @property
    def idle(self) -> float:
        """Share of the lanes' time without a trial, in [0, 1]."""
        available = self.lanes * self.end.max()
        return float(1 - (self.end - self.start).sum() / available) if available else 0.0

    @property
    def unit(self) -> tuple[str, float]:
        """The name and the seconds of the unit that suits the whole."""
        return _unit_of(float(self.end.max()))

    @property
    def title(self) -> str:
        """What it sums up to, in words."""
        trials, slots = len(np.unique(self.number)), self.lanes
        whole = f"{trials} trial{'s' * (trials != 1)} in {slots} slot{'s' * (slots != 1)}"
        out = f", {self.left_out} trials without times left out" if self.left_out else ""
        stopped = float(self.stops[:, 1].sum())
        name, size = _unit_of(stopped)
        cut = f"; {stopped / size:.3g} {name} in which none ran are cut out" if stopped else ""
        return f"{whole}, idle {self.idle:.0%} of the time{out}{cut}"


def _unit_of(seconds: float) -> tuple[str, float]:
    return next(((name, size) for name, size in _UNITS.items() if seconds >= 2 * size), ("seconds", 1.0))


def compute_timeline(
    trials: Sequence[FrozenTrial],
    taken_up: Callable[[int], Sequence[datetime]] = lambda _: (),
    epoch_seconds: Callable[[int], np.ndarray] = lambda _: np.zeros(0),
    are_running: bool = True,
) -> Timeline:
    """From a `StudyRecord`'s trials, of which those without an end may be ``are_running``; an end before the start, by
    a clock that was set, counts as the start.

    Nothing records when a driver ran. So a time in which no trial ran is one in which the study was stopped, if it was
    longer than between two trials of a driver (`_STOPPED`); and a trial that was ``taken_up`` more than once, by its
    number, ran from each such time on, until its end or for as long as its epochs there took (``epoch_seconds``).
    """
    known = [np.datetime64(it, "us") for of in trials for it in (of.datetime_start, of.datetime_complete) if it]
    rows: list[tuple[np.datetime64, int, np.datetime64, str]] = []
    for trial, stands in zip(trials, states_of(trials, are_running), strict=True):
        if trial.datetime_start is None:
            continue
        start, seconds = np.datetime64(trial.datetime_start, "us"), epoch_seconds(trial.number)
        if stands in _UNENDED:
            end = max(*known, start + _microseconds(seconds.sum()))
        elif trial.datetime_complete:
            end = np.datetime64(trial.datetime_complete, "us")
        else:
            continue
        again = [np.datetime64(it, "us") for it in taken_up(trial.number)[1:]]
        bars = _bars(start, end, [it for it in again if start < it < end], seconds, stands == "INTERRUPTED")
        rows += [(first, trial.number, last, stands) for first, last in bars]
    rows.sort()
    begin, number, finish, state = (np.array(of) for of in zip(*rows, strict=True)) if rows else _NONE
    start, end = ((times - begin[:1]) / np.timedelta64(1, "s") for times in (begin, finish))
    end = np.maximum(start, end)
    before = np.maximum.accumulate(np.concatenate([start[:1], end]))[:-1]  # until when any trial had run
    gap = np.where(start - before > _STOPPED, start - before, 0.0)
    cut = gap.cumsum()
    stops = np.stack([start - cut, gap], 1)[gap > 0]
    start, end, left_out = start - cut, end - cut, len(trials) - len(np.unique(number))
    return Timeline(number, start, end, state, packed(start, end), stops, left_out)


def _microseconds(seconds: float) -> np.timedelta64:
    return np.timedelta64(round(1e6 * seconds), "us")


def _bars(
    start: np.datetime64, end: np.datetime64, again: list[np.datetime64], seconds: np.ndarray, is_cut: bool
) -> list[tuple[np.datetime64, np.datetime64]]:
    """When a trial ran that was taken up ``again``, from the epochs that it recorded: the last of them are of its last
    run, as many as had time in it, and so on back; what it had begun when it was interrupted is not known. Where the
    last run ``is_cut`` short too, it ended by ``end``."""
    bars: list[tuple[np.datetime64, np.datetime64]] = []
    left, until = seconds.tolist(), end
    for begin in reversed([start, *again]):
        room, ran = (until - begin) / np.timedelta64(1, "s"), 0.0
        while left and ran + left[-1] <= room:
            ran += left.pop()
        bars.append((begin, begin + _microseconds(ran) if bars or is_cut else until))
        until = begin
    return bars[::-1]


def packed(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The lowest free lane for each of (N,) intervals, sorted by start: as many lanes as ever overlap, the
    least there can be (Kleinberg & Tardos 2005, section 4.1)."""
    ends: list[float] = []  # of each lane's last trial
    lanes = []
    for first, last in zip(start.tolist(), end.tolist(), strict=True):
        lane = next((k for k, busy in enumerate(ends) if busy <= first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes.append(lane)
    return np.array(lanes, dtype=int)


@styled
def draw_timeline(timeline: Timeline) -> Figure:
    """Colour is how a trial ended; hatched ones have not."""
    figure = Figure(figsize=(13, min(2.2 + 0.55 * timeline.lanes, 9)))
    axes = figure.subplots()
    _, size = timeline.unit
    start, end = timeline.start / size, timeline.end / size
    whole = end.max() or 1.0
    handles = []
    for state, style in STATES.items():
        chosen = timeline.state == state
        if chosen.any():
            hatch = "///" if state in _UNENDED else None
            look: Look = {"facecolor": style.color, "hatch": hatch, "edgecolor": "white"}
            # a trial of no length is a line, not nothing
            width = np.maximum(end - start, whole / 1000)[chosen]
            axes.barh(timeline.lane[chosen], width, left=start[chosen], height=0.84, lw=0.8, **look)
            handles.append(Patch(label=style.word, **look))
    text: Look = {"color": "white", "ha": "center", "va": "center", "fontsize": 11, "weight": "bold"}
    for k in np.flatnonzero(end - start > whole / 45) if len(end) <= _NUMBERED else ():
        axes.text((start[k] + end[k]) / 2, timeline.lane[k], f"{timeline.number[k]}", **text)
    for stop in timeline.stops[:, 0] / size:
        axes.axvline(stop, color=DARK, ls=":", zorder=3)
    axes.set(xlim=(-0.005 * whole, 1.01 * whole), ylim=(timeline.lanes - 0.4, -0.6))
    axes.set_yticks(range(0, timeline.lanes, max(1, timeline.lanes // 10)))
    axes.set(ylabel="slot", xlabel=_label(timeline))
    axes.set_title(timeline.title, loc="left")
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _label(timeline: Timeline) -> str:
    stopped = ", while the study ran (dotted: it was stopped)" if len(timeline.stops) else ""
    return f"{timeline.unit[0]} since the first trial started{stopped}"


def timeline_chart(timeline: Timeline) -> go.Figure:
    """Hover a bar for its trial and how long it took."""
    figure = go.Figure()
    name, size = timeline.unit
    for state, style in STATES.items():
        chosen = timeline.state == state
        if chosen.any():
            number, spent = timeline.number[chosen], (timeline.end - timeline.start)[chosen] / size
            texts = [f"trial {n}: {style.word}<br>{each:.3g} {name}" for n, each in zip(number, spent, strict=True)]
            bars = {"x": spent, "base": timeline.start[chosen] / size, "y": timeline.lane[chosen], "orientation": "h"}
            hover: Look = {"text": texts, "textposition": "none", "hovertemplate": "%{text}<extra></extra>"}
            look = {"color": style.color, "pattern": {"shape": "/" if state in _UNENDED else ""}}
            figure.add_bar(name=style.word, marker=look, **bars, **hover)
    figure.update_layout(barmode="overlay", bargap=0.15, title={"text": timeline.title, "font": {"size": 14}})
    for stop in timeline.stops[:, 0] / size:
        figure.add_vline(stop, line={"dash": "dot", "color": NEUTRAL})
    figure.update_xaxes(title=_label(timeline))
    return figure.update_yaxes(title="slot", autorange="reversed", dtick=max(1, timeline.lanes // 10))


def _compute(study: StudyContext) -> Timeline:
    layout, epochs = StudyLayout(study.record.folder), study.record.epochs
    return compute_timeline(
        study.record.trials,
        lambda number: TrialFolder(layout.trial(number)).taken_up(),
        lambda number: np.nan_to_num(column(epochs[number], "epoch_seconds")),
        "RUNNING" in study.record.states,
    )


FIGURE = StudyFigure(
    name="timeline",
    title="When trials ran",
    order=90,
    caption="When each trial ran, packed into as few slots as ran at once; hatched ones have not ended. Times of more "
    "than a minute in which none ran are cut out, as the study was stopped then, and are not idle. A trial that was "
    "interrupted has a bar for each run; how long one was that was cut short, its recorded epochs say.",
    compute=_compute,
    note=lambda timeline: "" if len(timeline.number) else "No trial has started yet, so there is no timeline",
    draw=draw_timeline,
    chart=timeline_chart,
)
