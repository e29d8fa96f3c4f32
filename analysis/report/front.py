"""The front of rate against distortion as a table: what each of its models costs, gives, and how sure that is."""

import pandas as pd

from analysis.figures.registry import StudyContext
from analysis.figures.style import BETA_LABEL, SIZE_LABEL
from analysis.reading.best_runs import Run
from analysis.reading.certainty import Certainty, certainty
from analysis.reading.validation import column, read_epochs
from trainables.records.trial_folder import TrialFolder
from vae_models.vae import parameter_count

MOST_ROWS = 16  # of the table


def front_runs(study: StudyContext) -> list[Run]:
    """The front's trials, and what was trained longer of them, by their rate."""
    numbers = set(study.trials.loc[study.trials["front"], "number"])
    trials = [run for run in study.searched_runs if run.number in numbers]
    longer = [run for run in study.runs if run.is_final]
    return sorted([*trials, *longer], key=lambda run: run.best["val_rate"])


def front_table(study: StudyContext, runs: list[Run]) -> pd.DataFrame:
    """A row a run of `front_runs`, in their order: on the validation images at its best epoch, rate and distortion in
    nats per image, the mean squared error of pixels in [0, 1]."""
    rows = []
    for run in runs:
        model, best = run.config.model, run.best
        rows.append(
            {
                "run": run.label,
                "rate (nats)": best["val_rate"],
                "distortion (nats)": best["val_distortion"],
                "MSE": best["val_mse"],
                "bits/dim": best["val_bits_per_dim"],
                BETA_LABEL: run.config.beta,
                SIZE_LABEL: model.latent_dim,
                "network": model.layers,
                "parameters": parameter_count(model),
                "s an epoch": _seconds(run.folder),
                "how sure": "one training" if run.is_final else certainty_words(_certainty(study, run)),
            }
        )
    return pd.DataFrame(rows)


def _seconds(folder: TrialFolder) -> float:
    """What an epoch of a training took, the median."""
    return float(pd.Series(column(read_epochs(folder), "epoch_seconds")).median())


def _certainty(study: StudyContext, run: Run) -> Certainty:
    return certainty(study.trials, study.repeats, run.number)


def certainty_words(found: Certainty) -> str:
    """In a few words, such as "3 seeds: ±0.21 nats, not separable from trial 5"."""
    if found.value is None:
        return "one training" if not found.seeds else "two trainings"
    half = (found.value.high - found.value.low) / 2
    words = f"{found.seeds} seeds: ±{half:.2g} nats"
    if found.difference is None:
        return words
    return f"{words}, {'' if found.difference.separable else 'not '}separable from trial {found.rival}"
