"""Everything for a study's best runs: figures, exported models, tables, and one page to read."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from analysis.best import Run, clear_exports, export_best, final_run, rank_runs
from analysis.figures import draw_curves, run_figures, save_figure
from analysis.figures.curves import compute_learning_curves, draw_learning_curves
from analysis.figures.parallel import Parallel, compute_parallel, draw_parallel
from analysis.figures.rate_distortion import RateDistortion, compute_rate_distortion, draw_rate_distortion
from analysis.figures.search import (
    History,
    Importance,
    compute_history,
    compute_importance,
    draw_history,
    draw_importance,
)
from analysis.findings import findings
from analysis.metrics import measure
from analysis.page import Page, RunSection, render
from analysis.trials import StudyRecord, epochs_frame, read_study, trials_frame
from trainables.data import Dataset, load_dataset
from trainables.errors import UserError
from trainables.files import write_atomic

Progress = Callable[[str], None]


@dataclass(frozen=True)
class StudyArrays:
    """What the study's figures and charts are drawn from."""

    history: History
    importance: Importance
    parallel: Parallel
    plane: RateDistortion


def write_report(
    folder: Path | str,
    top: int = 2,
    data_dir: Path | str | None = None,
    progress: Progress = lambda step: None,
) -> dict[str, Path]:
    """Render a study's folder as it stands: finished, running or empty.

    Writes ``visu/<dataset>_vae/{recon,pca,umap,interp,noise,curves}/<run>_epoch_<E>.png`` for the ``top``
    complete trials and the finished final training, ``visu/<dataset>_vae/study/*.png``, ``models/VAE/``,
    ``trials.csv``, ``trials.parquet`` and ``report.html``. The best run is measured on the test set, here
    and nowhere else. Where the data set or a run's weights cannot be had, the page says so and the rest is
    written.

    Args:
        folder: the study's.
        top: complete trials to draw, at least 1.
        data_dir: where the data set's files are; by default where the study had them.
        progress: told what is done next, in a few words.

    Returns the paths of ``report``, ``trials``, ``visu`` and ``models``, those that exist.

    Raises:
        UserError: where the folder is missing, holds no whole study, or cannot be written.
    """
    if top < 1:
        raise UserError(f"top must be at least 1, got {top}")
    progress("reading the study")
    study = read_study(folder)
    try:
        return write_all(study, top, data_dir, progress)
    except OSError as error:
        raise UserError(f"cannot write the report to {study.folder}: {error}") from error


def is_current(folder: Path | str) -> bool:
    """Whether the page was written after everything that it is made from."""
    page = Path(folder) / "report.html"
    sources = [Path(folder) / "study.db", *Path(folder).glob("trials/*/metrics.jsonl")]
    if not page.exists() or not sources[0].exists():  # the ledger is elsewhere
        return False
    return page.stat().st_mtime > max(source.stat().st_mtime for source in sources)


def write_all(
    study: StudyRecord, top: int, data_dir: Path | str | None, progress: Progress
) -> dict[str, Path]:
    """`write_report` of a study that is read already."""
    trials = trials_frame(study)
    write_atomic(study.folder / "trials.csv", trials.to_csv(index=False))
    buffer = io.BytesIO()
    trials.to_parquet(buffer, index=False)
    write_atomic(study.folder / "trials.parquet", buffer.getvalue())

    ranked = rank_runs(study)
    visu = study.folder / "visu" / visu_name(study.base.dataset)
    arrays = StudyArrays(
        compute_history(trials),
        compute_importance(study.trials, study.columns),
        compute_parallel(trials, study.searched),
        compute_rate_distortion(trials, final_run(study.folder), study.base.model.dimensions),
    )
    progress("drawing the study")
    figures = {
        name: save_figure(figure, visu / "study" / f"{name}.png")
        for name, figure in draw_study(study, arrays).items()
    }
    missing: list[str] = []
    sections = draw_runs(
        study, best_runs(ranked, top), visu, load_data(study, data_dir, missing), missing, progress
    )
    progress("writing the page")
    page = Page(
        study=study,
        trials=trials,
        findings=findings(trials, ranked, arrays.importance, arrays.plane),
        missing=missing,
        figures=figures,
        sections=sections,
        history=arrays.history,
        parallel=arrays.parallel,
        plane=arrays.plane,
    )
    write_atomic(study.folder / "report.html", render(page))
    paths = {name: study.folder / place for name, place in PLACES.items()}
    return {name: path for name, path in paths.items() if path.exists()} | {"visu": visu}


PLACES = {"report": "report.html", "trials": "trials.csv", "models": "models/VAE"}


def visu_name(dataset: str) -> str:
    """A data set's folder below ``visu``: "mnist_vae"; "imagefolder_vae" wherever its images are."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", dataset.partition(":")[0]) + "_vae"


def best_runs(ranked: list[Run], top: int) -> list[Run]:
    """The ``top`` best complete trials, and the final training, best first."""
    kept = [run for run in ranked if run.slug != "final"][:top]
    return [run for run in ranked if run in kept or run.slug == "final"]


def draw_study(study: StudyRecord, arrays: StudyArrays) -> dict[str, Figure]:
    """The study's figures by name."""
    trials, epochs = trials_frame(study), epochs_frame(study)
    return {
        "rate_distortion": draw_rate_distortion(arrays.plane),
        "parallel": draw_parallel(arrays.parallel),
        "importance": draw_importance(arrays.importance),
        "history": draw_history(arrays.history),
        "learning_curves": draw_learning_curves(compute_learning_curves(epochs, trials)),
    }


def load_data(study: StudyRecord, data_dir: Path | str | None, missing: list[str]) -> Dataset | None:
    """The study's data set; or None, with the reason added to ``missing``."""
    base = study.base
    there = study.info.get("data_dir")
    try:
        # a study's folder may say where data is, and not where to write some
        data = load_dataset(base.dataset, data_dir or there, base.image_size, bool(data_dir) or not there)
        if tuple(data.image_shape) != base.model.image_shape:
            raise UserError(f"its images are {tuple(data.image_shape)}, the models' {base.model.image_shape}")
        return data
    except UserError as error:
        missing.append(f"Images and test metrics are missing, as {base.dataset} cannot be had: {error}")
        return None


def draw_runs(
    study: StudyRecord,
    runs: list[Run],
    visu: Path,
    data: Dataset | None,
    missing: list[str],
    progress: Progress,
) -> list[RunSection]:
    """Export and draw each run; measure the first on the test set. What fails is added to ``missing``."""
    sections: list[RunSection] = []
    clear_exports(study.folder, {run.slug for run in runs})
    for run in runs:
        try:
            export_best(study.folder, [run])
            model = run.load()
        except UserError as error:
            missing.append(f"The model of {run.label} is missing: {error}")
            continue
        curves = save_figure(draw_curves(run.folder.rows()), visu / "curves" / f"{run.stem}.png")
        figures: dict[str, Path] = {}
        measured: dict[str, float] = {}
        if data is not None:
            if not sections:
                progress(f"measuring {run.label} on the test set")
                measured = measure(model, data, run.best["sigma"])
            progress(f"drawing {run.label}")
            figures = run_figures(model, data, visu, run.stem)
        sections.append(RunSection(run, figures | {"curves": curves}, measured))
    return sections
