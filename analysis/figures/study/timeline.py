"""When trials ran: a bar a trial, in as few lanes as trials ran at once. N trials with a known start."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from optuna.trial import FrozenTrial

from analysis.figures.registry import StudyFigure
from analysis.figures.style import STATES, Look, styled

_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_NUMBERED = 60  # trials above which the bars have no numbers


@dataclass(frozen=True)
class Timeline:
    """Each (N,), by start; seconds after the first trial's start."""

    number: np.ndarray
    start: np.ndarray
    end: np.ndarray  # of a running trial, the latest time of any trial
    state: np.ndarray
    lane: np.ndarray  # from 0; no two trials of a lane overlap
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
        return next(((name, size) for name, size in _UNITS.items() if self.end.max() >= 2 * size), ("seconds", 1.0))

    @property
    def title(self) -> str:
        """What it sums up to, in words."""
        trials, slots = len(self.number), self.lanes
        whole = f"{trials} trial{'s' * (trials != 1)} in {slots} slot{'s' * (slots != 1)}"
        out = f", {self.left_out} trials without times left out" if self.left_out else ""
        return f"{whole}, idle {100 * self.idle:.0f} % of the time{out}"


def compute_timeline(trials: Sequence[FrozenTrial]) -> Timeline:
    """From a `StudyRecord`'s trials. One that was interrupted counts from its first start to its
    end; an end before the start, by a clock that was set, counts as the start."""
    number = np.array([trial.number for trial in trials], dtype=int)
    state = np.array([trial.state.name for trial in trials], dtype=str)
    ends = [(trial.datetime_start, trial.datetime_complete) for trial in trials]
    times = np.array(ends, dtype="datetime64[us]").reshape(-1, 2)
    times[state == "RUNNING", 1] = np.fmax.reduce(times, axis=None, initial=np.datetime64("NaT"))
    order = np.lexsort((number, times[:, 0]))
    order = order[~np.isnat(times[order]).any(1)]
    seconds = (times[order] - times[order[:1], :1]) / np.timedelta64(1, "s")
    start, end = seconds[:, 0], seconds.max(1)
    return Timeline(number[order], start, end, state[order], packed(start, end), len(trials) - len(order))


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
    """Colour is how a trial ended; hatched ones still run."""
    figure = Figure(figsize=(13, min(2.2 + 0.55 * timeline.lanes, 9)))
    axes = figure.subplots()
    name, size = timeline.unit
    start, end = timeline.start / size, timeline.end / size
    whole = end.max() or 1.0
    handles = []
    for state, style in STATES.items():
        chosen = timeline.state == state
        if chosen.any():
            hatch = "///" if state == "RUNNING" else None
            look: Look = {"facecolor": style.color, "hatch": hatch, "edgecolor": "white"}
            # a trial of no length is a line, not nothing
            width = np.maximum(end - start, whole / 1000)[chosen]
            axes.barh(timeline.lane[chosen], width, left=start[chosen], height=0.84, lw=0.8, **look)
            handles.append(Patch(label=style.word, **look))
    text: Look = {"color": "white", "ha": "center", "va": "center", "fontsize": 11, "weight": "bold"}
    for k in np.flatnonzero(end - start > whole / 45) if len(end) <= _NUMBERED else ():
        axes.text((start[k] + end[k]) / 2, timeline.lane[k], f"{timeline.number[k]}", **text)
    axes.set(xlim=(-0.005 * whole, 1.01 * whole), ylim=(timeline.lanes - 0.4, -0.6))
    axes.set_yticks(range(0, timeline.lanes, max(1, timeline.lanes // 10)))
    axes.set(ylabel="slot", xlabel=f"{name} since the first trial started")
    axes.set_title(timeline.title, loc="left")
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


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
            look = {"color": style.color, "pattern": {"shape": "/" if state == "RUNNING" else ""}}
            figure.add_bar(name=style.word, marker=look, **bars, **hover)
    figure.update_layout(barmode="overlay", bargap=0.15, title={"text": timeline.title, "font": {"size": 14}})
    figure.update_xaxes(title=f"{name} since the first trial started")
    return figure.update_yaxes(title="slot", autorange="reversed", dtick=max(1, timeline.lanes // 10))


FIGURE = StudyFigure(
    name="timeline",
    order=90,
    caption="When each trial ran, packed into as few slots as ran at once; hatched ones still run. A trial that was "
    "interrupted counts from its first start to its end.",
    compute=lambda study: compute_timeline(study.record.trials),
    note=lambda timeline: "" if len(timeline.number) else "No trial has started yet, so there is no timeline",
    draw=draw_timeline,
    chart=timeline_chart,
)
