"""The rate-distortion plane in numbers (Alemi et al. 2018, arXiv:1711.00464): what a trial pays, and what it gets. N
runs: the complete trials, then the finished final trainings; G points of a curve."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from analysis.figures.registry import StudyContext
from analysis.measures.linear import LinearModel
from analysis.reading.best_runs import Run
from analysis.reading.frames import eligible
from analysis.statistics.excess import Points
from analysis.statistics.pareto import hypervolume_interval, knee, knee_share, pareto_front, reference_point
from analysis.statistics.resampling import Interval
from trainables.errors import UserError

_BEYOND = 0.25
"""Of the way from the lowest value to the reference: how far beyond it an axis goes at most, or to Tukey's
fence, where that is farther."""
_MEASURED = ("val_rate", "val_distortion", "val_nelbo", "val_bits_per_dim", "beta", "latent_dim", "depth")
_GRID = np.geomspace(1e-12, 1, 600)  # KL weights of the linear model's curve, as shares of the largest eigenvalue


@dataclass(frozen=True)
class LinearCurve:
    """The best linear model of the training images (`analysis.measures.linear`), and the runs against it."""

    rate: np.ndarray  # (G,) rising, nats per image
    distortion: np.ndarray  # (G,)
    latent_dim: int
    gain: np.ndarray
    """(N,) nats per image: its lowest D + beta R at a run's own KL weight, minus the run's: above 0 the run is better.
    """


@dataclass(frozen=True)
class RateDistortion:
    """Each (N,), on the validation images; rate and distortion in nats per image."""

    label: list[str]
    rate: np.ndarray
    distortion: np.ndarray
    """Under the training ``likelihood``, which the search minimised; see ``calibrated``."""
    bits_per_dim: np.ndarray
    beta: np.ndarray
    latent_dim: np.ndarray
    depth: np.ndarray
    is_front: np.ndarray
    """No other trial within the study's limits has both a lower rate and a lower distortion (where none is within, of
    all). A final training, which had more epochs, is not compared."""
    longer_than: np.ndarray
    """Of a final training, the position of the trial that it trains longer, or its own where that is unknown; -1 of a
    trial."""
    calibrated: bool
    """Whether the distortion is that of pixels as they are, ``val_nelbo - val_rate``: an exact likelihood's own, and a
    density's under the calibrated discrete one, as distortions under different likelihoods cannot be compared. Rate +
    distortion is then bits per dimension."""
    likelihood: str  # in words; of several one of them
    dimensions: int  # numbers in an image
    knee: int | None  # position of the trial where the front bends; see `analysis.statistics.pareto.knee`
    knee_share: float | None  # how surely; see `analysis.statistics.pareto.knee_share`
    reference: tuple[float, float]  # the rate and distortion that the hypervolume is measured from; NaN of no trial
    hypervolume: Interval | None  # of the trials within the limits, in nats squared; None of fewer than 2
    linear: LinearCurve | None
    no_linear: str  # why there is none, as a clause; empty where there is one

    @property
    def is_final(self) -> np.ndarray:
        """(N,) bool: the last, longer trainings."""
        return np.asarray(self.longer_than >= 0)

    @property
    def nats_per_bit(self) -> float:
        """Nats per image that make one bit per dimension."""
        return self.dimensions * math.log(2)

    @property
    def frame(self) -> np.ndarray:
        """The ends of the axes, of rate and of distortion, (2, 2): they hold the front, the reference, the final
        trainings and what of the linear model's curve lies below them, but no run so far off that it would squash the
        others."""
        values = np.stack([self.rate, self.distortion])
        if self.hypervolume is not None:
            reference = np.array(self.reference)
            q1, q3 = np.quantile(values, (0.25, 0.75), axis=1, method="lower")
            farthest = np.maximum(reference + _BEYOND * (reference - values.min(1)), q3 + 1.5 * (q3 - q1))
            near = (values <= farthest[:, None]).all(0) | self.is_final
            values = np.column_stack([values[:, near], reference])
        low, high = values.min(1), values.max(1)
        if self.linear is not None:
            low[1] = min(low[1], np.interp(high[0], self.linear.rate, self.linear.distortion))  # it falls
        margin = 0.12 * (high - low)
        margin = np.where(margin > 0, margin, np.where(high == 0, 1.0, 0.05 * abs(high)))
        return np.stack([low - margin, high + margin], 1)

    @property
    def outside(self) -> np.ndarray:
        """(N,) bool: the runs that the frame leaves out."""
        return np.asarray((np.stack([self.rate, self.distortion]) > self.frame[:, 1:]).any(0))

    @property
    def front(self) -> np.ndarray:
        """Positions of the front's trials, by their rate."""
        return np.flatnonzero(self.is_front)[np.argsort(self.rate[self.is_front], kind="stable")]

    def price(self, cheap: int, faithful: int) -> float:
        """Nats of distortion that a nat of rate saves between two runs."""
        saved = self.distortion[cheap] - self.distortion[faithful]
        return float(saved / (self.rate[faithful] - self.rate[cheap]))


def likelihoods(study: StudyContext) -> set[str]:
    """Those under which its trials measure their distortions: of several, these cannot be compared."""
    searched = study.record.space.get("model.likelihood")
    if isinstance(searched, CategoricalDistribution):
        return set(map(str, searched.choices))
    return {study.record.base.model.likelihood}


def points(study: StudyContext, calibrated: bool) -> tuple[Points, np.ndarray]:
    """Of the trials that may be on the front: rates and distortions, (N,) and (N,), and KL weights, (N,)."""
    kept = study.trials[eligible(study.trials, study.record.where)]
    return (kept["val_rate"].to_numpy(float), _distortion(kept, calibrated)), kept["beta"].to_numpy(float)


def _distortion(measured: Any, calibrated: bool) -> np.ndarray:
    """Of a frame, or of its columns by name."""
    found = measured["val_nelbo"] - measured["val_rate"] if calibrated else measured["val_distortion"]
    return np.asarray(found, dtype=float)


def compute_rate_distortion(
    study: StudyContext,
    calibrated: bool | None = None,
    reference: tuple[float, float] | None = None,
    finals: bool = True,
) -> RateDistortion:
    """Of the trials and the final trainings, or of the trials alone. By default ``calibrated`` where the study searches
    the likelihood. ``reference`` is the hypervolume's, for studies to be compared; by default
    `analysis.statistics.pareto.reference_point`."""
    calibrated = len(likelihoods(study)) > 1 if calibrated is None else calibrated
    trials = study.trials[eligible(study.trials, ())]
    kept = np.flatnonzero(eligible(trials, study.record.where))
    searched, _ = points(study, calibrated)
    longer = _finals(study, trials["number"].tolist()) if finals else []
    runs = [_numbers(run) for run, _ in longer]
    table = {name: np.append(trials[name].to_numpy(float), [each[name] for each in runs]) for name in _MEASURED}
    rate, distortion, beta = table["val_rate"], _distortion(table, calibrated), table["beta"]
    is_front = np.zeros(len(rate), dtype=bool)
    is_front[kept] = pareto_front(*searched)
    if reference is None:
        reference = reference_point(searched) if len(kept) else (math.nan, math.nan)
    bend = knee(*searched)
    linear, no_linear = _linear(study, rate, distortion, beta, calibrated)
    return RateDistortion(
        label=[f"trial {n}" for n in trials["number"]] + [run.label for run, _ in longer],
        rate=rate,
        distortion=distortion,
        bits_per_dim=table["val_bits_per_dim"],
        beta=beta,
        latent_dim=table["latent_dim"].astype(int),
        depth=table["depth"].astype(int),
        is_front=is_front,
        longer_than=np.array([-1] * len(trials) + [trial for _, trial in longer], dtype=int),
        calibrated=calibrated,
        likelihood=study.record.base.model.likelihood_words,
        dimensions=study.record.base.model.dimensions,
        knee=None if bend is None else int(kept[bend]),
        knee_share=knee_share(*searched),
        reference=reference,
        hypervolume=hypervolume_interval(*searched, reference),
        linear=linear,
        no_linear=no_linear,
    )


def _numbers(run: Run) -> dict[str, float]:
    model = run.config.model
    return {**run.best, "beta": run.config.main_beta, "latent_dim": model.latent_dim, "depth": model.depth}


def _finals(study: StudyContext, numbers: list[int]) -> list[tuple[Run, int]]:
    """The final trainings, each with the position of the trial that it trains longer, or its own."""
    found: list[tuple[Run, int]] = []
    for final in (run for run in study.runs if run.is_final):
        trial = _trial_of(final, study.searched_runs)
        found.append((final, len(numbers) + len(found) if trial is None else numbers.index(trial.number)))
    return found


def _trial_of(final: Run, trials: list[Run]) -> Run | None:
    """The trial that a final training trains longer. By definitions 1 it does not say which: of those whose configs
    differ by no more than the seed, its own comes first."""
    like = {"epochs": final.config.epochs, "seed": final.config.seed}
    same = [trial for trial in trials if trial.config.replace(like) == final.config]
    return min(same, key=lambda trial: trial.config.seed != final.config.seed, default=None)


def _linear(
    study: StudyContext, rate: np.ndarray, distortion: np.ndarray, beta: np.ndarray, calibrated: bool
) -> tuple[LinearCurve | None, str]:
    """The curve, or why there is none."""
    try:
        if calibrated:
            raise UserError("its closed form is of the training likelihood, and this plane's is the calibrated one")
        model = study.linear
    except UserError as error:
        return None, str(error)
    gain = model.loss(beta) - (distortion + beta * rate)
    return LinearCurve(*linear_curve(model), model.latent_dim, gain), ""


def linear_curve(model: LinearModel) -> tuple[np.ndarray, np.ndarray]:
    """Rates, rising, and distortions of the best linear model, (G,) each, nats per image."""
    largest = model.eigenvalues.max()
    curve = model.optimum(largest * _GRID[::-1]) if largest > 0 else model.optimum(np.ones(1))
    return curve.rate, curve.distortion


def pca_sentence(plane: RateDistortion) -> str:
    """Whether the front beats the best linear model, trial by trial at its own KL weight, and the final trainings
    likewise; or why that is not known. Empty without a trial."""
    front = plane.front
    if not len(front):
        return ""
    if plane.linear is None:
        return f"Whether the front beats the best linear model (PCA) is not known: {plane.no_linear}."
    model = f"the best linear model (PCA of the training images, latent size {plane.linear.latent_dim})"
    said = _against(plane.linear.gain[front], model)
    longer = plane.linear.gain[plane.is_final]
    return said if not len(longer) else f"{said} {_longer_against(longer)}"


def _against(gain: np.ndarray, model: str) -> str:
    """Of what each trial of the front gains over the linear model, (N,) nats."""
    better, count = gain > 0, len(gain)
    beaten = int(better.sum())
    where = "At each KL weight of the front" if count > 1 else "At the KL weight of the front's one trial"
    if better.all():
        return f"{where} {model} is worse, by {_range(gain)} an image of distortion + β rate."
    if not better.any():
        ties = " or as good" * bool((gain == 0).any())
        return f"{where} {model} is better{ties}, by {_range(-gain)} an image of distortion + β rate."
    return (
        f"At the KL weight{'s' * (beaten > 1)} of {beaten} of the front's {count} trials {model} is worse, by "
        f"{_range(gain[better])} an image of distortion + β rate; at the others' it is better, by "
        f"{_range(-gain[~better])}."
    )


def _longer_against(gain: np.ndarray) -> str:
    """The same of the final trainings, (N,)."""
    beaten = int((gain > 0).sum())
    if not beaten:
        who = "The final training does not beat" if len(gain) == 1 else "None of the final trainings beats"
        return f"{who} it, which is better by {_range(-gain)}."
    who = "The final training" if len(gain) == 1 else f"{beaten} of the {len(gain)} final trainings"
    return f"{who} beat{'s' * (beaten == 1)} it, by {_range(gain[gain > 0])}."


def _range(nats: np.ndarray) -> str:
    """Such as "3.1 to 12.4 nats"."""
    low, high = f"{nats.min():,.1f}", f"{nats.max():,.1f}"
    return f"{high} nats" if low == high else f"{low} to {high} nats"


def framed(points: np.ndarray, linear: np.ndarray | None, margin: float, least: float = 1e-6) -> np.ndarray:
    """The ends of the axes, (2, 2), that hold a curve's rates and distortions, (2, K), and over the same rates the
    linear model's, (2, G): with a ``margin`` on each side, a share of what they span, and at least ``least`` nats."""
    if linear is not None:
        points = np.concatenate([points, [points[0], np.interp(points[0], *linear)]], 1)
    low, high = points.min(1), points.max(1)
    around = np.maximum(margin * (high - low), least)
    return np.stack([low - around, high + around], 1)
