"""How the trials trained: bits per dimension by epoch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.plotly_style import add_dots, add_line, beta_colors, coloured
from analysis.figures.registry import StudyFigure
from analysis.figures.style import BITS_LABEL, OKABE_ITO, STATES, Look, beta_bar, log_colors, styled
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
    groups = epochs.groupby("number")
    first = groups.first()
    numbers = first.index.tolist()
    return LearningCurves(
        numbers,
        [values.to_numpy(float) for _, values in groups["val_bits_per_dim"]],
        first["state"].astype(str).tolist(),
        first["beta"].to_numpy(float),
        None if best is None else numbers.index(complete["number"].iloc[best]),
        first["latent_dim"].to_numpy(int),
    )


@styled
def draw_learning_curves(curves: LearningCurves) -> Figure:
    """A line a trial; pruned ones dashed, failed ones dotted, the best one outlined."""
    figure = Figure(figsize=(11, 6.5))
    axes = figure.subplots()
    scale = log_colors(curves.beta)
    for position, (values, state, beta) in enumerate(zip(curves.values, curves.states, curves.beta, strict=True)):
        epoch, color, is_best = np.arange(1, len(values) + 1), scale.to_rgba(beta), position == curves.best
        if is_best:
            axes.plot(epoch, values, "-", color=OKABE_ITO["vermillion"], lw=7, zorder=3, solid_capstyle="round")
        line: Look = {"color": color, "lw": 3 if is_best else 1.8, "zorder": 4 if is_best else 2}
        axes.plot(epoch, values, STATES[state].line, marker="o" if len(values) < 25 else None, ms=5, **line)
        if state == "PRUNED":
            axes.plot(epoch[-1], values[-1], "X", color=color, ms=12, mec="white", zorder=5)
    beta_bar(figure, scale)
    axes.set(xlabel="epoch", ylabel=BITS_LABEL)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True)
    handles = []
    if curves.best is not None:
        label = f"best: trial {curves.numbers[curves.best]}"
        handles.append(Line2D([], [], color=OKABE_ITO["vermillion"], lw=6, label=label))
    for state, style in STATES.items():
        if state in curves.states:
            marker = "X" if state == "PRUNED" else ""
            handles.append(Line2D([], [], ls=style.line, color="0.35", label=style.word, marker=marker, ms=10))
    axes.legend(handles=handles, handlelength=3)
    return figure


def learning_curves_chart(curves: LearningCurves) -> go.Figure:
    """Hover an epoch for its trial; one trace a state, as thousands of traces would be slow."""
    figure = go.Figure()
    color, bar = beta_colors(curves.beta)
    for state, style in STATES.items():
        rows = [k for k, found in enumerate(curves.states) if found == state]
        if not rows:
            continue
        lengths = [len(curves.values[k]) + 1 for k in rows]
        texts = [
            f"trial {curves.numbers[k]} ({style.word})<br>β {curves.beta[k]:.3g}, latent size {curves.latent_dim[k]}"
            for k in rows
        ]
        marker = coloured(color, "Viridis", None if figure.data else bar)
        marker |= {"size": 6, "line": None, "color": np.repeat(color[rows], lengths)}
        # a gap after each trial keeps its line from the next one's
        epochs = [epoch for length in lengths for epoch in (*range(1, length), None)]
        values = [value for k in rows for value in (*curves.values[k].tolist(), None)]
        line = {"dash": style.dash, "width": 1, "color": "rgba(128,128,128,.6)"}
        look: Look = {"mode": "lines+markers", "line": line, "marker": marker, "text": np.repeat(texts, lengths)}
        add_dots(figure, epochs, values, "%{text}<br>epoch %{x}: %{y:.4f}", name=style.word, **look)
    if curves.best is not None:
        best, name = curves.values[curves.best], f"best: trial {curves.numbers[curves.best]}"
        outline = {"width": 4, "color": OKABE_ITO["vermillion"]}
        add_line(figure, np.arange(1, len(best) + 1), best, name, line=outline)
    return figure.update_layout(xaxis_title="epoch", yaxis_title=BITS_LABEL)


FIGURE = StudyFigure(
    name="learning_curves",
    order=80,
    caption="Validation bits per dimension by epoch; dashed: pruned; outlined: the best.",
    compute=lambda study: compute_learning_curves(study.epochs, study.trials),
    note=lambda curves: "" if curves.numbers else "No trial has finished an epoch yet",
    draw=draw_learning_curves,
    chart=learning_curves_chart,
)
