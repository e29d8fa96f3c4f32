"""What a study says, in sentences computed from its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.figures.registry import StudyContext
from analysis.figures.study.importance import REMAINDER
from analysis.figures.study.rate_distortion import RateDistortion
from analysis.figures.style import TITLES
from analysis.reading.best_runs import Run
from analysis.reading.frames import repeated_bits
from analysis.reading.validation import column, read_epochs
from analysis.report.tables import cause_of
from analysis.statistics.importance import Importance
from analysis.statistics.pareto import FLAT, below_chord
from analysis.statistics.resampling import Interval
from analysis.statistics.separability import separable

SAME_BITS = 5e-5  # bits per dimension that four digits do not show
_LAST_GAIN = 0.01
"""Of what a training gained after its first epoch: from what share in its last one it may not have been over.
A schedule that ends at 0 makes the last epoch the best as a rule, but by less."""
_INDICATIVE = 20  # complete trials below which an importance is called a hint


def _listed(parts: list[str]) -> str:
    """Such as "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


@dataclass(frozen=True)
class Findings:
    """What the study says, the answer first. There is an answer without a trial, too."""

    answer: list[str]
    """Three sentences: the best trial and whether it is separable from the next, what mattered, and where
    the front bends; fewer where they cannot be told."""
    notes: list[str]  # what one should know before one uses it


def findings(study: StudyContext, importance: Importance, plane: RateDistortion) -> Findings:
    """Of a study, what mattered in it, and its rate-distortion plane."""
    trials, searched = study.trials, study.searched_runs
    if not searched:
        return Findings([_no_best(trials), *_failures(trials)], _unfinished(trials))
    answer = [
        _best_trial(searched) + _versus_next(searched, study.repeats),
        *importance_sentences(importance),
        *_bend(plane),
    ]
    best = searched[0]
    notes = [*_unfinished(trials), *collapsed(best), *_still_learning(best), *_last_training(best, study.final)]
    return Findings(answer, notes)


def _best_trial(searched: list[Run]) -> str:
    best, model = searched[0], searched[0].config.model
    kind = f"depth {model.depth}" if model.architecture == "convolutional" else f"architecture {model.architecture}"
    return (
        f"The best trial is {best.label}, with KL weight {best.config.beta:.3g}, latent size "
        f"{model.latent_dim} and {kind}: {best.best['val_bits_per_dim']:.4f} bits per dimension "
        "on the validation images"
    )


def _versus_next(searched: list[Run], repeats: pd.DataFrame) -> str:
    """The end of the first sentence: whether the winner is separable from the runner-up."""
    if len(searched) < 2:
        return "; no other is complete to compare it with."
    best, second = (Repeated.of(run, repeats) for run in searched[:2])
    ahead = searched[1].best["val_bits_per_dim"] - searched[0].best["val_bits_per_dim"]
    fewer = f"{ahead:.4f} fewer than" if ahead >= SAME_BITS else "no fewer than"
    return f", {fewer} the runner-up, {second.label}; {separability_clause(best, second)}."


@dataclass(frozen=True)
class Repeated:
    """A trial's trainings with other seeds."""

    label: str
    bits: np.ndarray  # per dimension, of those that are complete
    failed: int

    @classmethod
    def of(cls, run: Run, repeats: pd.DataFrame, study: str = "") -> "Repeated":
        """From `analysis.load_repeats`; ``study`` names whose trial it is, where there are several."""
        failed = (repeats["number"] == run.number) & (repeats["state"] == "FAIL")
        label = f"{run.label} of {study}" if study else run.label
        return cls(label, repeated_bits(repeats, run.number), int(failed.sum()))


def separability_clause(best: Repeated, second: Repeated) -> str:
    """Whether other seeds separate two trials, and which is then better: not always the search's choice,
    as that was chosen for its value, which is low by chance too. A clause."""
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


_COLLAPSED_NATS = 1.0  # rate of the best trial below which its code carries next to nothing


def collapsed(best: Run) -> list[str]:
    """A warning where the best trial does not use its latents: on images with a plain background, a model
    that draws it alone is ahead of those that have only begun to learn."""
    nats = best.best["val_rate"]
    if nats >= _COLLAPSED_NATS:
        return []
    return [
        f"The best trial's code carries {nats:.2f} nats an image, next to nothing, so this ranks models that "
        "ignore their latents: more epochs, more images or another learning rate may change the answer."
    ]


def _still_learning(best: Run) -> list[str]:
    """Whether the best trial had not come to its end."""
    gained, share = last_gain(column(read_epochs(best.folder), "val_bits_per_dim"))
    if share < _LAST_GAIN:
        return []
    return [
        f"The best trial gained {gained:.4f} bits in its last epoch, {share:.1%} of what it gained since "
        "its first: more epochs may help."
    ]


def last_gain(bits: np.ndarray) -> tuple[float, float]:
    """What the last epoch brought to the best so far, and its share of what all brought after the first;
    0 where it brought nothing, and of fewer than 3 epochs, of which the last is most of the training.

    Takes (epochs,) bits per dimension.
    """
    if len(bits) < 3 or not bits[-1] < bits[:-1].min():
        return 0.0, 0.0
    gained = float(bits[:-1].min() - bits[-1])
    return gained, gained / float(bits[0] - bits[-1])


def _last_training(best: Run, final: Run | None) -> list[str]:
    if final is None:
        return []
    bits = final.best["val_bits_per_dim"]
    change = bits - best.best["val_bits_per_dim"]
    than = f"{abs(change):.4f} {'lower' if change < 0 else 'higher'} than" if abs(change) >= SAME_BITS else "as"
    return [f"A final training of {final.config.epochs} epochs reached {bits:.4f}, {than} the best trial."]


def _unfinished(trials: pd.DataFrame) -> list[str]:
    """A warning while there is more to come."""
    if not len(trials):
        return ["The study has no trials yet."]
    over = not trials["state"].isin(["RUNNING", "WAITING"]).any()
    return [] if over else ["The search is not over, and these numbers may still change."]


def _no_best(trials: pd.DataFrame) -> str:
    """The answer without a complete trial."""
    return f"No trial is complete{' yet' if _unfinished(trials) else ''}, so there is no best model."


def _failures(trials: pd.DataFrame) -> list[str]:
    """Why trials failed: the commonest cause."""
    cause, of, count = cause_of(trials)
    if not count:
        return []
    of_all = (
        f"the cause of all {count} failures" if of == count else f"the commonest cause, of {of} of {count} failures"
    )
    return [f"{'The cause of the failure' if count == 1 else of_all.capitalize()}: {cause}."]


def importance_sentences(importance: Importance) -> list[str]:
    """The parameters by their share of the variance, and whether the largest two are separable."""
    if importance.note:
        return [f"{importance.note}."]
    intervals: Sequence[Interval | None] = importance.intervals or [None] * len(importance.names)
    parts = [
        f"{TITLES.get(name, name)} ({share:.0%}" + (f", {ends.low:.0%} to {ends.high:.0%})" if ends else ")")
        for name, share, ends in zip(importance.names, importance.shares, intervals, strict=True)
    ]
    close = importance.separable is False
    largest = _listed([TITLES.get(name, name) for name in importance.names[:2]])
    few = importance.trials < _INDICATIVE
    return [
        "What mattered for bits per dimension, by the share of its variance that each explains alone: "
        f"{_listed(parts)}; {REMAINDER}: {importance.remainder:.0%}"
        + f"; {largest} are not separable, as their intervals overlap" * close
        + f"; with {importance.trials} complete trials this is a hint, not a measurement" * few
        + "."
    ]


def _bend(plane: RateDistortion) -> list[str]:
    """Where the front bends, how surely, and the price of a nat on either side; or why it has no bend."""
    k = plane.knee
    front = np.flatnonzero(plane.is_front)
    if k is None:
        return [no_knee_sentence(plane.rate[front], plane.distortion[front])]
    first, last = front[plane.rate[front].argmin()], front[plane.rate[front].argmax()]
    surely = (
        ""
        if plane.knee_share is None
        else (f"; of the resamples of the trials that hold it, {plane.knee_share:.0%} bend there too")
    )
    return [
        f"The front of rate against distortion bends at {plane.label[k]} (β {plane.beta[k]:.3g}, latent size "
        f"{plane.latent_dim[k]}), {plane.rate[k]:.1f} nats of rate an image: up to there each nat saves "
        f"{plane.price(first, k):.1f} nats of distortion, beyond it {plane.price(k, last):.1f}{surely}."
    ]


def no_knee_sentence(rate: np.ndarray, distortion: np.ndarray) -> str:
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
