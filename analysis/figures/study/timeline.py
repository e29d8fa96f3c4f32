"""When trials ran: a bar a trial and time that it ran, in as few lanes as trials ran at once. S bars."""

from collections.abc import Callable, Iterable, Sequence
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
from trainables.records.sessions import BEAT_SECONDS, Session, sessions_of
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_STOPPED = 60.0  # seconds without a trial, from which nobody drove the study: between two of its trials pass a few
_NONE = np.zeros(0), np.zeros(0, int), np.zeros(0), np.zeros(0, str)
_UNENDED = ("RUNNING", "INTERRUPTED")
_NUMBERED = 60  # trials above which the bars have no numbers


@dataclass(frozen=True)
class Timeline:
    """Each (S,), by start; seconds after the first driver had a cluster, or the first trial's start where that is not
    recorded, without those in which the study was stopped."""

    number: np.ndarray  # of the trial; an interrupted one has several bars
    start: np.ndarray
    end: np.ndarray  # of a running trial, the latest time that is known
    state: np.ndarray
    lane: np.ndarray  # from 0; no two bars of a lane overlap
    stops: np.ndarray  # (stops, 2): where the study was stopped, and for how many seconds
    is_recorded: bool  # whether drivers recorded when they searched; else it is inferred when the study was stopped
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
        none = "no driver searched" if self.is_recorded else "none ran"
        cut = f"; {stopped / size:.3g} {name} in which {none} are cut out" if stopped else ""
        return f"{whole}, idle {self.idle:.0%} of the time{out}{cut}"


def _unit_of(seconds: float) -> tuple[str, float]:
    return next(((name, size) for name, size in _UNITS.items() if seconds >= 2 * size), ("seconds", 1.0))


def compute_timeline(
    trials: Sequence[FrozenTrial],
    taken_up: Callable[[int], Sequence[datetime]] = lambda _: (),
    epoch_seconds: Callable[[int], np.ndarray] = lambda _: np.zeros(0),
    are_running: bool = True,
    sessions: Sequence[Session] = (),
) -> Timeline:
    """From a `StudyRecord`'s trials, of which those without an end may be ``are_running``; an end before the start, by
    a clock that was set, counts as the start.

    What is cut out is not in the ``sessions`` of drivers, or comes after the last trial of one: other trainings follow
    the search. For trials that began in none of them it is inferred: a time in which no trial ran is one in which the
    study was stopped, if it was longer than between two trials of a driver (`_STOPPED`). A trial that was ``taken_up``
    more than once, by its number, ran from each such time on: see `_spans`.
    """
    times = [it for of in trials for it in (of.datetime_start, of.datetime_complete) if it]
    times += [it for session in sessions for it in (session.began, session.seen)]
    zero = min(times, default=datetime.max)
    periods = [(_since(zero, session.began), _since(zero, session.seen)) for session in sessions]
    latest = _since(zero, max(times, default=zero))
    if are_running and periods:  # the last one lasts
        periods[-1] = (periods[-1][0], latest)
    rows: list[tuple[float, int, float, str]] = []
    for trial, stands in zip(trials, states_of(trials, are_running), strict=True):
        ended = None if stands in _UNENDED else trial.datetime_complete
        if trial.datetime_start is None or not (ended or stands in _UNENDED):
            continue
        first, seconds = _since(zero, trial.datetime_start), epoch_seconds(trial.number)
        last = _since(zero, ended) if ended else max(latest, first + seconds.sum())
        begins = [first, *_again(first, last, [_since(zero, it) for it in taken_up(trial.number)], periods)]
        is_cut = stands == "INTERRUPTED" or not (ended or _period_of(begins[-1], periods) is None)
        spans = _spans(begins, max(first, last), seconds, is_cut, periods)
        rows += [(began, trial.number, until, stands) for began, until in spans]
    start, number, end, state = (np.array(of) for of in zip(*sorted(rows), strict=True)) if rows else _NONE
    held = [_period_of(first, periods) for first in start.tolist()]
    start, end, stops = _without_stops(start, end, held)
    left_out = len(trials) - len(np.unique(number))
    return Timeline(number, start, end, state, packed(start, end), stops, bool(rows) and None not in held, left_out)


def _since(zero: datetime, when: datetime) -> float:
    return (when - zero).total_seconds()


def _period_of(when: float, periods: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """From when to when the session was in which something began, a heartbeat after its last sign of life at most."""
    return next(((began, seen) for began, seen in periods[::-1] if began <= when <= seen + BEAT_SECONDS), None)


def _again(start: float, end: float, taken_up: list[float], periods: Sequence[tuple[float, float]]) -> Iterable[float]:
    """When a trial was taken up again. At first it was when it started, unless that driver was gone before a slot had
    it."""
    is_late = bool(taken_up) and _period_of(taken_up[0], periods) != _period_of(start, periods)
    return (it for it in taken_up[not is_late :] if start < it < end)


def _spans(
    begins: Sequence[float], end: float, seconds: np.ndarray, is_cut: bool, periods: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """When a trial ran that was taken up when it ``begins``: each time but the last until its session was over, and the
    last time too where that ``is_cut`` short. Where no session is known, its recorded epochs say how long: the last of
    them are of its last run, as many as had time in it, and so on back; what it had begun when it was interrupted is
    not known."""
    spans: list[tuple[float, float]] = []
    left, until = seconds.tolist(), end
    for begin in reversed(begins):
        ran = 0.0
        while left and ran + left[-1] <= until - begin:
            ran += left.pop()
        if spans or is_cut:
            period = _period_of(begin, periods)
            until = min(until, max(begin, period[1])) if period else begin + ran
        spans.append((begin, until))
        until = begin
    return spans[::-1]


def _without_stops(
    start: np.ndarray, end: np.ndarray, held: Sequence[tuple[float, float] | None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bars from the beginning of the first session on, or of the first bar, without the time in which the study was
    stopped, and the stops of a `Timeline`. Each bar may be ``held`` by a session."""
    begin = np.array([period[0] if period else first for first, period in zip(start.tolist(), held, strict=True)])
    most = np.array([0.0 if period else _STOPPED for period in held])
    before = np.maximum.accumulate(np.concatenate([begin[:1], end]))[:-1]  # until when any trial had run
    gap = np.where(begin - before > most, begin - before, 0.0)
    cut = begin[:1] + gap.cumsum()
    return start - cut, end - cut, np.stack([begin - cut, gap], 1)[gap > 0]


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
    first = "driver began" if timeline.is_recorded else "trial started"
    stopped = " (dotted: time that is cut out)" if len(timeline.stops) else ""
    return f"{timeline.unit[0]} since the first {first}{stopped}"


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
        sessions_of(layout),
    )


FIGURE = StudyFigure(
    name="timeline",
    title="When trials ran",
    order=90,
    caption="When each trial ran, packed into as few slots as ran at once; hatched ones have not ended. A slot is "
    "idle while a driver searches and it has no trial; the rest is cut out: pauses, stops, and what is trained after "
    "the search. Where no driver recorded when it ran, as in older folders, times of more than a minute in which no "
    "trial ran are cut out. A trial that was interrupted has a bar for each run.",
    compute=_compute,
    note=lambda timeline: "" if len(timeline.number) else "No trial has started yet, so there is no timeline",
    draw=draw_timeline,
    chart=timeline_chart,
)
