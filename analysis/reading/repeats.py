"""The best trials, trained again with other seeds: what of a difference is the seed's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading.study_record import StudyRecord, read_study
from analysis.reading.validation import best_row, read_epochs
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

_METRICS = ("val_bits_per_dim", "val_rate", "val_nelbo")


def load_repeats(folder: Path | str) -> pd.DataFrame:
    """One row a finished repeat: ``number`` of the trial, ``repeat``, ``seed`` (Int64), ``state`` (category
    COMPLETE, FAIL), ``val_bits_per_dim val_rate val_nelbo`` (float64) of its best epoch, ``cause`` (str).

    The search chose its best trials for values that are low by chance too; the repeats alone say how good a
    configuration is. Raises: UserError as `analysis.load_trials`.
    """
    return repeats_frame(read_study(folder))


def repeats_frame(study: StudyRecord) -> pd.DataFrame:
    """`load_repeats` of a study that is read already. Repeats of another config than the ledger's trial, as
    when a folder was mixed up, are left out."""
    rows: list[dict[str, object]] = []
    for trial in study.trials:
        config = study.config(trial)
        for path in sorted(StudyLayout(study.folder).repeats(trial.number).glob("[0-9][0-9]")):
            record, repeat = TrialFolder(path), int(path.name)
            again = config and repeat and config.of_repeat(repeat)
            if not again or not record.holds(again):
                continue
            epochs, cause = read_epochs(record), record.cause()
            row: dict[str, object] = {"number": trial.number, "repeat": repeat, "seed": again.seed}
            if cause:
                rows.append(row | {"state": "FAIL", "cause": cause})
            elif len(epochs) == again.epochs:
                best = best_row(epochs)
                rows.append(row | {"state": "COMPLETE"} | {name: best[name] for name in _METRICS})
    frame = pd.DataFrame(rows, columns=["number", "repeat", "seed", "state", *_METRICS, "cause"])
    kinds: dict[str, Any] = dict.fromkeys(["number", "repeat", "seed"], "Int64")
    kinds |= dict.fromkeys(_METRICS, "float64")
    return frame.astype(kinds | {"state": pd.CategoricalDtype(["COMPLETE", "FAIL"]), "cause": "str"})


def repeated_bits(repeats: pd.DataFrame, number: int) -> np.ndarray:
    """``val_bits_per_dim`` of a trial's repeats, (R,); its own, for which it was chosen, is left out."""
    chosen = (repeats["number"] == number) & (repeats["state"] == "COMPLETE")
    return repeats.loc[chosen, "val_bits_per_dim"].to_numpy(float)
