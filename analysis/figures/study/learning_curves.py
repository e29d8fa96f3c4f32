"""How the trials trained: what judges them, by epoch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.plotly_style import add_dots, add_line, add_rings, beta_colors, coloured, whole_ticks
from analysis.figures.registry import StudyFigure
from analysis.figures.study._judged import Judged
from analysis.figures.style import OKABE_ITO, RING, STATES, Look, beta_bar, log_colors, styled, whole_numbers


@dataclass(frozen=True)
class LearningCurves:
    """Every trial that reported; each (trials,)."""

    numbers: np.ndarray
    values: list[np.ndarray]
    """(epochs,) of each: of one objective what it minimises; of two the excess, D + βR at each epoch minus the
    lowest that any trial of the study has at that KL weight."""
    states: list[str]
    beta: np.ndarray
    latent_dim: np.ndarray
    marked: np.ndarray  # bool: on the front, or the best
    judged: Judged

    @property
    def places(self) -> list[np.ndarray]:
        """The values where they are drawn."""
        return [self.judged.place(values) for values in self.values]


def compute_learning_curves(epochs: pd.DataFrame, trials: pd.DataFrame, judged: Judged) -> LearningCurves:
    """From `analysis.load_epochs` and `analysis.load_trials`."""
    if judged.is_excess:
        lowest = _price(trials) - trials["excess"]  # at each trial's KL weight
        value = _price(epochs) - epochs["number"].map(dict(zip(trials["number"], lowest, strict=True)))
    else:
        value = epochs[judged.column]
    groups = epochs.assign(value=value.astype(float)).groupby("number")
    first = groups.first()
    numbers = first.index.to_numpy(int)
    return LearningCurves(
        numbers,
        [values.to_numpy() for _, values in groups["value"]],
        first["state"].astype(str).tolist(),
        first["beta"].to_numpy(float),
        first["latent_dim"].to_numpy(int),
        np.isin(numbers, trials["number"][judged.marked(trials)]),
        judged,
    )


def _price(frame: pd.DataFrame) -> pd.Series:
    """D + βR, nats per image."""
    return frame["val_distortion"] + frame["beta"] * frame["val_rate"]


@styled
def draw_learning_curves(curves: LearningCurves) -> Figure:
    """A line a trial; pruned ones dashed, failed ones dotted, the best one outlined, or the front's ringed."""
    figure = Figure(figsize=(11, 6.5))
    axes = figure.subplots()
    scale, places, is_excess = log_colors(curves.beta), curves.places, curves.judged.is_excess
    for values, state, beta, marked in zip(places, curves.states, curves.beta, curves.marked, strict=True):
        epoch, color, is_best = np.arange(1, len(values) + 1), scale.to_rgba(beta), marked and not is_excess
        if is_best:
            axes.plot(epoch, values, "-", color=OKABE_ITO["vermillion"], lw=7, zorder=3, solid_capstyle="round")
        line: Look = {"color": color, "lw": 3 if is_best else 1.8, "zorder": 4 if is_best else 2}
        axes.plot(epoch, values, STATES[state].line, marker="o" if len(values) < 25 else None, ms=5, **line)
        if state == "PRUNED":
            axes.plot(epoch[-1], values[-1], "X", color=color, ms=12, mec="white", zorder=5)
        if marked and is_excess:
            axes.plot(epoch[-1], values[-1], ms=12, zorder=6, clip_on=False, **RING)
    if np.ptp(curves.beta) > 0:
        beta_bar(figure, scale)
    axes.set(xlabel="epoch", ylabel=_label(curves.judged))
    whole_numbers(axes.xaxis)
    curves.judged.scale(axes.yaxis, np.concatenate(places))
    axes.grid(True)
    axes.legend(handles=_handles(curves), handlelength=3, frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def _label(judged: Judged) -> str:
    return f"{judged.label}, by epoch" if judged.is_excess else judged.label


def _handles(curves: LearningCurves) -> list[Line2D]:
    """The legend's entries."""
    handles = []
    if curves.marked.any():
        outline: Look = RING | {"ms": 12} if curves.judged.is_excess else {"color": OKABE_ITO["vermillion"], "lw": 6}
        handles.append(Line2D([], [], label=curves.judged.mark(curves.numbers[curves.marked]), **outline))
    for state, style in STATES.items():
        if state in curves.states:
            marker = "X" if state == "PRUNED" else ""
            handles.append(Line2D([], [], ls=style.line, color="0.35", label=style.word, marker=marker, ms=10))
    return handles


def learning_curves_chart(curves: LearningCurves) -> go.Figure:
    """Hover an epoch for its trial; one trace a state, as thousands of traces would be slow."""
    figure, judged, places = go.Figure(), curves.judged, curves.places
    color, bar = beta_colors(curves.beta)
    for state, style in STATES.items():
        rows = [k for k, found in enumerate(curves.states) if found == state]
        if not rows:
            continue
        lengths = [len(places[k]) + 1 for k in rows]
        marker = coloured(color, "Viridis", None if figure.data else bar)
        marker |= {"size": 6, "line": None, "color": np.repeat(color[rows], lengths)}
        # a gap after each trial keeps its line from the next one's
        epochs = [epoch for length in lengths for epoch in (*range(1, length), None)]
        values = [value for k in rows for value in (*places[k].tolist(), None)]
        texts = [text for k in rows for text in (*_texts(curves, k), "")]
        line = {"dash": style.dash, "width": 1, "color": "rgba(128,128,128,.6)"}
        look: Look = {"mode": "lines+markers", "line": line, "marker": marker, "text": texts}
        add_dots(figure, epochs, values, "%{text}", name=style.word, **look)
    if curves.marked.any():
        _mark(figure, curves)
    longest = max(map(len, places))
    figure.update_layout(xaxis={"title": "epoch", **whole_ticks(1, longest)})
    return figure.update_layout(yaxis={"title": _label(judged), **judged.chart_scale(np.concatenate(places))})


def _texts(curves: LearningCurves, k: int) -> list[str]:
    """What is said of each epoch of a trial."""
    trial = f"trial {curves.numbers[k]} ({STATES[curves.states[k]].word})"
    config = f"β {curves.beta[k]:.3g}, " * bool(np.ptp(curves.beta) > 0) + f"latent size {curves.latent_dim[k]}"
    told = map(curves.judged.told, curves.values[k])
    return [f"{trial}<br>{config}<br>epoch {epoch}: {value}" for epoch, value in enumerate(told, 1)]


def _mark(figure: go.Figure, curves: LearningCurves) -> None:
    """Outline the best trial, or ring the last epochs of the front's."""
    places = [place for place, marked in zip(curves.places, curves.marked, strict=True) if marked]
    name = curves.judged.mark(curves.numbers[curves.marked])
    if curves.judged.is_excess:
        add_rings(figure, [len(place) for place in places], [place[-1] for place in places], name)
    else:
        add_line(
            figure,
            np.arange(1, len(places[0]) + 1),
            places[0],
            name,
            line={"width": 4, "color": OKABE_ITO["vermillion"]},
        )


FIGURE = StudyFigure(
    name="learning_curves",
    title="Learning curves",
    order=80,
    caption="What judges a trial on the validation images, by epoch: what one objective minimises; of two the excess, "
    "D + βR of each epoch minus the lowest that any trial of the study reached at the same KL weight. Dashed: pruned; "
    "outlined: the best; ringed: the front.",
    compute=lambda study: compute_learning_curves(study.epochs, study.trials, Judged.of(study.record)),
    note=lambda curves: "" if len(curves.numbers) else "No trial has finished an epoch yet",
    draw=draw_learning_curves,
    chart=learning_curves_chart,
)
