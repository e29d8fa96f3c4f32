"""Every figure of a study, or of a model, into files."""

import io
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from PIL import Image

from analysis.figures.registry import ModelContext, StudyContext, model_figures, study_figures
from analysis.figures.style import draw_note, house_style
from trainables.records.atomic_files import write_atomic

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DPI = 150
_MILLISECONDS = 110  # of a frame


def draw_study(
    study: StudyContext,
    out: Path,
    progress: Callable[[str], object] = lambda _: None,
    names: Collection[str] | None = None,
) -> dict[str, Path]:
    """Draw a study: ``out/<name>.{png,pdf}`` of each figure, or of ``names`` alone; the PNGs' paths by name, in
    the order of the page. ``progress`` is called with each figure's name before it is computed."""
    paths = {}
    for name in study_figures() if names is None else names:
        figure = study_figures()[name]
        progress(name)
        if not figure.possible(study):
            continue
        found = study.of(figure)
        if figure.shown(found):
            note = figure.note(found)
            paths[name] = save_figure(draw_note(note) if note else figure.draw(found), out / f"{name}.png")
    return paths


def study_charts(study: StudyContext, names: Collection[str]) -> "dict[str, go.Figure]":
    """The interactive ones of these figures by name, those that have something to show."""
    asked = {name: it for name, it in study_figures().items() if name in names and it.possible(study)}
    found = {name: (figure, study.of(figure)) for name, figure in asked.items()}
    with house_style():  # of which some take what their figures have
        charts = {name: figure.chart(numbers) for name, (figure, numbers) in found.items() if not figure.note(numbers)}
    return {name: chart for name, chart in charts.items() if chart is not None}


def draw_model(
    model: ModelContext, out: Path, stem: str, progress: Callable[[str], object] = lambda _: None
) -> dict[str, Path]:
    """Draw one model, as `draw_study`: ``out/<folder>/<stem>.{png,pdf}`` of each figure, ``.gif`` of one that moves; a
    figure without what it needs is left out. Files of the same name are replaced."""
    paths = {}
    for name, figure in model_figures().items():
        progress(name)
        if figure.possible(model):
            folder = out / (figure.folder or name)
            drawn = figure.draw(figure.compute(model))  # one at a time: their images are not in memory together
            if isinstance(drawn, Figure):
                paths[name] = save_figure(drawn, folder / f"{stem}.png")
            else:
                paths[name] = save_gif(drawn, folder / f"{stem}.gif")
    return paths


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG at 150 dots an inch, and the same as vectors beside it, for a paper: its fonts are TrueType, which
    publishers ask for, and it has no date, so that the same figure gives the same bytes. A reader never sees a part of
    either. The figure's layout stays as it is written. Returns the PNG's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), house_style(**{"pdf.fonttype": 42, "figure.constrained_layout.use": False}):
        warnings.simplefilter("ignore", UserWarning)  # a class name may have letters that the font lacks
        if layout := figure.get_layout_engine():
            figure.set_dpi(_DPI)
            layout.execute(figure)
            figure.set_layout_engine(None)  # or each file would be drawn twice, once for its layout alone
        write_atomic(path, _rendered(figure, format="png", dpi=_DPI, facecolor="white"))
        vectors = _rendered(figure, format="pdf", dpi=300, metadata={"CreationDate": None})
        write_atomic(path.with_suffix(".pdf"), vectors)
    return path


def _rendered(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def save_gif(frames: list[Image.Image], path: Path) -> Path:
    """Write an animated GIF that repeats for ever; a reader never sees a part of it. Returns its path."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"append_images": frames[1:], "loop": 0, "optimize": False, "duration": _MILLISECONDS}
    frames[0].save(buffer, "gif", save_all=True, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())
    return path
