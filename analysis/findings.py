"""What a study says, in sentences computed from its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.best import Run
from analysis.figures.rate_distortion import RateDistortion
from analysis.figures.search import TITLES, Importance
from analysis.trials import STATES

WORDS = {
    "COMPLETE": "complete",
    "PRUNED": "pruned early",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}
INDICATIVE = 20
"""Complete trials below which an importance is called a hint."""


def listed(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def named(column: str) -> str:
    return TITLES.get(column, column)


def findings(
    trials: pd.DataFrame, runs: list[Run], importance: Importance, plane: RateDistortion
) -> list[str]:
    """Sentences, the answer first. Every list of trials, even an empty one, gives some."""
    sentences = [*answer(trials, runs), states(trials)]
    sentences += what_mattered(importance) if len(trials) else []
    return sentences + trade_off(plane)


def answer(trials: pd.DataFrame, runs: list[Run]) -> list[str]:
    """The best trial, how it compares, and what training it longer gave."""
    searched = [run for run in runs if run.slug != "final"]
    final = next((run for run in runs if run.slug == "final"), None)
    if not searched:
        return ["No trial is complete yet, so there is no best model."]
    best = searched[0]
    bits = best.best["val_bits_per_dim"]
    model = best.config.model
    sentences = [
        f"The best trial is {best.label}, with KL weight {best.config.beta:.3g}, latent size "
        f"{model.latent_dim} and depth {model.depth}: {bits:.4f} bits per dimension on the validation images."
    ]
    if best.best["epoch"] == best.config.epochs:
        sentences[0] += " It was still improving in its last epoch."
    values = trials.loc[trials["state"] == "COMPLETE", "val_bits_per_dim"].dropna()
    if len(values) > 1:
        behind = sorted(values)[1] - bits
        sentences.append(
            f"The next best is {behind:.4f} bits behind, "
            f"the median complete trial {values.median() - bits:.4f}."
        )
    if final:
        change = final.best["val_bits_per_dim"] - bits
        sentences.append(
            f"A final training of {final.config.epochs} epochs reached {final.best['val_bits_per_dim']:.4f}, "
            f"{abs(change):.4f} {'lower' if change <= 0 else 'higher'} than the best trial."
        )
    return sentences


def states(trials: pd.DataFrame) -> str:
    """How many trials ended how."""
    counts = trials["state"].value_counts()
    parts = [f"{counts[state]} {WORDS[state]}" for state in reversed(STATES) if counts[state]]
    if not parts:
        return "The study has no trials yet."
    unfinished = counts["RUNNING"] + counts["WAITING"]
    note = " The search is not over, and these numbers may still change." if unfinished else ""
    return f"Of {len(trials)} trial{'s'[: len(trials) != 1]}, {listed(parts)}.{note}"


def what_mattered(importance: Importance) -> list[str]:
    """The parameters by their share of the variance."""
    if importance.note:
        return [f"{importance.note}."]
    shares = zip(importance.names, importance.shares, strict=True)
    parts = [f"{named(name)} ({share:.0%})" for name, share in shares]
    few = importance.trials < INDICATIVE
    hint = f" With {importance.trials} complete trials this is a hint, not a measurement." if few else ""
    return [f"What mattered for bits per dimension, by share of its variance: {listed(parts)}.{hint}"]


def trade_off(plane: RateDistortion) -> list[str]:
    """The ends of the Pareto front."""
    front = np.flatnonzero(plane.is_front)
    if not len(front):
        return []
    cheap, faithful = front[plane.rate[front].argmin()], front[plane.rate[front].argmax()]
    if cheap == faithful:
        return [f"One run, {plane.label[cheap]}, has both the lowest rate and the lowest distortion."]
    ends = [
        f"{plane.label[k]} (β {plane.beta[k]:.3g}, latent size {plane.latent_dim[k]}) spends "
        f"{plane.rate[k]:.1f} nats an image for a distortion of {plane.distortion[k]:.1f}"
        for k in (cheap, faithful)
    ]
    price = (plane.distortion[cheap] - plane.distortion[faithful]) / (
        plane.rate[faithful] - plane.rate[cheap]
    )
    return [
        f"Rate against distortion: at the front's cheap end {ends[0]} nats, "
        f"at its faithful end {ends[1]} nats; between them each "
        f"nat of rate saves {price:.1f} nats of distortion."
    ]
