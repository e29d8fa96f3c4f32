"""The best runs of a study: ranked, exported."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.reading.frames import load_trials
from analysis.reading.study_record import StudyRecord, read_study
from analysis.reading.validation import best_row, check_rates, is_done, read_epochs
from analysis.statistics.pareto import spread
from trainables.config import TrialConfig
from trainables.errors import StudyWarning, UserError
from trainables.metrics import Metrics
from trainables.records.atomic_files import write_atomic
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

if TYPE_CHECKING:
    from vae_models import VAE


@dataclass(frozen=True)
class Run:
    """A finished training: a complete trial, or the final one."""

    label: str  # for people: "trial 7", "final", "final of trial 7"
    slug: str  # for file names: "trial_0007", "final", "final_0007"
    folder: TrialFolder
    config: TrialConfig
    best: Metrics  # of the epoch whose weights are kept

    @property
    def number(self) -> int:
        """Of the trial. Raises: ValueError for the final training by definitions 1, which has none."""
        return int(self.slug.rpartition("_")[2])

    @property
    def is_final(self) -> bool:
        """Whether it is a last, longer training."""
        return self.slug.startswith("final")

    @property
    def stem(self) -> str:
        """File name of this run's figures: "trial_0007_epoch_0012"."""
        return f"{self.slug}_epoch_{int(self.best['epoch']):04d}"

    def load(self, beta: float | None = None) -> "VAE":
        """`load_whole`, of a multi-rate network its view at a KL weight, by default at that of its single numbers.
        Raises: UserError likewise, and for a KL weight that it has not."""
        model = self.load_whole()
        if not self.config.model.multi_rate:
            if beta not in (None, self.config.beta):
                raise UserError(f"beta must be that of {self.label}, {self.config.beta:g}, got {beta:g}")
            return model
        try:
            return model.at(self.config.main_beta if beta is None else beta)
        except ValueError as error:
            raise UserError(f"{error}\nof {self.label}") from error

    def load_whole(self) -> "VAE":
        """The weights of the best epoch, on the CPU in evaluation mode. Raises: UserError as `load_weights`, and for
        weights of another training."""
        from trainables.training.checkpoint import load_weights  # a list of runs needs no torch

        model, metrics = load_weights(self.folder.best)
        same = all(metrics.get(name) == self.best[name] for name in ("epoch", "val_bits_per_dim"))
        if model.config != self.config.model or not same:
            raise UserError(f"{self.folder.best} must hold the weights of {self.label}'s best epoch\nrestore it")
        return model


def ranked_runs(folder: StudyRecord | Path | str, trials: pd.DataFrame | None = None) -> list[Run]:
    """The complete trials, and the finished final trainings, those within the study's limits first, best first: by
    what one objective minimises, or of two the front's, its knee first and then spread over it, and the others by their
    ``excess``; a trial follows its final training. ``trials`` are its `load_trials`, where they are at hand.
    Raises: UserError where the folder is missing, or holds no whole study."""
    study = read_study(folder)
    runs = []
    for trial, best in zip(study.trials, study.best, strict=True):
        if trial.state.name == "COMPLETE" and best:
            record = TrialFolder(StudyLayout(study.folder).trial(trial.number))
            slug = f"trial_{trial.number:04d}"
            runs.append(Run(f"trial {trial.number}", slug, record, record.config(), best))
    trained = {run.config for run in runs}
    runs += [run for run in final_runs(study.folder) if run.config not in trained]  # no longer, so the same run
    if not study.has_front:
        return sorted(runs, key=lambda run: (not study.is_within_limits(run.best), run.best[study.judged_by]))
    trials = load_trials(study) if trials is None else trials
    front = trials[trials["front"]]
    spread_out = spread(front["val_rate"].to_numpy(), front["val_distortion"].to_numpy(), len(front))
    first, others = front["number"].iloc[spread_out], trials[~trials["front"]].sort_values("excess", kind="stable")
    place = {int(number): at for at, number in enumerate([*first, *others["number"]])}

    def rank(run: Run) -> tuple[bool, int, bool]:
        return not study.is_within_limits(run.best), place.get(run.number, len(place)), not run.is_final

    return sorted(runs, key=rank)


def longest(trial: Run, runs: Iterable[Run]) -> Run:
    """A trial's final training, where it is among the runs; the trial itself where not, as by definitions 1, which do
    not say whose it is."""
    return next((run for run in runs if run.slug == f"final_{trial.number:04d}"), trial)


def final_runs(folder: Path) -> list[Run]:
    """The last, longer trainings that are done; one that is damaged is left out, with a `StudyWarning`."""
    found = []
    for path in StudyLayout(folder).finals():
        record = TrialFolder(path)
        try:
            epochs, config = read_epochs(record), record.config()
            check_rates(record, config, epochs)
        except UserError as error:
            warnings.warn(StudyWarning(f"{path.name} is left out: {error}"), stacklevel=2)
            continue
        if is_done(epochs, config):
            number = path.name.partition("_")[2]
            label = f"final of trial {int(number)}" if number else "final"
            found.append(Run(label, path.name, record, config, best_row(epochs, config)))
    return found


def export_best(folder: Path, run: Run) -> tuple[Path, Path]:
    """Copy the run's best weights to ``models/VAE/<slug>.safetensors``, with its config beside it; the paths of both.
    Raises: UserError where they are missing, torn or altered."""
    run.load()  # a torn file is refused here, not by who is given it
    weights = StudyLayout(folder).models / f"{run.slug}.safetensors"
    config = weights.with_suffix(".json")
    weights.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(weights, run.folder.best.read_bytes())
    write_atomic(config, run.config.model_dump_json(indent=2) + "\n")
    return weights, config
