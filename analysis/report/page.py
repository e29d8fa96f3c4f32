"""The report's page: one HTML file that opens without a network."""

import base64
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from pandas.api.types import is_scalar
from PIL import Image

from analysis.figures.files import study_charts
from analysis.figures.plotly_style import to_html
from analysis.figures.registry import StudyContext, model_figures, study_figures
from analysis.figures.study import rate_distortion
from analysis.measures.test_metrics import tables as metric_tables
from analysis.reading.best_runs import Run
from analysis.report.findings import Findings
from analysis.report.tables import study_tables
from trainables.text import without_passwords

_MOST_ROWS = 2000  # trials in the page's table, which a browser must hold
_PAGE_BYTES = 9_500_000
"""Of the whole page, nearly half of which is plotly.js; pictures that find no room are linked to."""
_LOSSLESS_BYTES = 150_000  # of a picture; a larger one is better seen than its pixels counted
_FORMATS = {"val_mse": ".5f", "seconds": ".1f"}
"""Of a table's column; bits have four digits after the point, and other numbers four in all."""


@dataclass(frozen=True)
class RunSection:
    """One run on the page."""

    run: Run
    figures: dict[str, Path]
    measured: dict[str, float]  # on the test set; empty but for the best run

    @property
    def tables(self) -> dict[str, list[tuple[str, str, str]]]:
        """(label, value, unit) of what was measured, by title."""
        return metric_tables(self.measured)


@dataclass(frozen=True)
class TrialRow:
    """One trial in the table."""

    cells: list[str]
    is_best: bool
    overrides: str  # what sets its config apart from the study's, as JSON by dotted path; empty while that is unknown


@dataclass(frozen=True)
class Page:
    """All that the page shows."""

    study: StudyContext
    findings: Findings
    missing: list[str]
    figures: dict[str, Path]
    sections: list[RunSection]

    def place(self, path: Path) -> str:
        """Of a file of the study, as a link from the page."""
        return quote(path.relative_to(self.study.record.folder).as_posix())

    @cached_property
    def rows(self) -> list[TrialRow]:
        """By number; of more than `_MOST_ROWS` trials the best."""
        trials, record = self.study.trials, self.study.record
        values = trials["val_bits_per_dim"].where(trials["state"] == "COMPLETE")
        best = int(np.nanargmin(values)) if values.notna().any() else None
        kept = values.rank(method="first", na_option="bottom") <= _MOST_ROWS
        rows = []
        for position in np.flatnonzero(kept):
            trial, row = record.trials[position], trials.iloc[position]
            config = record.config(trial)
            drawn = {**trial.params, "seed": config.seed} if config else {}
            shown = [cell(column, value) for column, value in row.items()]
            rows.append(TrialRow(shown, position == best, json.dumps(drawn) if drawn else ""))
        return rows


def render(page: Page) -> str:
    """The page as HTML. Everything that comes from the study's folder is escaped."""
    study, record = page.study, page.study.record
    few = len(study.trials) <= _MOST_ROWS  # a browser could not hover more
    tables = study_tables(study.trials, study.repeats, study.of(rate_distortion.FIGURE))
    # plotly writes its JSON with < and > escaped; what it holds are numbers and text that we escaped
    charts = {name: Markup(to_html(chart, name)) for name, chart in study_charts(study).items() if few}
    context: dict[str, Any] = {
        "page": page,
        "info": {name: _shown(value) for name, value in record.info.items()},
        "tables": {title: (list(table), cells(table)) for title, table in tables.items()},
        "charts": charts,
        "plotly": Markup(plotly_js()) if charts else "",
        "drawn": {**study_figures(), **model_figures()},
        "columns": [str(column) for column in study.trials.columns],
        "left_out": len(study.trials) - len(page.rows),
        "base": record.base.model_dump(mode="json"),
        "space": {path: json.loads(text) for path, text in record.info["space"].items()},
        "now": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    template = templates().get_template("report.html.j2")
    bare = len(template.render(context, images={}).encode())
    return template.render(context, images=_sources(page, _PAGE_BYTES - bare))


@cache
def templates() -> jinja2.Environment:
    """Escapes all that it is given, and refuses what it is not given."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


@cache
def plotly_js() -> str:
    """What draws the charts, for a page that opens without a network."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _sources(page: Page, room: int) -> dict[Path, str]:
    """What each picture's ``src`` is: its data while there is ``room`` (bytes), the study's own first, then
    the runs' from the best down."""
    paths = [*page.figures.values(), *(path for section in page.sections for path in section.figures.values())]
    found: dict[Path, str] = {}
    for path in paths:
        uri = _data_uri(path)
        if len(uri) <= room:
            found[path] = uri
            room -= len(uri)
    return found


def _data_uri(path: Path) -> str:
    """A picture as a data URI in WebP: the same pixels in a third of the bytes, or near ones in fewer; a GIF
    keeps moving."""
    with Image.open(path) as image:
        moves = getattr(image, "n_frames", 1) > 1
        content = b"" if moves else _webp(image.convert("RGB"), lossless=True)
        if moves:
            content = _webp(image, quality=70, save_all=True, minimize_size=True)
        elif len(content) > _LOSSLESS_BYTES:
            content = min(content, _webp(image.convert("RGB"), quality=80), key=len)
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _webp(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="webp", method=2, **options)
    return buffer.getvalue()


def cell(column: object, value: Any) -> str:
    """A table's cell: rounded, empty where unknown."""
    if is_scalar(value) and pd.isna(value):
        return ""
    name = str(column)
    style = _FORMATS.get(name, ".4f" if "bits" in name else ".2f" if name.startswith("val_") else ".4g")
    return format(value, style) if isinstance(value, float) else str(value)


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The rows of a table, each value as `cell`."""
    return [[cell(column, value) for column, value in row.items()] for row in table.to_dict("records")]


def _shown(value: Any) -> Any:
    """A value of study.json, without the password of a storage's URL."""
    return without_passwords(value) if isinstance(value, str) else value
