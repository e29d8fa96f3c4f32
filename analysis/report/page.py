"""The pages, each one HTML file that opens without a network; and that of a study."""

import base64
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from pandas.api.types import is_scalar
from PIL import Image

from analysis.figures.files import study_charts
from analysis.figures.plotly_style import to_html
from analysis.figures.registry import StudyContext, model_figures, study_figures
from analysis.measures.test_metrics import tables as metric_tables
from analysis.reading.best_runs import Run
from analysis.report.findings import Findings
from analysis.report.tables import study_tables
from trainables.text import without_passwords

_MOST_ROWS = 2000  # trials in the page's table, which a browser must hold
_PAGE_BYTES = 9_500_000  # of the whole page, nearly half of which is plotly.js; pictures without room are linked to
_LOSSLESS_BYTES = 150_000  # of a picture; a larger one is better seen than its pixels counted
_FORMATS = {"val_mse": ".5f", "seconds": ".1f"}  # of a column


@dataclass(frozen=True)
class RunSection:
    """One run on the page."""

    run: Run
    figures: dict[str, Path]
    measured: dict[str, float]  # on the test set; empty but for the best run


def render(
    study: StudyContext, findings: Findings, missing: list[str], figures: dict[str, Path], sections: list[RunSection]
) -> str:
    """A study's page: what it says, what ``missing`` says that could not be had, and the PNGs and GIFs of ``figures``
    by name."""
    record, rows = study.record, _trial_rows(study)
    few = len(study.trials) <= _MOST_ROWS  # a browser could not hover more
    context = {
        "findings": findings,
        "missing": missing,
        "figures": figures,
        "sections": [(section, metric_tables(section.measured)) for section in sections],
        "drawn": {**study_figures(), **model_figures()},
        "folder": record.folder,
        "info": {name: without_passwords(it) if isinstance(it, str) else it for name, it in record.info.items()},
        "tables": {title: (list(table), cells(table)) for title, table in study_tables(study).items()},
        "charts": rendered_charts(study_charts(study) if few else {}),
        "columns": list(study.trials),
        "rows": rows,
        "left_out": len(study.trials) - len(rows),
        "base": record.base.model_dump(mode="json"),
        "space": {path: json.loads(text) for path, text in record.info["space"].items()},
    }
    bare = len(render_template("report.html.j2", images={}, **context).encode())
    # the study's own first, then the runs' from the best down
    pictures = [path for shown in [figures, *(section.figures for section in sections)] for path in shown.values()]
    return render_template("report.html.j2", images=_images(pictures, _PAGE_BYTES - bare), **context)


def _trial_rows(study: StudyContext) -> list[tuple[list[str], bool, str]]:
    """Each trial's cells, whether it is the best, and what sets its config apart from the study's, as JSON by dotted
    path, which is empty while that is unknown. By number; of more than `_MOST_ROWS` trials the best."""
    trials, record = study.trials, study.record
    values = trials["val_bits_per_dim"].where(trials["state"] == "COMPLETE")
    ranks = values.rank(method="first", na_option="bottom")
    kept = np.flatnonzero(ranks <= _MOST_ROWS)
    is_best = (ranks == 1) & values.notna()
    rows = []
    for position, shown in zip(kept, cells(trials.iloc[kept]), strict=True):
        trial = record.trials[position]
        config = record.config(trial)
        overrides = json.dumps({**trial.params, "seed": config.seed}) if config else ""
        rows.append((shown, bool(is_best[position]), overrides))
    return rows


def render_template(name: str, **context: Any) -> str:
    """A page; everything in ``context`` is escaped but `rendered_charts`."""
    return _templates().get_template(name).render(context, now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))


def rendered_charts(charts: Mapping[str, go.Figure]) -> dict[str, Markup]:
    """For a page, by name."""
    # plotly writes its JSON with < and > escaped; what it holds are numbers and text that we escaped
    return {name: Markup(to_html(chart, name)) for name, chart in charts.items()}


@cache
def _templates() -> jinja2.Environment:
    """Escapes all that it is given, and refuses what it is not given."""
    from plotly.offline import get_plotlyjs

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals["plotly"] = Markup(get_plotlyjs())
    return environment


def _images(paths: Iterable[Path], room: int) -> dict[Path, str]:
    """The data of those pictures that find ``room`` (bytes), as URIs."""
    found: dict[Path, str] = {}
    for path in paths:
        uri = _data_uri(path)
        if len(uri) <= room:
            found[path] = uri
            room -= len(uri)
    return found


def _data_uri(path: Path) -> str:
    """A picture in WebP: the same pixels in a third of the bytes, or near ones in fewer; a GIF keeps moving."""
    with Image.open(path) as image:
        if path.suffix == ".gif":
            content = _webp(image, quality=70, save_all=True, minimize_size=True)
        else:
            still = image.convert("RGB")
            content = _webp(still, lossless=True)
            if len(content) > _LOSSLESS_BYTES:
                content = min(content, _webp(still, quality=80), key=len)
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _webp(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="webp", method=2, **options)
    return buffer.getvalue()


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The rows of a table: bits have four digits after the point, and other numbers four in all; what is unknown is
    empty."""
    return [[_cell(str(column), value) for column, value in row.items()] for row in table.to_dict("records")]


def _cell(column: str, value: Any) -> str:
    if is_scalar(value) and pd.isna(value):
        return ""
    if not isinstance(value, float):
        return str(value)
    style = _FORMATS.get(column, ".2f" if column.startswith("val_") else ".4g")
    return format(value, ".4f" if "bits" in column else style)
