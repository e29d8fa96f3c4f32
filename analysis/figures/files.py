"""Every figure of a study, or of a model, into files."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from analysis.figures.registry import ModelContext, StudyContext, model_figures, study_figures
from trainables.records.atomic_files import write_atomic

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DPI = 150
_MILLISECONDS = 110  # of a frame


def draw_study(study: StudyContext, out: Path, progress: Callable[[str], object] = lambda _: None) -> dict[str, Path]:
    """Draw a study: ``out/<name>.{png,pdf}`` of each figure; the PNGs' paths by name, in the order of the page.
    ``progress`` is called with each figure's name before it is computed."""
    paths = {}
    for name, figure in study_figures().items():
        progress(name)
        if figure.shown(study.of(figure)):
            paths[name] = save_figure(figure.draw(study.of(figure)), out / f"{name}.png", pdf=True)
    return paths


def study_charts(study: StudyContext) -> "dict[str, go.Figure]":
    """The interactive figures by name, those that have something to show."""
    charts = {name: figure.chart(study.of(figure)) for name, figure in study_figures().items()}
    return {name: chart for name, chart in charts.items() if chart is not None}


def draw_model(
    model: ModelContext, out: Path, stem: str, progress: Callable[[str], object] = lambda _: None
) -> dict[str, Path]:
    """Draw one model: ``out/<folder>/<stem>.png`` of each figure, ``.gif`` of one that moves.

    Args:
        model: and what it is drawn from; a figure without what it needs is left out.
        out: folder, made as needed; files of the same name are replaced.
        stem: file name without ending, such as ``trial_0001_epoch_0005``.
        progress: called with each figure's name before it is computed.

    Returns the paths by name, in the order of the page.
    """
    paths = {}
    for name, figure in model_figures().items():
        progress(name)
        if figure.possible(model):
            # one at a time: their images need not be in memory together
            drawn = figure.draw(figure.compute(model))
            folder = out / (figure.folder or name)
            if isinstance(drawn, Figure):
                paths[name] = save_figure(drawn, folder / f"{stem}.png")
            else:
                paths[name] = save_gif(drawn, folder / f"{stem}.gif")
    return paths


def save_figure(figure: Figure, path: Path, pdf: bool = False) -> Path:
    """Write a PNG at 150 dots an inch; with ``pdf``, the same as vectors beside it, for a paper.

    A reader never sees a part of either. A PDF embeds its fonts as TrueType, which publishers ask for, and
    has no date: the same figure gives the same bytes. Returns the PNG's path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, _rendered(figure, format="png", dpi=_DPI, facecolor="white"))
    if pdf:
        vectors = _rendered(figure, format="pdf", dpi=300, metadata={"CreationDate": None})
        write_atomic(path.with_suffix(".pdf"), vectors)
    return path


def _rendered(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context({"pdf.fonttype": 42}):
        warnings.simplefilter("ignore", UserWarning)  # a class name may have letters that the font lacks
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def save_gif(frames: list[Image.Image], path: Path) -> Path:
    """Write an animated GIF that repeats for ever; a reader never sees a part of it. Returns its path."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "loop": 0, "optimize": False}
    frames[0].save(buffer, "gif", duration=_MILLISECONDS, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())
    return path
