"""Learning curves: one run's losses by epoch, and a study's trials beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import BITS_LABEL, INK, OKABE_ITO, SEQUENTIAL, beta_bar, beta_norm, draw_note, styled


@dataclass(frozen=True)
class Curves:
    """One run's metrics, each (epochs,); nats per image but for the bits."""

    epoch: np.ndarray
    train: dict[str, np.ndarray]
    """``loss distortion rate``, as training saw them."""
    validation: dict[str, np.ndarray]
    """The same on the validation images, the loss with the KL weight of the epoch; and ``bits_per_dim``."""


@dataclass(frozen=True)
class LearningCurves:
    """``bits_per_dim`` by epoch of every trial that reported."""

    numbers: list[int]
    values: list[np.ndarray]
    """(epochs,) of each trial."""
    states: list[str]
    beta: np.ndarray
    best: int | None
    """Position of the best complete trial."""
    latent_dim: np.ndarray
    """(trials,) int, as ``beta``."""


def compute_curves(rows: Sequence[Mapping[str, float]]) -> Curves:
    """The columns of a run's rows (`trainables.training.loop.fit`)."""

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows], dtype=float)

    train = {name: column(f"train_{name}") for name in ("loss", "distortion", "rate")}
    # loss = D + w R with a weight w that may warm up: what each epoch's weight was, its sums tell
    rate = np.where(train["rate"] > 0, train["rate"], 1.0)
    weight = (train["loss"] - train["distortion"]) / rate
    validation = {name: column(f"val_{name}") for name in ("distortion", "rate", "bits_per_dim")}
    validation["loss"] = validation["distortion"] + weight * validation["rate"]
    return Curves(column("epoch"), train, validation)


def compute_learning_curves(epochs: pd.DataFrame, trials: pd.DataFrame) -> LearningCurves:
    """From `analysis.load_epochs` and `analysis.load_trials`."""
    complete = trials[(trials["state"] == "COMPLETE") & trials["val_bits_per_dim"].notna()]
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
def draw_curves(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Loss, distortion, rate and bits per dimension of one run, training against validation."""
    if not rows:
        return draw_note("The run has not finished its first epoch")
    curves = compute_curves(rows)
    figure = Figure(figsize=(12, 7.5))
    panels = figure.subplots(2, 2).ravel()
    names = {
        "loss": "loss D + βR (nats per image)",
        "distortion": "distortion D (nats per image)",
        "rate": "rate R (nats per image)",
        "bits_per_dim": "bits per dimension",
    }
    marker = "o" if len(curves.epoch) < 40 else None
    for axes, (name, label) in zip(panels, names.items(), strict=True):
        if name in curves.train:
            axes.plot(
                curves.epoch, curves.train[name], marker=marker, ls="-", color=OKABE_ITO["blue"], label="training"
            )
        axes.plot(
            curves.epoch,
            curves.validation[name],
            marker=marker,
            ls="--",
            color=OKABE_ITO["vermillion"],
            label="validation",
        )
        axes.set_ylabel(label)
        axes.set_xlabel("epoch")
        axes.grid(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    bits = curves.validation["bits_per_dim"]
    best = int(bits.argmin())
    panels[3].plot(
        curves.epoch[best],
        bits[best],
        "*",
        ms=18,
        color=OKABE_ITO["orange"],
        mec=INK,
        label=f"best: {bits[best]:.3f} at epoch {curves.epoch[best]:.0f}",
    )
    panels[0].legend()
    panels[3].legend()
    return figure


@styled
def draw_learning_curves(curves: LearningCurves) -> Figure:
    """A line a trial; pruned ones dashed, failed ones dotted, the best one outlined."""
    if not curves.numbers:
        return draw_note("No trial has finished an epoch yet")
    figure = Figure(figsize=(11, 6.5))
    axes = figure.subplots()
    scale = ScalarMappable(beta_norm(curves.beta), SEQUENTIAL)
    dashes = {"PRUNED": "--", "FAIL": ":", "RUNNING": "-."}
    for position, (values, state, beta) in enumerate(zip(curves.values, curves.states, curves.beta, strict=True)):
        epoch = np.arange(1, len(values) + 1)
        is_best = position == curves.best
        if is_best:
            axes.plot(epoch, values, "-", color=OKABE_ITO["vermillion"], lw=7, zorder=3, solid_capstyle="round")
        axes.plot(
            epoch,
            values,
            dashes.get(state, "-"),
            color=scale.to_rgba(beta),
            lw=3 if is_best else 1.8,
            marker="o" if len(values) < 25 else None,
            ms=5,
            zorder=4 if is_best else 2,
        )
        if state == "PRUNED":
            axes.plot(epoch[-1], values[-1], "X", color=scale.to_rgba(beta), ms=12, mec="white", zorder=5)
    beta_bar(figure, axes, scale)
    axes.set_xlabel("epoch")
    axes.set_ylabel(BITS_LABEL)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True)
    legend_of_states(axes, curves)
    return figure


def legend_of_states(axes: Axes, curves: LearningCurves) -> None:
    kinds = {
        "complete": ("COMPLETE", "-"),
        "pruned": ("PRUNED", "--"),
        "failed": ("FAIL", ":"),
        "running": ("RUNNING", "-."),
    }
    handles = [
        Line2D([], [], ls=dash, color="0.35", label=name, marker="X" if name == "pruned" else "", ms=10)
        for name, (state, dash) in kinds.items()
        if state in curves.states
    ]
    if curves.best is not None:
        label = f"best: trial {curves.numbers[curves.best]}"
        handles.insert(0, Line2D([], [], ls="-", color=OKABE_ITO["vermillion"], lw=6, label=label))
    axes.legend(handles=handles, handlelength=3)
