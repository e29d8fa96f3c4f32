"""The front of rate against distortion as a table: what each of its models costs, gives, and how sure that is."""

import math
from contextlib import suppress

import numpy as np
import pandas as pd

from analysis.figures.registry import StudyContext
from analysis.figures.style import BETA_LABEL, SIZE_LABEL
from analysis.measures.codes import chosen_rows
from analysis.measures.held_out import image_losses
from analysis.reading.best_runs import Run
from analysis.reading.certainty import Certainty, certainty
from analysis.reading.choice import neighbours, price_of, within_limits
from analysis.reading.validation import column, read_epochs
from analysis.statistics.pareto import spread
from analysis.statistics.resampling import standard_error, t_interval
from trainables.errors import UserError
from trainables.records.trial_folder import TrialFolder
from trainables.training.process_group import first_device
from vae_models.vae import parameter_count

_MOST_ROWS = 12  # of the table
_MOST_MEASURED, _MOST_IMAGES = 8, 2_500  # trials, and test images of each: a CPU's seconds
HELD_OUT = "Does the front hold on the test images?"
EXPLAINED = {
    HELD_OUT: f"Trials of the front, on a random {_MOST_IMAGES:,} test images at most; ± is the standard error over "
    "images. The last column compares each with the nearest other trial of the table, of the same likelihood, at its "
    "own KL weight, on the same images: not separable where the 95 % interval of the mean difference (Student's t) "
    "holds 0."
}
"""By the title of a table: what a reader must know of it."""


def front_trials(study: StudyContext) -> list[Run]:
    """The front's trials, by their rate."""
    numbers = set(study.trials.loc[study.trials["front"], "number"])
    return _by_rate([run for run in study.searched_runs if run.number in numbers])


def front_runs(study: StudyContext) -> list[Run]:
    """The front's trials, and what was trained longer of them, by their rate."""
    return _by_rate([*front_trials(study), *(run for run in study.runs if run.is_final)])


def _by_rate(runs: list[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: run.best["val_rate"])


def front_table(study: StudyContext, most: int = _MOST_ROWS) -> pd.DataFrame:
    """A row a run of `front_runs`, by rate, of more than ``most`` those spread over the front: on the validation images
    at its best epoch, rate and distortion in nats per image, and how many of distortion each nat of rate saves that it
    has more than the shorter one of its `neighbours` among all runs; the mean squared error of pixels in [0, 1]."""
    rows: list[dict[str, object]] = []
    every, is_searched = within_limits(study.record, study.runs), "model.likelihood" in study.record.space
    for run in spread_out(front_runs(study), most):
        model, best = run.config.model, run.best
        shorter = neighbours(run, every).shorter
        rows.append(
            {
                "run": run.label,
                **({"likelihood": model.likelihood_words} if is_searched else {}),
                "rate (nats)": best["val_rate"],
                "distortion (nats)": best["val_distortion"],
                "a nat saves": price_of(shorter.best, best) if shorter else math.nan,
                "MSE": best["val_mse"],
                "bits/dim": best["val_bits_per_dim"],
                BETA_LABEL: run.config.main_beta,
                SIZE_LABEL: model.latent_dim,
                "network": model.layers,
                "parameters": parameter_count(model),
                "s an epoch": _seconds(run.folder),
                "how sure": "one training" if run.is_final else _certainty(study, run).words,
            }
        )
    return pd.DataFrame(rows)


def spread_out(runs: list[Run], most: int) -> list[Run]:
    """At most so many of `front_runs`, in their order: the knee, the ends, and of the others the farthest apart; of
    each likelihood as many."""
    if len(runs) <= most:
        return runs
    kept: set[int] = set()
    likelihoods = [run.config.model.likelihood for run in runs]
    for likelihood in set(likelihoods):
        at = [k for k, each in enumerate(likelihoods) if each == likelihood]
        rate, distortion = (np.array([runs[k].best[name] for k in at]) for name in ("val_rate", "val_distortion"))
        kept |= {at[k] for k in spread(rate, distortion, max(1, most // len(set(likelihoods))))}
    return [runs[k] for k in sorted(kept)]


def _seconds(folder: TrialFolder) -> float:
    """What an epoch of a training took, the median."""
    return float(pd.Series(column(read_epochs(folder), "epoch_seconds")).median())


def _certainty(study: StudyContext, run: Run) -> Certainty:
    return certainty(study.trials, study.repeats, run.number)


def held_out_table(study: StudyContext, most: int = _MOST_MEASURED) -> pd.DataFrame:
    """Whether the front holds on the test images, of which a random 2,500 are taken at most: a row a trial of it, of
    more than ``most`` those spread over it; no row without images. ± is the standard error over images; the last column
    compares a trial with the next of the table at its KL weight, on the same images (Student's t of the differences,
    95 %)."""
    if study.data is None:
        return pd.DataFrame()
    trials, losses = spread_out(front_trials(study), most), {}
    images = study.data.test.images
    chosen = chosen_rows(len(images), _MOST_IMAGES, seed=0)
    for run in trials:
        with suppress(UserError):  # its own section says what is wrong with it
            losses[run.label] = image_losses(run.load().to(first_device()), images, chosen)
    rows = []
    for run in trials:
        if run.label in losses:
            own, beta = losses[run.label], run.config.main_beta
            alike = [it.label for it in trials if it.config.model.likelihood == run.config.model.likelihood]
            others = [label for label in alike if label in losses and label != run.label]
            rivals = {label: losses[label].at(beta) - own.at(beta) for label in others}
            rows.append(
                {
                    "run": run.label,
                    "rate (nats), validation": run.best["val_rate"],
                    "rate (nats), test": _measured(own.rate),
                    "distortion (nats), validation": run.best["val_distortion"],
                    "distortion (nats), test": _measured(own.distortion),
                    "at its own KL weight, on the test images": _ahead(rivals),
                }
            )
    return pd.DataFrame(rows)


def _measured(values: np.ndarray) -> str:
    """A mean and its standard error."""
    return f"{values.mean():.2f} ± {standard_error(values):.2f}"


def _ahead(rivals: dict[str, np.ndarray]) -> str:
    """By how many nats a trial is ahead of the next, of what each rival loses more on each image, (N,)."""
    if not rivals:
        return ""
    label = min(rivals, key=lambda rival: float(rivals[rival].mean()))
    ahead = t_interval(rivals[label])
    if ahead is None or ahead.low <= 0 <= ahead.high:
        return f"not separable from {label}"
    return f"{abs(ahead.estimate):.2f} nats {'ahead of' if ahead.estimate > 0 else 'behind'} {label}"
