"""Everything for a study's best runs: figures, exported models, tables, and one page to read."""

from __future__ import annotations

import io
import math
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from analysis.figures import FIGURES, draw_curves, run_figures, save_figure
from analysis.figures.study.across_beta import compute_across_beta, draw_across_beta
from analysis.figures.study_figures import compute_study, draw_study, study_charts
from analysis.measures.codes import encode
from analysis.measures.test_metrics import PARTS, measure
from analysis.progress import Steps, Tell, untold
from analysis.reading.best_runs import Run, clear_exports, export_best, rank_runs
from analysis.reading.frames import trials_frame
from analysis.reading.repeats import repeats_frame
from analysis.reading.study_record import StudyRecord, read_study
from analysis.report.findings import findings
from analysis.report.page import Page, RunSection, render
from trainables.data.datasets import Dataset, load_dataset
from trainables.errors import UserError
from trainables.records.atomic_files import write_atomic
from trainables.training.process_group import first_device
from vae_models import VAE, ModelConfig


def write_report(
    folder: Path | str,
    top: int = 2,
    data_dir: Path | str | None = None,
    progress: Tell = untold,
    inception: Path | None = None,
) -> dict[str, Path]:
    """Render a study's folder as it stands: finished, running or empty.

    Writes, below ``visu/<dataset>_vae/``, the figures of `analysis.figures.run_figures` and ``curves`` for
    the ``top`` complete trials and the finished final training, and ``study/*.{png,pdf}``; also
    ``models/VAE/``, ``trials.csv``, ``trials.parquet`` and ``report.html``. The best run is measured on the
    test set, here and nowhere else. Where the data set or a run's weights cannot be had, the page says so
    and the rest is written.

    Args:
        folder: the study's.
        top: complete trials to draw, at least 1.
        data_dir: where the data set's files are; by default where the study had them.
        inception: Inception weights to measure the FID with; without them there is none.
        progress: see `analysis.progress.Tell`.

    Returns the paths of ``report``, ``trials``, ``visu`` and ``models``, those that exist.

    Raises:
        UserError: where the folder is missing, holds no whole study, or cannot be written.
    """
    if top < 1:
        raise UserError(f"top must be at least 1, got {top}")
    steps = Steps(progress, planned=4)
    steps("reading the study")
    study = read_study(folder)
    try:
        return write_all(study, top, data_dir, steps, inception)
    except OSError as error:
        raise UserError(f"cannot write the report to {study.folder}: {error}") from error


def is_current(folder: Path | str) -> bool:
    """Whether the page was written after everything that it is made from."""
    page = Path(folder) / "report.html"
    repeats = Path(folder).glob("repeats/*/*/*.json*")
    sources = [Path(folder) / "study.db", *Path(folder).glob("trials/*/metrics.jsonl"), *repeats]
    if not page.exists() or not sources[0].exists():  # the ledger is elsewhere
        return False
    return page.stat().st_mtime > max(source.stat().st_mtime for source in sources)


def write_all(
    study: StudyRecord, top: int, data_dir: Path | str | None, steps: Steps, inception: Path | None
) -> dict[str, Path]:
    """`write_report` of a study that is read already."""
    trials = trials_frame(study)
    write_atomic(study.folder / "trials.csv", trials.to_csv(index=False))
    buffer = io.BytesIO()
    trials.to_parquet(buffer, index=False)
    write_atomic(study.folder / "trials.parquet", buffer.getvalue())

    ranked, missing = rank_runs(study), list[str]()
    runs, data = best_runs(ranked, top), load_data(study, data_dir, missing)
    models = models_by_beta(ranked) if data else []
    steps.plan(bool(models) + (len(runs) * FIGURES + len(PARTS) if runs and data else 0))
    visu = study.folder / "visu" / visu_name(study.base.dataset)
    steps("analysing the study")
    arrays = compute_study(study, trials)
    steps("drawing the study")
    figures = {
        name: save_figure(figure, visu / "study" / f"{name}.png", pdf=True)
        for name, figure in draw_study(arrays).items()
    }
    if data and models:
        steps("drawing what the KL weight does")
        across = draw_across_beta(compute_across_beta(models, data.test))
        figures["across_beta"] = save_figure(across, visu / "study" / "across_beta.png", pdf=True)
    sections = draw_runs(study, runs, visu, data, missing, steps, inception)
    steps("writing the page")
    page = Page(
        study=study,
        trials=trials,
        findings=findings(trials, repeats_frame(study), ranked, arrays.importance, arrays.plane),
        missing=missing,
        figures=figures,
        sections=sections,
        charts=study_charts(arrays),
    )
    write_atomic(study.folder / "report.html", render(page))
    paths = {name: study.folder / place for name, place in PLACES.items()}
    return {name: path for name, path in paths.items() if path.exists()} | {"visu": visu}


PLACES = {"report": "report.html", "trials": "trials.csv", "models": "models/VAE"}


ACROSS_BETA = 6
"""Models that are drawn beside each other."""


def visu_name(dataset: str) -> str:
    """A data set's folder below ``visu``: "mnist_vae"; "imagefolder_vae" wherever its images are."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", dataset.partition(":")[0]) + "_vae"


def best_runs(ranked: list[Run], top: int) -> list[Run]:
    """The ``top`` best complete trials, and the final training, best first."""
    kept = [run for run in ranked if run.slug != "final"][:top]
    return [run for run in ranked if run in kept or run.slug == "final"]


def models_by_beta(ranked: list[Run]) -> list[tuple[float, str, VAE]]:
    """(KL weight, name, model) of complete trials spread over the KL weights; none of fewer than 2. They are
    of one architecture, that with the widest range of weights, so that these alone tell them apart."""

    def span(runs: list[Run]) -> float:
        weights = [run.config.beta for run in runs]
        return max(weights) / min(weights) if min(weights) > 0 else math.inf if max(weights) > 0 else 1.0

    alike: dict[ModelConfig, list[Run]] = {}
    for run in ranked:
        if run.slug != "final":
            alike.setdefault(run.config.model, []).append(run)
    widest = max(alike.values(), key=span, default=[])
    trials = sorted(widest, key=lambda run: run.config.beta)
    spread = np.linspace(0, max(0, len(trials) - 1), ACROSS_BETA).round().astype(int)
    models = []
    for run in (trials[row] for row in np.unique(spread)[: len(trials)]):
        with suppress(UserError):  # it is told where its own figures are missing
            models.append((run.config.beta, run.label, run.load().to(first_device())))
    return models if len(models) > 1 else []


def load_data(study: StudyRecord, data_dir: Path | str | None, missing: list[str]) -> Dataset | None:
    """The study's data set, as its trials saw it; or None, with the reason added to ``missing``."""
    base = study.base
    there = study.info.get("data_dir")
    try:
        # a study's folder may say where data is, and not where to write some
        data = load_dataset(base.dataset, data_dir or there, base.image_size, bool(data_dir) or not there)
        if tuple(data.image_shape) != base.model.image_shape:
            raise UserError(f"its images are {tuple(data.image_shape)}, the models' {base.model.image_shape}")
        return data.limited(base.limit_train)
    except UserError as error:
        missing.append(f"Images and test metrics are missing, as {base.dataset} cannot be had: {error}")
        return None


def draw_runs(
    study: StudyRecord,
    runs: list[Run],
    visu: Path,
    data: Dataset | None,
    missing: list[str],
    steps: Steps,
    inception: Path | None,
) -> list[RunSection]:
    """Export and draw each run; measure the first on the test set. What fails is added to ``missing``."""
    sections: list[RunSection] = []
    clear_exports(study.folder, {run.slug for run in runs})
    clear_figures(visu, {run.stem for run in runs})
    for run in runs:
        try:
            export_best(study.folder, [run])
            model = run.load().to(first_device())
        except UserError as error:
            missing.append(f"The model of {run.label} is missing: {error}")
            continue
        curves = save_figure(draw_curves(run.folder.rows()), visu / "curves" / f"{run.stem}.png")
        figures: dict[str, Path] = {}
        measured: dict[str, float] = {}
        if data is not None:
            codes = encode(model, data.test.images)
            if not sections:
                said = steps.of(f"measuring {run.label} on the test set")
                measured = measure(model, data, run.best["sigma"], codes, inception=inception, progress=said)
            said = steps.of(f"drawing {run.label}")
            figures = run_figures(model, data, visu, run.stem, codes=codes, progress=said)
        sections.append(RunSection(run, figures | {"curves": curves}, measured))
    return sections


def clear_figures(visu: Path, stems: set[str]) -> None:
    """Remove the figures of runs other than ``stems``: they were among the best once."""
    for path in visu.glob("*/*.*"):
        if re.fullmatch(r"(trial_\d+|final)_epoch_\d+", path.stem) and path.stem not in stems:
            path.unlink(missing_ok=True)
