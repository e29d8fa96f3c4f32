"""Which model to take: the finished run that meets a wish best, and what it gives up against its neighbours."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.reading.best_runs import Run, longest, ranked_runs
from analysis.reading.frames import load_trials
from analysis.reading.study_record import StudyRecord, read_study
from analysis.reading.validation import read_rates
from analysis.statistics.pareto import knee, pareto_front
from trainables.errors import OptionError, UserError
from trainables.metrics import Metrics

if TYPE_CHECKING:
    from vae_models import VAE

_MORE = "more --trials or --epochs of the study may help"
_WISHES = ["rate", "distortion", "price", "bits", "knee"]


@dataclass(frozen=True)
class Wish:
    """What a model is taken for."""

    kind: str = "best"
    """``rate``: the lowest distortion at no more than ``value`` nats of rate. ``distortion``: the lowest rate at no
    more than ``value`` nats of distortion. ``price``: the lowest D + ``value`` R. ``bits``: the fewest bits per
    dimension. ``knee``: where the front bends. ``best``: the first of `analysis.reading.best_runs.ranked_runs`."""
    value: float = 0.0

    @classmethod
    def of(
        cls,
        rate: float | None = None,
        distortion: float | None = None,
        price: float | None = None,
        bits: bool = False,
        knee: bool = False,
    ) -> "Wish":
        """The one that is asked for; without any, ``best``. Raises: OptionError for more than one, and for a rate, a
        distortion or a price that is no number, or below 0 where none can be."""
        asked = dict(zip(_WISHES, (rate, distortion, price, bits or None, knee or None), strict=True))
        given = [(kind, float(value)) for kind, value in asked.items() if value is not None]
        if len(given) > 1:
            names = " and ".join(kind for kind, _ in given)
            raise OptionError(f"a model is taken for one wish, got {names}\nleave out all but one")
        if not given:
            return cls()
        kind, value = given[0]
        if not math.isfinite(value) or (value < 0 and kind != "distortion"):
            raise OptionError(f"{kind} must be a number{' from 0 up' * (kind != 'distortion')}, got {value:g}")
        return cls(kind, value)


@dataclass(frozen=True)
class Neighbours:
    """Of a run, on the front of several: all None of one that is alone there."""

    shorter: Run | None = None  # the next with a shorter code, a lower rate
    faithful: Run | None = None  # the next with more faithful images, a lower distortion
    better: Run | None = None
    """One that is as good in both and better in one, so that the run is not on the front, and has no neighbours."""


@dataclass(frozen=True)
class Choice:
    """The run to take."""

    study: StudyRecord
    wish: Wish
    run: Run
    is_met: bool  # False: no run meets the wish, and this one comes nearest
    beside: Neighbours  # among all finished runs
    trials: pd.DataFrame  # `analysis.load_trials` of the study
    rates: pd.DataFrame | None = None  # of a multi-rate network: `analysis.reading.validation.read_rates`
    place: int = 0  # of the KL weight among those, which is the wish's answer

    @property
    def beta(self) -> float | None:
        """The KL weight to take a multi-rate network at; None of a plain one, which has its own."""
        return None if self.rates is None else float(self.rates["beta"].iloc[self.place])


def choose(folder: StudyRecord | Path | str, wish: Wish | None = None) -> Choice:
    """Among the complete trials and the finished final trainings, those within the study's limits where a trial is.
    Raises: UserError as `ranked_runs`, and where there is none."""
    study, wish = read_study(folder), wish or Wish()
    if "model.likelihood" in study.space and wish.kind not in ("best", "bits"):
        rule = f"{wish.kind} compares distortions, which mean something else under each likelihood that is searched"
        raise OptionError(f"{rule} in {study.folder}\nask for --bits, or for none")
    trials = load_trials(study)
    runs = within_limits(study, ranked_runs(study, trials))
    if not runs:
        raise UserError(f"no trial of {study.folder} is complete, so there is no model to take\n{_MORE}")
    if study.is_multi_rate:
        return _at_a_weight(study, wish, runs[0], trials)
    at, is_met = _meeting(wish, runs, *_plane(runs))
    return Choice(study, wish, runs[at], is_met, neighbours(runs[at], runs), trials)


def _at_a_weight(study: StudyRecord, wish: Wish, run: Run, trials: pd.DataFrame) -> Choice:
    """The best multi-rate network, at that of its KL weights which meets the wish best; without one at the middle."""
    rates = read_rates(run.folder, run.config, run.best)
    rate, distortion = (rates[name].to_numpy(float) for name in ("val_rate", "val_distortion"))
    place, is_met = len(rates) // 2, True
    match wish.kind:
        case "rate":
            place, is_met = _within(rate, wish.value, distortion)
        case "distortion":
            place, is_met = _within(distortion, wish.value, rate)
        case "price":
            place = int((distortion + wish.value * rate).argmin())
        case "bits":
            place = int(rates["val_bits_per_dim"].argmin())
        case "knee":
            bend = knee(rate, distortion)
            place, is_met = (place, False) if bend is None else (bend, True)
    return Choice(study, wish, run, is_met, Neighbours(), trials, rates, place)


def typed_weight(beta: float, beta_range: tuple[float, float], digits: int = 4) -> str:
    """A KL weight of a range as a person types it, so that it is still within: with so many digits, or as many more as
    it takes."""
    texts = (f"{beta:.{count}g}" for count in range(digits, 17))
    return next((text for text in texts if beta_range[0] <= float(text) <= beta_range[1]), repr(beta))


def within_limits(study: StudyRecord, runs: list[Run]) -> list[Run]:
    """Those of a study's runs that keep to its limits; all where none does."""
    return [run for run in runs if study.is_within_limits(run.best)] or runs


def _plane(runs: list[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Rates and distortions, (N,) and (N,)."""
    rate, distortion = (np.array([run.best[name] for run in runs]) for name in ("val_rate", "val_distortion"))
    return rate, distortion


def neighbours(run: Run, runs: list[Run]) -> Neighbours:
    """Of one of these runs, among those of its likelihood."""
    runs = [each for each in runs if each.config.model.likelihood == run.config.model.likelihood]
    rate, distortion = _plane(runs)
    own, front = (run.best["val_rate"], run.best["val_distortion"]), np.flatnonzero(pareto_front(rate, distortion))
    x, y = rate[front], distortion[front]
    better = front[(x <= own[0]) & (y <= own[1]) & ((x < own[0]) | (y < own[1]))]
    if len(better):
        return Neighbours(better=runs[better[distortion[better].argmin()]])
    shorter, faithful = front[x < own[0]], front[y < own[1]]
    return Neighbours(
        runs[shorter[rate[shorter].argmax()]] if len(shorter) else None,
        runs[faithful[distortion[faithful].argmax()]] if len(faithful) else None,
    )


def price_of(run: Metrics, other: Metrics) -> float:
    """Nats of distortion that a nat of rate saves between two epochs' metrics; NaN of the same rate."""
    rates, distortions = ((other[name] - run[name]) for name in ("val_rate", "val_distortion"))
    return -distortions / rates if rates else math.nan


def load_best(
    folder: Path | str,
    rank: int = 0,
    *,
    rate: float | None = None,
    distortion: float | None = None,
    price: float | None = None,
    bits: bool = False,
    knee: bool = False,
    beta: float | None = None,
) -> "VAE":
    """The study's best model, or the ``rank``-th after it, or the one for a `Wish`; on the CPU, ready to ``encode``,
    ``decode``, ``sample`` and ``reconstruct``; a multi-rate network at the KL weight ``beta``, by default the middle of
    its range (`Run.load`), or for a wish at that of its measured weights which meets it best. Where no run meets the
    wish it is the nearest, with a warning. Raises: UserError where there is no such run, its weights are missing, torn
    or altered, or the wishes contradict each other."""
    wish = Wish.of(rate, distortion, price, bits, knee)
    if wish == Wish():
        return run_at_rank(read_study(folder), rank).load(beta)
    if beta is not None:
        raise OptionError(
            f"a KL weight is of a network without a wish, got beta {beta:g} and {wish.kind}\nleave out one"
        )
    if rank:
        raise OptionError(f"a rank is of the runs without a wish, got rank {rank} and {wish.kind}\nleave out one")
    choice = choose(folder, wish)
    if not choice.is_met:
        asked = wish.kind if wish.kind == "knee" else f"{wish.kind} {wish.value:g}"
        warnings.warn(f"no run of {folder} meets {asked}: {choice.run.label} comes nearest", stacklevel=2)
    return choice.run.load(choice.beta)


def run_at_rank(study: StudyRecord, rank: int) -> Run:
    """Raises: UserError where the study has no such run."""
    runs = ranked_runs(study)
    if not runs:
        raise UserError(f"no trial of {study.folder} is complete, so there is no model to take\n{_MORE}")
    if not 0 <= rank < len(runs):
        raise UserError(f"rank must be below the number of finished runs in {study.folder}, {len(runs)}, got {rank}")
    return runs[rank]


def _meeting(wish: Wish, runs: list[Run], rate: np.ndarray, distortion: np.ndarray) -> tuple[int, bool]:
    """The position of the run to take, and whether it meets the wish."""
    match wish.kind:
        case "rate":
            return _within(rate, wish.value, distortion)
        case "distortion":
            return _within(distortion, wish.value, rate)
        case "price":
            return int((distortion + wish.value * rate).argmin()), True
        case "bits":
            return int(np.argmin([run.best["val_bits_per_dim"] for run in runs])), True
        case "knee":
            return _at_knee(runs, rate, distortion)
    return 0, True


def _within(limited: np.ndarray, most: float, minimised: np.ndarray) -> tuple[int, bool]:
    """The position of the lowest of those within a limit; of the nearest to it where none is."""
    within = limited <= most
    return int(np.where(within, minimised, math.inf).argmin() if within.any() else limited.argmin()), bool(within.any())


def _at_knee(runs: list[Run], rate: np.ndarray, distortion: np.ndarray) -> tuple[int, bool]:
    """The final training of the trial at the knee, if it is finished; of a front without a knee the best of all."""
    searched = np.array([not run.is_final for run in runs])
    bend = knee(rate[searched], distortion[searched])
    if bend is None:
        return 0, False
    return runs.index(longest(runs[np.flatnonzero(searched)[bend]], runs)), True
