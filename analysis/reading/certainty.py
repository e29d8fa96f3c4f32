"""How sure it is that a trial is the one to take at its own KL weight, from trainings with other seeds."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.reading.frames import complete_trials, repeats_of
from analysis.statistics.resampling import Interval, t_interval
from analysis.statistics.separability import Difference, separable


@dataclass(frozen=True)
class Certainty:
    """Values are D + beta R at the trial's beta, nats per image."""

    seeds: int
    """Complete trainings of it with other seeds. The trial itself was chosen for its value, which is low by chance."""
    value: Interval | None  # their mean's; None of fewer than 2
    rival: int | None
    """The trial that comes next at this beta: of those that were repeated where both were, else of all complete ones.
    None without another."""
    ahead: float  # the rival's value less the trial's own, as the search trained each; below 0 where it is behind
    difference: Difference | None  # the rival's other seeds less the trial's; None where it cannot be told

    @property
    def words(self) -> str:
        """In a few, such as "3 seeds: ±0.21 nats, not separable from trial 5"."""
        if self.value is None:
            return "one training" if not self.seeds else "two trainings"
        words = f"{self.seeds} seeds: ±{(self.value.high - self.value.low) / 2:.2g} nats"
        if self.difference is None:
            return words
        return f"{words}, {'' if self.difference.separable else 'not '}separable from trial {self.rival}"


def certainty(trials: pd.DataFrame, repeats: pd.DataFrame, number: int) -> Certainty:
    """Of a complete trial. Takes `analysis.load_trials` and `analysis.load_repeats`."""
    known = complete_trials(trials)
    if "likelihood" in known:  # it is searched, and distortions of another are no rivals
        known = known[known["likelihood"].isin(known.loc[known["number"] == number, "likelihood"])]
    numbers = known["number"].astype(int).tolist()
    beta = known["beta"].to_numpy(float)[numbers.index(number)]
    at_beta = known["val_distortion"].to_numpy(float) + beta * known["val_rate"].to_numpy(float)
    searched = dict(zip(numbers, at_beta.tolist(), strict=True))
    other_seeds = {other: _values(repeats, other, beta) for other in numbers}
    own = other_seeds.pop(number)
    repeated = {other: seeds for other, seeds in other_seeds.items() if len(seeds) > 1}
    both = len(own) > 1 and len(repeated) > 0
    rivals = {other: float(seeds.mean()) for other, seeds in repeated.items()} if both else searched
    rival = min(rivals.keys() - {number}, key=lambda other: (rivals[other], other), default=None)
    return Certainty(
        len(own),
        t_interval(own),
        rival,
        math.nan if rival is None else float(searched[rival] - searched[number]),
        separable(own, repeated[rival]) if both and rival is not None else None,
    )


def _values(repeats: pd.DataFrame, number: int, beta: float) -> np.ndarray:
    """D + beta R of a trial's complete repeats, (R,)."""
    of = repeats_of(repeats, number)
    complete = of[of["state"] == "COMPLETE"]
    values: np.ndarray = (complete["val_distortion"] + beta * complete["val_rate"]).to_numpy(float)
    return values
