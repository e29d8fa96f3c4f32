"""What a study says, in sentences computed from its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.best import Run
from analysis.figures.rate_distortion import RateDistortion
from analysis.figures.search import REMAINDER, TITLES, Importance
from analysis.repeats import repeated_bits
from analysis.statistics import Interval, Rank, ranks, separable
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


@dataclass(frozen=True)
class Findings:
    """What the study says, the answer first. Every list of trials, even an empty one, gives some."""

    answer: list[str]
    """Three sentences: the best trial and whether it is separable from the next, what mattered, and where
    the front bends; fewer where they cannot be told."""
    notes: list[str]
    """What one would ask next."""


def findings(
    trials: pd.DataFrame,
    repeats: pd.DataFrame,
    runs: list[Run],
    importance: Importance,
    plane: RateDistortion,
) -> Findings:
    """From `analysis.load_trials`, `analysis.load_repeats`, and the study's ranked runs."""
    searched = [run for run in runs if run.slug != "final"]
    if not searched:
        return Findings(["No trial is complete yet, so there is no best model."], [states(trials)])
    final = next((run for run in runs if run.slug == "final"), None)
    answer = [best_trial(searched) + versus_next(searched, repeats), *what_mattered(importance), *bend(plane)]
    notes = [
        states(trials),
        *spread(trials, searched),
        *repeated(repeats),
        *last_training(searched[0], final),
    ]
    return Findings(answer, notes + trade_off(plane))


def best_trial(searched: list[Run]) -> str:
    best, model = searched[0], searched[0].config.model
    return (
        f"The best trial is {best.label}, with KL weight {best.config.beta:.3g}, latent size "
        f"{model.latent_dim} and depth {model.depth}: {best.best['val_bits_per_dim']:.4f} bits per dimension "
        "on the validation images"
    )


def versus_next(searched: list[Run], repeats: pd.DataFrame) -> str:
    """The end of the first sentence: whether the winner is separable from the runner-up."""
    if len(searched) < 2:
        return "; no other is complete to compare it with."
    best, second = searched[:2]
    ahead = second.best["val_bits_per_dim"] - best.best["val_bits_per_dim"]
    values = [repeated_bits(repeats, run.number) for run in (best, second)]
    found = separable(*values)
    if found is None:
        return (
            f", {ahead:.4f} fewer than the runner-up, {second.label}; one training of each cannot tell merit "
            "from luck (--seeds 3 would)."
        )
    gap = found.interval
    counts = " and ".join(map(str, sorted({len(v) for v in values})))
    interval = f"{gap.estimate:+.4f} bits, 95 % interval {gap.low:+.4f} to {gap.high:+.4f}"
    verdict = "separable" if found.separable else "not separable"
    better = "" if gap.estimate > 0 or not found.separable else ", and it is the runner-up that is better"
    return (
        f"; it is {verdict} from the runner-up, {second.label}, which with {counts} other seeds each lies "
        f"{interval} from it{better}."
    )


def spread(trials: pd.DataFrame, searched: list[Run]) -> list[str]:
    """How far the rest lies behind, and whether the best had come to its end."""
    best = searched[0]
    values = trials.loc[trials["state"] == "COMPLETE", "val_bits_per_dim"].dropna()
    sentences = []
    if len(values) > 1:
        behind = values.median() - best.best["val_bits_per_dim"]
        sentences.append(f"The median complete trial lies {behind:.4f} bits behind the best.")
    if best.best["epoch"] == best.config.epochs:
        sentences.append("The best trial was still improving in its last epoch: more epochs would help.")
    return sentences


def repeated(repeats: pd.DataFrame) -> list[str]:
    """What the repeats gave, the best first: those whose ranks overlap are not separable."""
    done = repeats[repeats["state"] == "COMPLETE"]
    if not len(done):
        return []
    found = [(int(number), repeated_bits(repeats, number)) for number in done["number"].unique()]
    values = sorted((of for of in found if len(of[1]) > 1), key=lambda of: of[1].mean())
    if not values:
        return []
    parts = [
        f"trial {number}: {bits.mean():.4f} ± {bits.std(ddof=1):.4f} ({len(bits)}), {place(rank)}"
        for (number, bits), rank in zip(values, ranks([bits for _, bits in values]), strict=True)
    ]
    failed = f" {len(repeats) - len(done)} failed." if len(repeats) > len(done) else ""
    return [f"With other seeds, mean ± standard deviation (seeds), and rank: {'; '.join(parts)}.{failed}"]


def place(rank: Rank) -> str:
    """Where a trial stands, and how surely."""
    low, high = round(rank.interval.low), round(rank.interval.high)
    ends = f"{low}" if low == high else f"{low} to {high}"
    return f"rank {ends}, first in {rank.first:.0%} of resampled seeds"


def last_training(best: Run, final: Run | None) -> list[str]:
    if final is None:
        return []
    bits = final.best["val_bits_per_dim"]
    change = bits - best.best["val_bits_per_dim"]
    return [
        f"A final training of {final.config.epochs} epochs reached {bits:.4f}, "
        f"{abs(change):.4f} {'lower' if change <= 0 else 'higher'} than the best trial."
    ]


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
    """The parameters by their share of the variance, and whether the largest two are separable."""
    if importance.note:
        return [f"{importance.note}."]
    intervals: Sequence[Interval | None] = importance.intervals or [None] * len(importance.names)
    parts = [
        f"{named(name)} ({share:.0%}" + (f", {ends.low:.0%} to {ends.high:.0%})" if ends else ")")
        for name, share, ends in zip(importance.names, importance.shares, intervals, strict=True)
    ]
    close = importance.separable is False
    largest = listed([named(name) for name in importance.names[:2]])
    few = importance.trials < INDICATIVE
    return [
        "What mattered for bits per dimension, by the share of its variance that each explains alone: "
        f"{listed(parts)}; {REMAINDER}: {importance.remainder:.0%}"
        + f"; {largest} are not separable, as their intervals overlap" * close
        + f"; with {importance.trials} complete trials this is a hint, not a measurement" * few
        + "."
    ]


def bend(plane: RateDistortion) -> list[str]:
    """Where the front bends, and the price of a nat on either side."""
    k = plane.knee
    if k is None:
        return [
            "The front of rate against distortion has no bend: fewer than three trials, or a line, make it."
        ]
    front = np.flatnonzero(plane.is_front)
    first, last = front[plane.rate[front].argmin()], front[plane.rate[front].argmax()]
    return [
        f"The front of rate against distortion bends at {plane.label[k]} (β {plane.beta[k]:.3g}, latent size "
        f"{plane.latent_dim[k]}), {plane.rate[k]:.1f} nats of rate an image: up to there each nat saves "
        f"{price(plane, first, k):.1f} nats of distortion, beyond it {price(plane, k, last):.1f}."
    ]


def price(plane: RateDistortion, cheap: int, faithful: int) -> float:
    """Nats of distortion that a nat of rate saves between two runs."""
    saved = plane.distortion[cheap] - plane.distortion[faithful]
    return float(saved / (plane.rate[faithful] - plane.rate[cheap]))


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
    return [
        f"Rate against distortion: at the front's cheap end {ends[0]} nats, "
        f"at its faithful end {ends[1]} nats; between them each "
        f"nat of rate saves {price(plane, cheap, faithful):.1f} nats of distortion."
    ]
