"""What studies a folder has; and tables of studies, a row each."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from analysis.figures.style import STATES
from analysis.progress import ShowStep, Steps
from analysis.reading.frames import complete_trials, load_trials
from analysis.reading.study_record import read_study
from analysis.statistics.pareto import spread
from trainables.errors import UserError
from trainables.records.study_layout import QUESTION
from trainables.text import legible

_KERNEL = ("/dev", "/proc", "/sys")
COUNTS = {state: style.word for state, style in STATES.items() if state != "WAITING"}  # state -> column of its trials
_TEXTS = ["study", "folder", "dataset", "likelihood", "binarise", "created", "fault"]
_LISTED = [*_TEXTS[:-1], "definitions", "trials", *COUNTS.values(), "front", "knee", "val_rate", "val_distortion"]
_LISTED += ["val_bits_per_dim", "val_relative_loss", "fault"]
_KINDS = dict.fromkeys(["val_rate", "val_distortion", "val_bits_per_dim", "val_relative_loss"], "float64")


def typed(rows: list[dict[str, object]], columns: list[str], kinds: Mapping[str, str]) -> pd.DataFrame:
    """A table of these ``columns``, a row a study: words, numbers of ``kinds`` by column, and counts, whose dtypes are
    the same of no rows."""
    rows = [{name: legible(it) if isinstance(it, str) else it for name, it in row.items()} for row in rows]
    return pd.DataFrame(rows, columns=columns).astype(
        {name: kinds.get(name, "str" if name in _TEXTS else "Int64") for name in columns}
    )


def counts_of(trials: pd.DataFrame) -> dict[str, object]:
    """How many trials there are, and how many of each state."""
    counts = trials["state"].value_counts()
    return {"trials": len(trials), **{word: int(counts[state]) for state, word in COUNTS.items()}}


def list_studies(root: Path | str, progress: ShowStep = lambda *_: None) -> pd.DataFrame:
    """The studies below a folder: one row each, by name. Columns ``study folder dataset created`` (str),
    ``definitions trials complete pruned failed running interrupted`` (Int64); of two objectives how many trials are on
    the ``front``, the ``knee`` or what is in its middle (Int64), and that one's ``val_rate val_distortion`` (float64);
    the lowest ``val_bits_per_dim`` of a complete trial, or of multi-rate ones the lowest ``val_relative_loss``
    (float64), and ``fault`` (str): why its other columns are
    unknown, if they are. Raises: UserError where there is no such folder."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"no folder at {root}\ngive the one that studies are in, such as runs")
    folders = sorted(_study_folders(root, progress))
    steps, rows = Steps(progress, len(folders)), []
    for folder in folders:
        steps(f"reading {folder.name}")
        name = root.resolve().name if folder == root else str(folder.relative_to(root))
        rows.append({"study": name, "folder": str(folder), **_summary(folder)})
    return typed(rows, _LISTED, _KINDS)


def _study_folders(root: Path, progress: ShowStep) -> Iterator[Path]:
    """Those at and below ``root``; what cannot be read, and what a kernel makes up as it is read, is passed over."""
    for folder, names, files in os.walk(root):
        progress(f"looking into {folder}", 0.0)
        if QUESTION in files:
            yield Path(folder)
        names[:] = [name for name in names if str(Path(folder, name)) not in _KERNEL]


def _summary(folder: Path) -> dict[str, object]:
    """The other columns of `list_studies`."""
    try:
        study = read_study(folder)
    except UserError as error:
        return {"fault": str(error).splitlines()[0]}
    trials = load_trials(study)
    done = complete_trials(trials)
    about: dict[str, object] = {"dataset": study.base.dataset, "created": str(study.info.get("created", ""))}
    value = study.judged_by if study.is_multi_rate else "val_bits_per_dim"
    about |= {"definitions": study.base.definitions, value: done[value].min()}
    front = done[done["front"]] if study.has_front else done[:0]
    for place in spread(front["val_rate"].to_numpy(), front["val_distortion"].to_numpy(), 1):
        knee = front.iloc[place]
        about |= {"front": len(front), "knee": knee["number"]}
        about |= knee[["val_rate", "val_distortion", "val_bits_per_dim"]]
    return about | counts_of(trials)
