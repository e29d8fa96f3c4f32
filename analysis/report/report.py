"""Everything for a study's best runs: figures, exported models, tables, and one page to read."""

import re
from collections.abc import Iterable
from pathlib import Path

from analysis.figures.files import draw_model, draw_study
from analysis.figures.registry import ModelContext, StudyContext, model_figures, study_figures
from analysis.figures.study import importance, latents_by_beta, rate_curve, rate_distortion
from analysis.measures.codes import encode
from analysis.measures.test_metrics import PARTS, measure
from analysis.progress import ShowStep, Steps
from analysis.reading.best_runs import Run, export_best
from analysis.reading.study_record import StudyRecord, read_study
from analysis.report.cost import DRAWN
from analysis.report.findings import findings
from analysis.report.front import HELD_OUT, held_out_table
from analysis.report.multi_rate import held_out_rates
from analysis.report.page import FIRST, RunSection, render
from analysis.report.slider import compute_slider
from analysis.report.tables import study_tables
from trainables.data.datasets import Dataset, dataset_of
from trainables.errors import UserError, reason_of
from trainables.records.atomic_files import write_atomic
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import METRICS
from trainables.training.process_group import first_device


def write_report(
    folder: Path | str,
    top: int = DRAWN,  # complete trials to draw, at least 1
    data_dir: Path | str | None = None,  # where the data set's files are; by default where the study had them
    progress: ShowStep = lambda *_: None,
    inception: Path | None = None,  # weights to measure the FID with; without them there is none
    quick: bool = False,  # the first screen's parts alone
) -> dict[str, Path]:
    """Render a study's folder as it stands: finished, running or empty.

    Writes, below ``visu/<dataset>_vae/``, the figures of the ``top`` complete trials and of the finished final
    training, and those of the study as ``study/*.{png,pdf}``; also ``models/VAE/``, ``trials.csv``,
    ``trials.parquet`` and ``report.html``. The best run, and the rate and distortion of the front, are measured on the
    test set, here and nowhere else. Where the data set or a run's weights cannot be had, the page says so and the rest
    is written. With ``quick`` there are the tables, the page's first screen and its figure.

    Returns the paths of ``report``, ``trials``, ``visu`` and ``models``, those that exist. Raises: UserError where the
    folder is missing, holds no whole study, or cannot be written."""
    if top < 1:
        raise UserError(f"top must be at least 1, got {top}")
    steps = Steps(progress, planned=3 if quick else 4 + len(study_figures()))
    steps("reading the study")
    record = read_study(folder)
    try:
        return _write_all(record, 0 if quick else top, data_dir, steps, inception)
    except OSError as error:
        what = error.filename or record.folder
        fault = f"cannot write the report to {what}: {reason_of(error)}"
        raise UserError(f"{fault}\nmake room there, and draw it again") from error


def is_current(folder: Path | str) -> bool:
    """Whether the page was written after everything that it is made from."""
    layout = StudyLayout(Path(folder))
    if not layout.report.exists() or not layout.ledger.exists():  # the ledger is elsewhere
        return False
    sources = [layout.ledger, *layout.trials.glob(f"*/{METRICS}"), *layout.path.glob("repeats/*/*/*.json*")]
    return layout.report.stat().st_mtime > max(source.stat().st_mtime for source in sources)


def _write_all(
    record: StudyRecord, top: int, data_dir: Path | str | None, steps: Steps, inception: Path | None
) -> dict[str, Path]:
    """`write_report` of a study that is read already; of 0 trials the quick one."""
    missing = [f"Trial {number} is left out: {fault}" for number, fault in record.faults.items()]
    layout, study = StudyLayout(record.folder), StudyContext(record, _load_data(record, data_dir, missing))
    write_atomic(layout.trials_csv, study.trials.to_csv(index=False))
    write_atomic(layout.trials_parquet, study.trials.to_parquet(index=False))
    runs = [run for run in study.runs if top and run in [*study.searched_runs[:top], study.final]]
    steps.plan(len(runs) * len(model_figures()) + (len(PARTS) if runs and study.data else 0))
    visu = layout.visu(record.base.dataset)
    names = None if top else [name for name in FIRST if study_figures()[name].possible(study)]
    figures = draw_study(study, visu / "study", steps.of("drawing the study"), names)
    if top:
        _remove_others(layout.models.glob("*.*"), r"trial_\d+|final(_\d+)?", {run.slug for run in runs})
        _remove_others(visu.glob("*/*.*"), r"(trial_\d+|final|final_\d+)_epoch_\d+", {run.stem for run in runs})
    sections = _draw_runs(study, runs, visu, missing, steps, inception)
    tables = study_tables(study)
    if top:
        steps("measuring rate and distortion on the test set")
        if record.is_multi_rate:
            curves, latents = study.of(rate_curve.FIGURE), study.of(latents_by_beta.FIGURE)
            tables["Does the curve hold on the test images?"] = held_out_rates(curves, latents)
        else:
            tables[HELD_OUT] = held_out_table(study)
    else:
        missing.append("This page is quick: the other figures, the models and the test set come without --quick.")
    slider = None
    if top:
        steps("turning the KL weight")
        slider = compute_slider(study)
    steps("writing the page")
    found = findings(study, study.of(importance.FIGURE), study.of(rate_distortion.FIGURE))
    shown = {title: table for title, table in tables.items() if len(table)}
    write_atomic(layout.report, render(study, found, missing, figures, shown, sections, slider))
    paths = {"report": layout.report, "trials": layout.trials_csv, "models": layout.models, "visu": visu}
    return {name: path for name, path in paths.items() if path.exists()}


def _load_data(record: StudyRecord, data_dir: Path | str | None, missing: list[str]) -> Dataset | None:
    """The study's data set, as its trials saw it; or None, with the reason added to ``missing``."""
    base, there = record.base, record.info.get("data_dir")
    try:
        # a study's folder may say where data is, and not where to write some
        data = dataset_of(base, data_dir or there, bool(data_dir) or not there, record.info.get("images"))
        if tuple(data.image_shape) != base.model.image_shape:
            raise UserError(f"its images are {tuple(data.image_shape)}, the models' {base.model.image_shape}")
        return data.limited(base.limit_train)
    except UserError as error:
        missing.append(f"Images and test metrics are missing, as {base.dataset} cannot be had: {error}")
        return None


def _remove_others(paths: Iterable[Path], names: str, kept: set[str]) -> None:
    """Remove files of runs that were among the best once: of those whose stems are like ``names``, all but ``kept``."""
    for path in paths:
        if re.fullmatch(names, path.stem) and path.stem not in kept:
            path.unlink(missing_ok=True)


def _draw_runs(
    study: StudyContext, runs: list[Run], visu: Path, missing: list[str], steps: Steps, inception: Path | None
) -> list[RunSection]:
    """Export and draw each run; measure the first on the test set. What fails is added to ``missing``."""
    sections: list[RunSection] = []
    for run in runs:
        try:
            export_best(study.record.folder, run)
            model = run.load().to(first_device())
        except UserError as error:
            missing.append(f"The model of {run.label} is missing: {error}")
            continue
        measured: dict[str, float] = {}
        codes = encode(model, study.data.test.images) if study.data else None
        if study.data and not sections:
            progress = steps.of(f"measuring {run.label} on the test set")
            measured = measure(model, study.data, run.best["sigma"], codes, inception=inception, progress=progress)
        drawn = ModelContext(model, study.data, codes, rows=run.folder.rows())
        figures = draw_model(drawn, visu, run.stem, steps.of(f"drawing {run.label}"))
        sections.append(RunSection(run, figures, measured))
    return sections
