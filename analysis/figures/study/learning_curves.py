"""How the trials trained: bits per dimension by epoch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.plotly_style import add_line, beta_colors, coloured
from analysis.figures.registry import StudyFigure
from analysis.figures.style import (
    BITS_LABEL,
    OKABE_ITO,
    SEQUENTIAL,
    STATES,
    Look,
    beta_bar,
    beta_norm,
    draw_note,
    styled,
)
from analysis.reading.frames import complete_trials


@dataclass(frozen=True)
class LearningCurves:
    """``bits_per_dim`` by epoch of every trial that reported."""

    numbers: list[int]
    values: list[np.ndarray]  # (epochs,) of each trial
    states: list[str]
    beta: np.ndarray
    best: int | None  # position of the best complete trial
    latent_dim: np.ndarray  # (trials,) int, as ``beta``


def compute_learning_curves(epochs: pd.DataFrame, trials: pd.DataFrame) -> LearningCurves:
    """From `analysis.load_epochs` and `analysis.load_trials`."""
    complete = complete_trials(trials)
    best = complete["val_bits_per_dim"].to_numpy(float).argmin() if len(complete) else None
    groups = {int(str(number)): group for number, group in epochs.groupby("number")}
    numbers = list(groups)
    return LearningCurves(
        numbers,
        [group["val_bits_per_dim"].to_numpy(float) for group in groups.values()],
        [str(group["state"].iloc[0]) for group in groups.values()],
        np.array([float(group["beta"].iloc[0]) for group in groups.values()]),
        None if best is None else numbers.index(int(complete["number"].iloc[best])),
        np.array([int(group["latent_dim"].iloc[0]) for group in groups.values()], dtype=int),
    )


@styled
def draw_learning_curves(curves: LearningCurves) -> Figure:
    """A line a trial; pruned ones dashed, failed ones dotted, the best one outlined."""
    if not curves.numbers:
        return draw_note("No trial has finished an epoch yet")
    figure = Figure(figsize=(11, 6.5))
    axes = figure.subplots()
    scale = ScalarMappable(beta_norm(curves.beta), SEQUENTIAL)
    for position, (values, state, beta) in enumerate(zip(curves.values, curves.states, curves.beta, strict=True)):
        epoch = np.arange(1, len(values) + 1)
        is_best = position == curves.best
        if is_best:
            axes.plot(epoch, values, "-", color=OKABE_ITO["vermillion"], lw=7, zorder=3, solid_capstyle="round")
        line: Look = {"color": scale.to_rgba(beta), "lw": 3 if is_best else 1.8, "zorder": 4 if is_best else 2}
        axes.plot(epoch, values, STATES[state].line, marker="o" if len(values) < 25 else None, ms=5, **line)
        if state == "PRUNED":
            axes.plot(epoch[-1], values[-1], "X", color=scale.to_rgba(beta), ms=12, mec="white", zorder=5)
    beta_bar(figure, axes, scale)
    axes.set(xlabel="epoch", ylabel=BITS_LABEL)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True)
    axes.legend(handles=_handles(curves), handlelength=3)
    return figure


def _handles(curves: LearningCurves) -> list[Line2D]:
    """The legend: the best, and the states that there are."""
    best = []
    if curves.best is not None:
        label = f"best: trial {curves.numbers[curves.best]}"
        best = [Line2D([], [], ls="-", color=OKABE_ITO["vermillion"], lw=6, label=label)]
    return best + [
        Line2D([], [], ls=style.line, color="0.35", label=style.word, marker="X" if state == "PRUNED" else "", ms=10)
        for state, style in STATES.items()
        if state in curves.states
    ]


def learning_curves_chart(curves: LearningCurves) -> go.Figure | None:
    """Hover an epoch for its trial; one trace a state, as thousands of traces would be slow."""
    if not curves.numbers:
        return None
    figure = go.Figure()
    color, bar = beta_colors(curves.beta)
    for state, style in STATES.items():
        rows = [k for k, found in enumerate(curves.states) if found == state]
        if not rows:
            continue
        # a gap after each trial keeps its line from the next one's
        x = [epoch for k in rows for epoch in (*range(1, len(curves.values[k]) + 1), None)]
        y = [value for k in rows for value in (*curves.values[k].tolist(), None)]
        lengths = [len(curves.values[k]) + 1 for k in rows]
        texts = [
            f"trial {curves.numbers[k]} ({style.word})<br>β {curves.beta[k]:.3g}, latent size {curves.latent_dim[k]}"
            for k in rows
        ]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            name=style.word,
            line={"dash": style.dash, "width": 1, "color": "rgba(128,128,128,.6)"},
            marker=coloured(color, "Viridis", None if figure.data else bar)
            | {"size": 6, "line": None, "color": np.repeat(color[rows], lengths)},
            text=np.repeat(texts, lengths),
            hovertemplate="%{text}<br>epoch %{x}: %{y:.4f}<extra></extra>",
        )
    if curves.best is not None:
        best, name = curves.values[curves.best], f"best: trial {curves.numbers[curves.best]}"
        line: Look = {"width": 4, "color": OKABE_ITO["vermillion"]}
        add_line(figure, np.arange(1, len(best) + 1), best, name, line=line)
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=BITS_LABEL)
    return figure


FIGURE = StudyFigure(
    name="learning_curves",
    order=80,
    caption="Validation bits per dimension by epoch; dashed: pruned; outlined: the best.",
    compute=lambda study: compute_learning_curves(study.epochs, study.trials),
    draw=draw_learning_curves,
    chart=learning_curves_chart,
)
