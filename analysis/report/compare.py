"""Studies beside each other: what lies in a folder, and which of several answers better."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.figures.charts import fronts_chart, to_html
from analysis.figures.study.rate_distortion import RateDistortion, compute_rate_distortion
from analysis.progress import Steps, Tell, untold
from analysis.reading.best_runs import Run, rank_runs
from analysis.reading.frames import trials_frame
from analysis.reading.repeats import repeats_frame
from analysis.reading.study_record import StudyRecord, read_study
from analysis.report.findings import ALIKE, Repeated, told_apart
from analysis.report.page import cell, plotly_js, templates
from analysis.statistics.pareto import reference_point
from trainables.errors import UserError
from trainables.records.atomic_files import write_atomic

SEARCHED_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class Compared:
    """One study of a comparison."""

    name: str
    study: StudyRecord
    trials: pd.DataFrame
    runs: list[Run]
    """Complete trials and the final training, best first."""
    repeats: pd.DataFrame
    plane: RateDistortion
    """With the reference that all studies of the comparison share."""

    @cached_property
    def best(self) -> Run | None:
        """The best trial of the search."""
        return next((run for run in self.runs if run.slug != "final"), None)


@dataclass(frozen=True)
class Comparison:
    studies: list[Compared]
    """As they were given."""
    comparable: bool
    """Whether all were validated on the same images: bits per dimension of others say nothing together."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a study: ``study folder dataset`` (str), ``trials complete pruned failed running epochs
        best_trial latent_dim depth`` (Int64), ``beta val_bits_per_dim val_rate val_nelbo
        final_bits_per_dim hypervolume hours`` (float64, NaN where unknown); nats per image, nats squared."""
        return typed([row_of(study) for study in self.studies], self.comparable)

    @cached_property
    def findings(self) -> list[str]:
        """Sentences, the answer first."""
        return findings(self)


def compare_studies(folders: Sequence[Path | str], progress: Tell = untold) -> Comparison:
    """Read several studies. Those of the same validation images are measured by one reference.

    Raises:
        UserError: for fewer than two folders, the same folder twice, or as `analysis.load_trials`.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if len(paths) < 2:
        raise UserError(f"a comparison needs at least 2 studies, got {len(paths)}")
    for path in paths:
        if paths.count(path) > 1:
            raise UserError(f"a study cannot be compared with itself, got {path} twice")
    steps, studies = Steps(progress, len(paths) + 1), []
    for path in paths:
        steps(f"reading {path.name}")
        studies.append(read_study(path))
    steps("comparing")
    frames = [trials_frame(study) for study in studies]
    names = labels(paths)
    images = {(s.base.dataset, s.base.image_size, s.base.limit_val) for s in studies}
    comparable = len(images) == 1
    measured = [frame[(frame["state"] == "COMPLETE") & frame["val_nelbo"].notna()] for frame in frames]
    rates = [frame["val_rate"].to_numpy(float) for frame in measured]
    reference = None
    if comparable and any(map(len, rates)):
        nelbos = [frame["val_nelbo"].to_numpy(float) for frame in measured]
        reference = reference_point(*((r, nelbo - r) for r, nelbo in zip(rates, nelbos, strict=True)))
    compared = [
        Compared(
            name,
            study,
            frame,
            rank_runs(study),
            repeats_frame(study),
            compute_rate_distortion(frame, None, study.base.model.dimensions, reference),
        )
        for name, study, frame in zip(names, studies, frames, strict=True)
    ]
    return Comparison(compared, comparable)


def labels(paths: list[Path]) -> list[str]:
    """The folders' names, with as many parents as tell them apart."""
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def row_of(compared: Compared) -> dict[str, object]:
    base, best = compared.study.base, compared.best
    counts = compared.trials["state"].value_counts()
    final = next((run for run in compared.runs if run.slug == "final"), None)
    row: dict[str, object] = {
        "study": compared.name,
        "folder": str(compared.study.folder),
        "dataset": base.dataset,
        "trials": len(compared.trials),
        "epochs": base.epochs,
        **{word: int(counts[state]) for state, word in SEARCHED_STATES.items()},
        "hours": compared.trials["seconds"].sum() / 3600,
    }
    if best is not None:
        model = best.config.model
        row |= {
            "best_trial": best.number,
            "beta": best.config.beta,
            "latent_dim": model.latent_dim,
            "depth": model.depth,
            **{name: best.best[name] for name in ("val_bits_per_dim", "val_rate", "val_nelbo")},
        }
    if final is not None:
        row["final_bits_per_dim"] = final.best["val_bits_per_dim"]
    if compared.plane.hypervolume is not None:
        row["hypervolume"] = compared.plane.hypervolume.estimate
    return row


COLUMNS = (
    "study",
    "dataset",
    "trials",
    *SEARCHED_STATES.values(),
    "epochs",
    "best_trial",
    "beta",
    "latent_dim",
    "depth",
    "val_bits_per_dim",
    "val_rate",
    "val_nelbo",
    "final_bits_per_dim",
    "hypervolume",
    "hours",
    "folder",
)
TEXTS = ("study", "dataset", "folder")
FLOATS = ("beta", "val_bits_per_dim", "val_rate", "val_nelbo", "final_bits_per_dim", "hypervolume", "hours")


def typed(rows: list[dict[str, object]], comparable: bool) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds = {name: "str" if name in TEXTS else "float64" if name in FLOATS else "Int64" for name in COLUMNS}
    frame = frame.astype(kinds)
    if not comparable:  # each has a reference of its own
        frame["hypervolume"] = np.nan
    return frame


def findings(comparison: Comparison) -> list[str]:
    if not comparison.comparable:
        return [
            "These studies were not validated on the same images: their bits per dimension, rates and "
            "distortions cannot be compared, and each stands here for itself."
        ]
    ranked = sorted(
        (study for study in comparison.studies if study.best is not None),
        key=lambda study: study.best.best["val_bits_per_dim"],  # type: ignore[union-attr]
    )
    if len(ranked) < 2:
        return ["Fewer than two of these studies have a complete trial: there is nothing to compare yet."]
    first, second = ranked[:2]
    assert first.best
    assert second.best
    ahead = second.best.best["val_bits_per_dim"] - first.best.best["val_bits_per_dim"]
    behind = f"lies {ahead:.4f} behind" if ahead >= ALIKE else "is as good"
    seeds = told_apart(
        Repeated.of(first.best, first.repeats, first.name), Repeated.of(second.best, second.repeats, second.name)
    )
    sentences = [
        f"The best trial is {first.best.label} of {first.name}, "
        f"{first.best.best['val_bits_per_dim']:.4f} bits per dimension; the best of {second.name} {behind}.",
        f"{seeds[0].upper()}{seeds[1:]}.",
        *fronts(ranked),
    ]
    budgets = {(len(study.trials), study.study.base.epochs) for study in comparison.studies}
    if len(budgets) > 1:
        sentences.append("Their budgets of trials and epochs differ, which favours the larger.")
    return sentences


def fronts(studies: list[Compared]) -> list[str]:
    """Whose front dominates most of the plane, and whether that hangs on a few trials."""
    areas = sorted(
        ((found, s.name) for s in studies if (found := s.plane.hypervolume)),
        key=lambda area: area[0].estimate,
        reverse=True,
    )
    if len(areas) < 2 or not areas[0][0].estimate > 0:
        return []
    (most, name), (next_most, other) = areas[:2]
    the = "The" if len(areas) == len(studies) else "Of the studies with 2 complete trials or more, the"
    if most.estimate == next_most.estimate:
        return [f"{the} fronts of {name} and {other} dominate equally much of the rate-distortion plane."]
    verdict = (
        "the two are not separable, as some resamples of its trials dominate less"
        if most.low <= next_most.estimate
        else "the two are separable, as resamples of its trials dominate more too"
    )
    return [
        f"{the} front of {name} dominates the largest part of the rate-distortion plane, that of {other} "
        f"{next_most.estimate / most.estimate:.1%} as much; {verdict}."
    ]


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """One HTML file that opens without a network.

    Raises:
        UserError: where it cannot be written.
    """
    planes = [(s.name, s.plane) for s in comparison.studies if s.plane.label]
    chart = to_html(fronts_chart(planes), "fronts") if planes and comparison.comparable else ""
    text = (
        templates()
        .get_template("compare.html.j2")
        .render(
            findings=comparison.findings,
            chart=Markup(chart),
            plotly=Markup(plotly_js()) if chart else "",
            columns=list(COLUMNS),
            rows=[[cell(c, v) for c, v in row.items()] for row in comparison.table.to_dict("records")],
            questions=differences(comparison),
            now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    try:
        write_atomic(out, text)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def differences(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """(dotted path, its value in each study) of every setting and searched range that is not the same."""
    asked = []
    for study in comparison.studies:
        base = study.study.base.model_dump(mode="json")
        values = {f"model.{name}": value for name, value in base.pop("model").items()} | base
        space = {path: json.loads(text) for path, text in study.study.info["space"].items()}
        values |= {path: f"searched: {json.dumps(drawn['attributes'])}" for path, drawn in space.items()}
        asked.append({path: str(value) for path, value in values.items()})
    paths = dict.fromkeys(path for values in asked for path in values)
    rows = [(path, [values.get(path, "") for values in asked]) for path in paths]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def list_studies(root: Path | str, progress: Tell = untold) -> pd.DataFrame:
    """The studies below a folder: one row each, by name. Columns ``study folder dataset created`` (str),
    ``trials complete pruned failed running`` (Int64), ``val_bits_per_dim`` of the best complete trial
    (float64), and ``fault`` (str): why its other columns are unknown, if they are.

    Raises:
        UserError: where there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"no folder at {root}")
    found, rows = sorted(root.glob("**/study.json")), []
    steps = Steps(progress, len(found))
    for path in found:
        steps(f"reading {path.parent.name}")
        rows.append(summary(path.parent, root))
    texts = ["study", "folder", "dataset", "created"]
    counts = ["trials", *SEARCHED_STATES.values()]
    frame = pd.DataFrame(rows, columns=[*texts, *counts, "val_bits_per_dim", "fault"])
    kinds = dict.fromkeys(texts, "str") | dict.fromkeys(counts, "Int64")
    return frame.astype(kinds | {"val_bits_per_dim": "float64", "fault": "str"})


def summary(folder: Path, root: Path) -> dict[str, object]:
    name = str(folder.relative_to(root))
    row: dict[str, object] = {"study": root.resolve().name if name == "." else name, "folder": str(folder)}
    try:
        study = read_study(folder)
    except UserError as error:
        return row | {"fault": str(error).splitlines()[0]}
    trials = trials_frame(study)
    counts = trials["state"].value_counts()
    complete = trials.loc[trials["state"] == "COMPLETE", "val_bits_per_dim"]
    return row | {
        "dataset": study.base.dataset,
        "created": str(study.info.get("created", "")),
        "trials": len(trials),
        **{word: int(counts[state]) for state, word in SEARCHED_STATES.items()},
        "val_bits_per_dim": complete.min(),
    }
