"""Studies beside each other: what lies in a folder, and which of several answers better."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from analysis.figures.plotly_style import SYMBOLS, add_line, to_html
from analysis.figures.registry import StudyContext
from analysis.figures.study.rate_distortion import RateDistortion, add_runs, compute_rate_distortion, frame_chart
from analysis.figures.style import OKABE_ITO, STATES
from analysis.progress import ShowStep, Steps, show_nothing
from analysis.reading.best_runs import Run
from analysis.reading.frames import complete_trials, load_trials
from analysis.reading.study_record import read_study
from analysis.report.findings import SAME_BITS, Repeated, separability_clause
from analysis.report.page import cells, plotly_js, templates
from analysis.statistics.pareto import reference_point
from trainables.errors import UserError
from trainables.records.atomic_files import write_atomic

_COUNTS = {state: style.word for state, style in STATES.items() if state != "WAITING"}
"""State -> the column of its trials' number."""
_TEXTS = ["study", "folder", "dataset", "created", "fault"]
_NUMBERS = ["beta", "val_bits_per_dim", "val_rate", "val_nelbo", "final_bits_per_dim", "hypervolume", "hours"]
_COLUMNS = ["study", "dataset", "trials", *_COUNTS.values(), "epochs", "best_trial", "beta", "latent_dim", "depth"]
_COLUMNS += [*_NUMBERS[1:], "folder"]
_LISTED = [*_TEXTS[:-1], "trials", *_COUNTS.values(), "val_bits_per_dim", "fault"]


def _table(rows: list[dict[str, object]], columns: list[str]) -> pd.DataFrame:
    """What is no text and no number with a fraction is a count; the dtypes are the same of no rows."""
    kinds = {name: "str" if name in _TEXTS else "float64" if name in _NUMBERS else "Int64" for name in columns}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


@dataclass(frozen=True)
class Compared:
    """One study of a comparison."""

    name: str
    study: StudyContext
    plane: RateDistortion  # with the reference that all studies of the comparison share

    @property
    def best(self) -> Run | None:
        """The best trial of the search."""
        return next(iter(self.study.searched_runs), None)


@dataclass(frozen=True)
class Comparison:
    """Several studies, and what they say together."""

    studies: list[Compared]  # as they were given
    comparable: bool  # whether all were validated on the same images: bits per dimension of others say nothing together

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a study: ``study folder dataset`` (str), ``trials complete pruned failed running epochs
        best_trial latent_dim depth`` (Int64), ``beta val_bits_per_dim val_rate val_nelbo
        final_bits_per_dim hypervolume hours`` (float64, NaN where unknown); nats per image, nats squared."""
        frame = _table([_row_of(study) for study in self.studies], _COLUMNS)
        return frame if self.comparable else frame.assign(hypervolume=np.nan)  # each has a reference of its own

    @cached_property
    def findings(self) -> list[str]:
        """Sentences, the answer first."""
        return findings(self)


def compare_studies(folders: Sequence[Path | str], progress: ShowStep = show_nothing) -> Comparison:
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
        studies.append(StudyContext(read_study(path)))
    steps("comparing")
    bases = [study.record.base for study in studies]
    comparable = len({(base.dataset, base.image_size, base.limit_val) for base in bases}) == 1
    reference = None
    measured = [complete_trials(study.trials) for study in studies]
    if comparable and any(map(len, measured)):
        columns = [frame[["val_rate", "val_nelbo"]].to_numpy(float).T for frame in measured]
        reference = reference_point(*((rate, nelbo - rate) for rate, nelbo in columns))
    planes = [
        compute_rate_distortion(study.trials, None, base.model.dimensions, reference)
        for study, base in zip(studies, bases, strict=True)
    ]
    return Comparison(list(map(Compared, labels(paths), studies, planes)), comparable)


def labels(paths: list[Path]) -> list[str]:
    """The folders' names, with as many parents as tell them apart."""
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _row_of(compared: Compared) -> dict[str, object]:
    """Of `Comparison.table`."""
    study, best = compared.study, compared.best
    row: dict[str, object] = {
        "study": compared.name,
        "folder": str(study.record.folder),
        "dataset": study.record.base.dataset,
        "epochs": study.record.base.epochs,
        **_counts_of(study.trials),
        "hours": study.trials["seconds"].sum() / 3600,
    }
    if best is not None:
        model = best.config.model
        row |= {"best_trial": best.number, "beta": best.config.beta}
        row |= {"latent_dim": model.latent_dim, "depth": model.depth}
        row |= {name: best.best[name] for name in ("val_bits_per_dim", "val_rate", "val_nelbo")}
    if study.final is not None:
        row["final_bits_per_dim"] = study.final.best["val_bits_per_dim"]
    if compared.plane.hypervolume is not None:
        row["hypervolume"] = compared.plane.hypervolume.estimate
    return row


def _counts_of(trials: pd.DataFrame) -> dict[str, int]:
    """How many trials there are, and how many of each state."""
    counts = trials["state"].value_counts()
    return {"trials": len(trials), **{word: int(counts[state]) for state, word in _COUNTS.items()}}


def findings(comparison: Comparison) -> list[str]:
    """Of several studies, the answer first."""
    if not comparison.comparable:
        return [
            "These studies were not validated on the same images: their bits per dimension, rates and "
            "distortions cannot be compared, and each stands here for itself."
        ]
    found = [(study, study.best) for study in comparison.studies]
    ranked = [(study, best) for study, best in found if best is not None]
    ranked.sort(key=lambda pair: pair[1].best["val_bits_per_dim"])
    if len(ranked) < 2:
        return ["Fewer than two of these studies have a complete trial: there is nothing to compare yet."]
    (first, best), (second, _) = ranked[:2]
    bits, other_bits = (run.best["val_bits_per_dim"] for _, run in ranked[:2])
    behind = f"lies {other_bits - bits:.4f} behind" if other_bits - bits >= SAME_BITS else "is as good"
    seeds = separability_clause(*(Repeated.of(run, study.study.repeats, study.name) for study, run in ranked[:2]))
    sentences = [
        f"The best trial is {best.label} of {first.name}, {bits:.4f} bits per dimension; the best of {second.name} "
        f"{behind}.",
        f"{seeds[0].upper()}{seeds[1:]}.",
        *_fronts([study for study, _ in ranked]),
    ]
    budgets = {(len(each.study.trials), each.study.record.base.epochs) for each in comparison.studies}
    if len(budgets) > 1:
        sentences.append("Their budgets of trials and epochs differ, which favours the larger.")
    return sentences


def _fronts(studies: list[Compared]) -> list[str]:
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


def fronts_chart(planes: Sequence[tuple[str, RateDistortion]]) -> go.Figure:
    """The complete trials and the front of each of several studies, by name."""
    figure = go.Figure()
    colors = list(OKABE_ITO.values())[:-1]
    for k, (name, plane) in enumerate(planes):
        color, label = colors[k % len(colors)], escape(name)
        line = {"color": color, "width": 2}
        add_line(figure, plane.rate[plane.front], plane.distortion[plane.front], legendgroup=label, line=line)
        marker = {"color": color, "symbol": SYMBOLS[k % len(SYMBOLS)], "size": 10}
        every = np.ones(len(plane.label), dtype=bool)
        add_runs(figure, plane, every, f"{label}, ", name=label, legendgroup=label, marker=marker)
    frame_chart(figure, planes)
    return figure


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """One HTML file that opens without a network.

    Raises:
        UserError: where it cannot be written.
    """
    planes = [(study.name, study.plane) for study in comparison.studies if study.plane.label]
    chart = to_html(fronts_chart(planes), "fronts") if planes and comparison.comparable else ""
    template = templates().get_template("compare.html.j2")
    text = template.render(
        findings=comparison.findings,
        chart=Markup(chart),
        plotly=Markup(plotly_js()) if chart else "",
        columns=_COLUMNS,
        rows=cells(comparison.table),
        settings=["setting", *(study.name for study in comparison.studies)],
        questions=_differences(comparison),
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    try:
        write_atomic(out, text)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def _differences(comparison: Comparison) -> list[list[str]]:
    """[dotted path, its value in each study] of every setting and searched range that is not the same."""
    asked = []
    for study in comparison.studies:
        record = study.study.record
        base = record.base.model_dump(mode="json")
        values = {f"model.{name}": value for name, value in base.pop("model").items()} | base
        space = {path: json.loads(text) for path, text in record.info["space"].items()}
        values |= {path: f"searched: {json.dumps(drawn['attributes'])}" for path, drawn in space.items()}
        asked.append({path: str(value) for path, value in values.items()})
    paths = dict.fromkeys(path for values in asked for path in values)
    rows = [[path, *(values.get(path, "") for values in asked)] for path in paths]
    return [row for row in rows if len(set(row[1:])) > 1]


def list_studies(root: Path | str, progress: ShowStep = show_nothing) -> pd.DataFrame:
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
        rows.append(_summary(path.parent, root))
    return _table(rows, _LISTED)


def _summary(folder: Path, root: Path) -> dict[str, object]:
    name = str(folder.relative_to(root))
    row: dict[str, object] = {"study": root.resolve().name if name == "." else name, "folder": str(folder)}
    try:
        study = read_study(folder)
    except UserError as error:
        return row | {"fault": str(error).splitlines()[0]}
    trials = load_trials(study)
    return row | {
        "dataset": study.base.dataset,
        "created": str(study.info.get("created", "")),
        **_counts_of(trials),
        "val_bits_per_dim": complete_trials(trials)["val_bits_per_dim"].min(),
    }
