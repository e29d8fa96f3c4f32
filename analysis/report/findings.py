"""What a study says, in sentences computed from its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.figures.study.importance import REMAINDER
from analysis.figures.study.rate_distortion import RateDistortion
from analysis.figures.style import TITLES
from analysis.reading.best_runs import Run
from analysis.reading.frames import STATES
from analysis.reading.repeats import repeated_bits
from analysis.reading.validation import column, read_epochs
from analysis.statistics.importance import Importance
from analysis.statistics.pareto import FLAT, below_chord
from analysis.statistics.resampling import Interval
from analysis.statistics.separability import Rank, ranks, separable
from trainables.text import printable, without_passwords

WORDS = {"COMPLETE": "complete", "PRUNED": "pruned early", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
ALIKE = 5e-5
"""Bits per dimension that four digits do not show."""
LAST_GAIN = 0.01
"""Of what a training gained after its first epoch: from what share in its last one it may not have been over.
A schedule that ends at 0 makes the last epoch the best as a rule, but by less."""
LONGEST_CAUSE = 160
"""Characters."""
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
    trials: pd.DataFrame, repeats: pd.DataFrame, runs: list[Run], importance: Importance, plane: RateDistortion
) -> Findings:
    """From `analysis.load_trials`, `analysis.load_repeats`, and the study's ranked runs."""
    searched = [run for run in runs if run.slug != "final"]
    if not searched:
        return Findings([no_best(trials), *failures(trials)], [states(trials)])
    final = next((run for run in runs if run.slug == "final"), None)
    answer = [best_trial(searched) + versus_next(searched, repeats), *what_mattered(importance), *bend(plane)]
    notes = [
        states(trials),
        *failures(trials),
        *collapsed(searched[0]),
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
    best, second = (Repeated.of(run, repeats) for run in searched[:2])
    ahead = searched[1].best["val_bits_per_dim"] - searched[0].best["val_bits_per_dim"]
    fewer = f"{ahead:.4f} fewer than" if ahead >= ALIKE else "no fewer than"
    return f", {fewer} the runner-up, {second.label}; {told_apart(best, second)}."


@dataclass(frozen=True)
class Repeated:
    """A trial's trainings with other seeds."""

    label: str
    bits: np.ndarray
    """Per dimension, of those that are complete."""
    failed: int

    @classmethod
    def of(cls, run: Run, repeats: pd.DataFrame, study: str = "") -> Repeated:
        failed = (repeats["number"] == run.number) & (repeats["state"] == "FAIL")
        label = f"{run.label} of {study}" if study else run.label
        return cls(label, repeated_bits(repeats, run.number), int(failed.sum()))


def told_apart(best: Repeated, second: Repeated) -> str:
    """Whether other seeds separate two trials, and which is then better: not always the search's choice,
    as that was chosen for its luck too. A clause."""
    counts, failed = (len(best.bits), len(second.bits)), best.failed + second.failed
    found = separable(best.bits, second.bits)
    if found is None:
        if min(counts) > 1:
            return "the repeats of each agree to the last digit, which cannot tell merit from luck"
        lost = f" ({failed} repeat{'s' * (failed > 1)} failed)" if failed else ""
        advice = "" if failed else " (--seeds 3 would)"
        if not any(counts):
            return f"one training of each{lost} cannot tell merit from luck{advice}"
        return f"{counts[0]} and {counts[1]} repeats of them{lost} cannot tell merit from luck: each needs 2"
    gap = found.interval
    seeds = f"{counts[0]} other seeds each" if counts[0] == counts[1] else f"{counts[0]} and {counts[1]} other seeds"
    better = f", and {(best if gap.estimate > 0 else second).label} is better" if found.separable else ""
    return (
        f"with {seeds} the two are {'' if found.separable else 'not '}separable{better}: {second.label} lies "
        f"{gap.estimate:+.4f} bits from {best.label}, 95 % interval {gap.low:+.4f} to {gap.high:+.4f}"
    )


COLLAPSED_NATS = 1.0
"""Rate of the best trial below which its code carries next to nothing."""


def collapsed(best: Run) -> list[str]:
    """A warning where the best trial does not use its latents: on images with a plain background, a model
    that draws it alone is ahead of those that have only begun to learn."""
    nats = best.best["val_rate"]
    if nats >= COLLAPSED_NATS:
        return []
    return [
        f"The best trial's code carries {nats:.2f} nats an image, next to nothing, so this ranks models that "
        "ignore their latents: more epochs, more images or another learning rate may change the answer."
    ]


def spread(trials: pd.DataFrame, searched: list[Run]) -> list[str]:
    """How far the rest lies behind, and whether the best had come to its end."""
    best = searched[0]
    values = trials.loc[trials["state"] == "COMPLETE", "val_bits_per_dim"].dropna()
    sentences = []
    if len(values) > 1:
        behind = values.median() - best.best["val_bits_per_dim"]
        sentences.append(f"The median complete trial lies {behind:.4f} bits behind the best.")
    gained, share = last_gain(column(read_epochs(best.folder), "val_bits_per_dim"))
    if share >= LAST_GAIN:
        sentences.append(
            f"The best trial gained {gained:.4f} bits in its last epoch, {share:.1%} of what it gained since "
            "its first: more epochs may help."
        )
    return sentences


def last_gain(bits: np.ndarray) -> tuple[float, float]:
    """What the last epoch brought to the best so far, and its share of what all brought after the first;
    0 where it brought nothing, and of fewer than 3 epochs, of which the last is most of the training.

    Takes (epochs,) bits per dimension.
    """
    if len(bits) < 3 or not bits[-1] < bits[:-1].min():
        return 0.0, 0.0
    gained = float(bits[:-1].min() - bits[-1])
    return gained, gained / float(bits[0] - bits[-1])


def repeated(repeats: pd.DataFrame) -> list[str]:
    """What the repeats gave, the best first, and which of them are not separable."""
    done = repeats[repeats["state"] == "COMPLETE"]
    count = len(repeats) - len(done)
    failed = [f"{count} repeat{'s' * (count > 1)} with other seeds failed."] if count else []
    found = [(int(number), repeated_bits(repeats, number)) for number in done["number"].unique()]
    values = sorted((of for of in found if len(of[1]) > 1), key=lambda of: of[1].mean())
    if not values:
        return failed
    parts = [
        f"trial {number}: {bits.mean():.4f} ± {bits.std(ddof=1):.4f} ({len(bits)}), {place(rank)}"
        for (number, bits), rank in zip(values, ranks([bits for _, bits in values]), strict=True)
    ]
    alike = [
        f"trial {one} from trial {other}"
        for (one, a), (other, b) in combinations(values, 2)
        if not ((verdict := separable(a, b)) and verdict.separable)
    ]
    sentence = f"With other seeds, mean ± standard deviation (seeds), and rank: {'; '.join(parts)}"
    return [sentence + f"; not separable: {listed(alike)}" * bool(alike) + ".", *failed]


def place(rank: Rank) -> str:
    """Where a trial stands, and how surely."""
    low, high = round(rank.interval.low), round(rank.interval.high)
    ends = f"rank {low}" if low == high else f"rank {low} to {high}"
    return ends if rank.first is None else f"{ends}, first in {rank.first:.0%} of draws of the means"


def last_training(best: Run, final: Run | None) -> list[str]:
    if final is None:
        return []
    bits = final.best["val_bits_per_dim"]
    change = bits - best.best["val_bits_per_dim"]
    than = f"{abs(change):.4f} {'lower' if change < 0 else 'higher'} than" if abs(change) >= ALIKE else "as"
    return [f"A final training of {final.config.epochs} epochs reached {bits:.4f}, {than} the best trial."]


def states(trials: pd.DataFrame) -> str:
    """How many trials ended how."""
    counts = trials["state"].value_counts()
    parts = [f"{counts[state]} {WORDS[state]}" for state in reversed(STATES) if counts[state]]
    if not parts:
        return "The study has no trials yet."
    unfinished = counts["RUNNING"] + counts["WAITING"]
    note = " The search is not over, and these numbers may still change." if unfinished else ""
    return f"Of {len(trials)} trial{'s'[: len(trials) != 1]}, {listed(parts)}.{note}"


def no_best(trials: pd.DataFrame) -> str:
    over = len(trials) and not trials["state"].isin(["RUNNING", "WAITING"]).any()
    return f"No trial is complete{'' if over else ' yet'}, so there is no best model."


def failures(trials: pd.DataFrame) -> list[str]:
    """Why trials failed: the commonest cause."""
    causes = trials.loc[trials["state"] == "FAIL", "cause"].dropna().map(first_line)
    if not len(causes):
        return []
    counts = causes.value_counts()
    cause = counts.index[0]
    if len(causes) == 1:
        return [f"The cause of the failure: {cause}."]
    if len(counts) == 1:
        return [f"The cause of all {len(causes)} failures: {cause}."]
    return [f"The commonest cause, of {counts.iloc[0]} of {len(causes)} failures: {cause}."]


def first_line(cause: str) -> str:
    """For a sentence: short, without its full stop, and without what a terminal would obey."""
    line = printable(without_passwords(cause.strip() or "unknown")).splitlines()[0]
    return line.rstrip(". ") if len(line) <= LONGEST_CAUSE else line[:LONGEST_CAUSE].rstrip() + " …"


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
    """Where the front bends, how surely, and the price of a nat on either side; or why it has no bend."""
    k = plane.knee
    front = np.flatnonzero(plane.is_front)
    if k is None:
        return [no_bend(plane.rate[front], plane.distortion[front])]
    first, last = front[plane.rate[front].argmin()], front[plane.rate[front].argmax()]
    surely = (
        ""
        if plane.knee_share is None
        else (f"; of the resamples of the trials that hold it, {plane.knee_share:.0%} bend there too")
    )
    return [
        f"The front of rate against distortion bends at {plane.label[k]} (β {plane.beta[k]:.3g}, latent size "
        f"{plane.latent_dim[k]}), {plane.rate[k]:.1f} nats of rate an image: up to there each nat saves "
        f"{price(plane, first, k):.1f} nats of distortion, beyond it {price(plane, k, last):.1f}{surely}."
    ]


def no_bend(rate: np.ndarray, distortion: np.ndarray) -> str:
    """Of a front's (F,), (F,)."""
    found = below_chord(rate, distortion)
    if found is None:
        points = len(np.unique(rate))
        return (
            "Whether the front of rate against distortion bends cannot be told: it has "
            f"{points} point{'s' * (points != 1)}, and a bend takes 3."
        )
    if found[1].min() >= -FLAT:
        return "The front of rate against distortion has no bend: its points lie on a line."
    return (
        "The front of rate against distortion has no knee: it bends outwards, so no trial is below the line "
        "between its ends."
    )


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
        others = f", as {len(front) - 1} more" if len(front) > 1 else ""
        return [f"{plane.label[cheap].capitalize()} has both the lowest rate and the lowest distortion{others}."]
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
