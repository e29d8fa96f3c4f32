"""A study -> tidy DataFrames: a row a trial, a trial and epoch, or a training of a trial with another seed. Columns of
metrics follow from `trainables.metrics.EPOCH`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import IntDistribution

from analysis.reading.states import WORDS
from analysis.reading.study_record import StudyRecord, read_study, seconds_held
from analysis.reading.validation import best_row, column, is_done, read_epochs, read_rates
from analysis.statistics.excess import excess
from analysis.statistics.pareto import pareto_front
from trainables.errors import StudyWarning, UserError
from trainables.metrics import AT_EACH_RATE, EPOCH, VALIDATION
from trainables.objective import Constraint
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

_WHOLE = {"number", "epochs", "best_epoch", "latent_dim", "depth", *(metric.name for metric in EPOCH if metric.whole)}
_OF_REPEATS = ("val_bits_per_dim", "val_rate", "val_distortion", "val_nelbo", "val_relative_loss")


def load_trials(folder: StudyRecord | Path | str) -> pd.DataFrame:
    """One row a trial of the search, by number.

    Columns: ``number epochs best_epoch latent_dim depth val_active_units`` (Int64, NA where unknown),
    ``state`` (category of `analysis.reading.states.WORDS`), ``beta seconds cpu_hours gpu_hours`` and the validation
    set's other metrics (float64, NaN where unknown), ``cause`` (str, NaN unless it failed), and whatever else was
    searched, named by the last part of its path. ``val_*`` are those of the best epoch (`TrialConfig.criterion`).
    ``excess`` (float64): D + beta R there minus the lowest that any trial of the study has at the same beta, nats per
    image. ``front`` (bool): complete, within the study's limits (where a trial is), and no other such is better in
    rate and distortion.
    ``epochs`` counts the reported ones, ``seconds`` is what they took together, ``cpu_hours`` and ``gpu_hours`` what
    they held over all workers (a packed trial its share). Units and meanings: `trainables.metrics.EPOCH`. Raises:
    UserError where the folder is missing, or holds no whole study."""
    study = read_study(folder)
    records = []
    for trial, state, epochs, best in zip(study.trials, study.states, study.epochs, study.best, strict=True):
        record = {"number": trial.number, "state": state, "epochs": len(epochs), **study.parameters(trial)}
        if best:
            record |= {"best_epoch": best["epoch"]} | {name: best[name] for name in VALIDATION}
            record["seconds"] = float(column(epochs, "epoch_seconds").sum())
            record["cpu_hours"], record["gpu_hours"] = (seconds_held(epochs).sum(0) / 3600).tolist()
        record["cause"] = trial.user_attrs.get("cause")
        records.append(record)
    measured = ["epochs", "best_epoch", *VALIDATION, "seconds", "cpu_hours", "gpu_hours"]
    columns = ["number", "state", *study.columns.values(), *measured, "cause"]
    return _with_excess(_typed(pd.DataFrame(records, columns=columns), study), study)


def _with_excess(trials: pd.DataFrame, study: StudyRecord) -> pd.DataFrame:
    """The frame with ``excess`` and ``front``; distortions are compared under the same likelihood alone."""
    likelihoods = trials["likelihood"] if "model.likelihood" in study.space else np.zeros(len(trials))
    found = trials.assign(excess=np.nan, front=False)
    for _, group in trials.groupby(likelihoods):
        rate, distortion, beta = (group[name].to_numpy(float) for name in ("val_rate", "val_distortion", "beta"))
        found.loc[group.index, "excess"] = excess(rate, distortion, beta)
        kept = eligible(group, study.where)
        found.loc[group.index[kept], "front"] = pareto_front(rate[kept], distortion[kept])
    return found


def eligible(trials: pd.DataFrame, where: Sequence[Constraint]) -> np.ndarray:
    """(N,) bool: which of `load_trials` may be on a front: complete, with finite numbers, and within all limits, or
    complete alone where none is within."""
    complete = ((trials["state"] == "COMPLETE") & np.isfinite(trials["val_rate"] + trials["val_distortion"])).to_numpy()
    beyond = [limit.violation({limit.name: trials[limit.name].to_numpy(float)}) > 0 for limit in where]
    keeps = complete & ~np.any(beyond, axis=0) if beyond else complete
    return keeps if keeps.any() else complete


def load_epochs(folder: StudyRecord | Path | str) -> pd.DataFrame:
    """One row a trial and epoch: ``number epoch state``, the axes ``beta latent_dim depth`` and whatever else was
    searched, and every metric of `trainables.metrics.EPOCH` (float64, whole ones Int64). Where ``lr`` is searched,
    that of the epoch is ``epoch.lr``. Raises: UserError as `load_trials`."""
    study = read_study(folder)
    columns = ["number", "state", *study.columns.values()]
    trials = load_trials(study)[columns]
    repeated = trials.loc[trials.index.repeat([len(epochs) for epochs in study.epochs])].reset_index(drop=True)
    metrics = [f"epoch.{metric.name}" if metric.name in columns else metric.name for metric in EPOCH]
    measured = np.concatenate([np.empty((0, len(metrics))), *study.epochs])
    frame = pd.concat([repeated, pd.DataFrame(measured, columns=metrics)], axis=1)
    return _typed(frame[["number", "epoch", *columns[1:], *metrics[1:]]], study)


def load_rates(folder: StudyRecord | Path | str) -> pd.DataFrame:
    """One row a trial and KL weight of a multi-rate study, at the trial's best epoch: ``number place`` (Int64; of the
    weight among `TrialConfig.betas`), ``state``, ``beta`` and the metrics that `trainables.metrics.AT_EACH_RATE` names
    (float64, whole ones Int64). Empty of a study of plain trials. Raises: UserError as `load_trials`."""
    study = read_study(folder)
    frames = []
    for trial, state, best in zip(study.trials, study.states, study.best, strict=True):
        config = study.config(trial)
        if config and best and config.model.multi_rate:
            record = TrialFolder(StudyLayout(study.folder).trial(trial.number))
            frames.append(read_rates(record, config, best).assign(number=trial.number, state=state))
    columns = ["number", "state", "place", "beta", *AT_EACH_RATE]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    kinds: dict[str, Any] = dict.fromkeys(AT_EACH_RATE, "float64") | {"beta": "float64"}
    kinds |= dict.fromkeys(("number", "place", "val_active_units"), "Int64")
    return found[columns].astype(kinds | {"state": pd.CategoricalDtype(list(WORDS))})


def load_repeats(folder: StudyRecord | Path | str) -> pd.DataFrame:
    """One row a finished repeat: ``number`` of the trial, ``repeat``, ``seed`` (Int64), ``state`` (category
    COMPLETE, FAIL), ``val_bits_per_dim val_rate val_distortion val_nelbo val_relative_loss`` (float64) of its best
    epoch, and ``cause`` (str).

    The search chose its best trials for values that are low by chance too; the repeats alone say how good a
    configuration is. Those of another config than the ledger's trial, as when a folder was mixed up, are left out, and
    those that are damaged, with a `StudyWarning`.
    Raises: UserError as `load_trials`."""
    study = read_study(folder)
    rows: list[dict[str, object]] = []
    for trial in study.trials:
        config = study.config(trial)
        for path in sorted(StudyLayout(study.folder).repeats(trial.number).glob("[0-9][0-9]")):
            record, repeat = TrialFolder(path), int(path.name)
            again = config and repeat and config.of_repeat(repeat)
            if not again or not record.holds(again):
                continue
            row: dict[str, object] = {"number": trial.number, "repeat": repeat, "seed": again.seed}
            try:
                epochs, cause = read_epochs(record), record.cause()
            except UserError as error:
                warnings.warn(
                    StudyWarning(f"repeat {repeat} of trial {trial.number} is left out: {error}"), stacklevel=2
                )
                continue
            if cause:
                rows.append(row | {"state": "FAIL", "cause": cause})
            elif is_done(epochs, again):
                rows.append(row | {"state": "COMPLETE", **best_row(epochs, again)})
    frame = pd.DataFrame(rows, columns=["number", "repeat", "seed", "state", *_OF_REPEATS, "cause"])
    kinds: dict[str, Any] = dict.fromkeys(["number", "repeat", "seed"], "Int64")
    kinds |= dict.fromkeys(_OF_REPEATS, "float64")
    return frame.astype(kinds | {"state": pd.CategoricalDtype(["COMPLETE", "FAIL"]), "cause": "str"})


def repeats_of(repeats: pd.DataFrame, number: int) -> pd.DataFrame:
    """A trial's rows of `load_repeats`; its own value, for which it was chosen, is not among them."""
    return repeats[repeats["number"] == number]


def complete_values(repeats: pd.DataFrame, column: str = "val_bits_per_dim") -> np.ndarray:
    """What one objective minimises, of the complete ones, (R,)."""
    return repeats.loc[repeats["state"] == "COMPLETE", column].to_numpy(float)


def complete_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows of `load_trials` whose trials are complete and have a value."""
    return trials[(trials["state"] == "COMPLETE") & trials["val_bits_per_dim"].notna()]


def _typed(frame: pd.DataFrame, study: StudyRecord) -> pd.DataFrame:
    """The documented dtypes, whatever the rows hold: an empty study has them too."""
    whole = _WHOLE | {name for name, dist in study.searched.items() if isinstance(dist, IntDistribution)}
    kinds: dict[str, Any] = dict.fromkeys((*VALIDATION, "beta", "seconds", "cpu_hours", "gpu_hours"), "float64")
    kinds |= dict.fromkeys(whole, "Int64") | {"state": pd.CategoricalDtype(list(WORDS)), "cause": "str"}
    return frame.astype({name: kind for name, kind in kinds.items() if name in frame})
