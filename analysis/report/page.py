"""The pages, each one HTML file that opens without a network; and that of a study."""

import base64
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from pandas.api.types import is_scalar, is_string_dtype
from PIL import Image

from analysis.figures.files import study_charts
from analysis.figures.plotly_style import to_json
from analysis.figures.registry import StudyContext, model_figures, study_figures
from analysis.figures.study import rate_distortion
from analysis.measures.test_metrics import tables as metric_tables
from analysis.reading.best_runs import Run
from analysis.report.findings import Findings
from analysis.report.front import front_table
from trainables.text import as_typed, without_passwords

_MOST_ROWS = 2000  # trials in the page's table, which a browser must hold
_PAGE_BYTES = 5_900_000  # of the whole page, a third of which is plotly.js; pictures without room are linked to
FIRST = rate_distortion.FIGURE.name  # the figure beside the answer
_LOSSLESS_BYTES = 150_000  # of a picture; a larger one is better seen than its pixels counted
_FORMATS = {  # of a column
    "val_mse": ".5f",
    "seconds": ".1f",
    "a nat saves": ".2f",
    "MSE": ".5f",
    "parameters": ",",
    "s an epoch": ".3g",
}


@dataclass(frozen=True)
class RunSection:
    """One run on the page."""

    run: Run
    figures: dict[str, Path]
    measured: dict[str, float]  # on the test set; empty but for the best run


def render(
    study: StudyContext,
    findings: Findings,
    missing: list[str],
    figures: dict[str, Path],
    tables: Mapping[str, pd.DataFrame],
    sections: list[RunSection],
) -> str:
    """A study's page: what it says, what ``missing`` says that could not be had, the PNGs and GIFs of ``figures`` by
    name, and ``tables`` by title."""
    record, rows, front = study.record, _trial_rows(study), front_table(study)
    few = len(study.trials) <= _MOST_ROWS  # a browser could not hover more
    context = {
        "findings": findings,
        "front": shown(front),
        "front_size": int(study.trials["front"].sum()),
        "missing": missing,
        "first": {name: path for name, path in figures.items() if name == FIRST},
        "others": {name: path for name, path in figures.items() if name != FIRST},
        "quoted": as_typed(record.folder),
        "sections": [(section, metric_tables(section.measured)) for section in sections],
        "drawn": {**study_figures(), **model_figures()},
        "folder": record.folder,
        "info": {name: without_passwords(it) if isinstance(it, str) else it for name, it in record.info.items()},
        "tables": {title: shown(table) for title, table in tables.items()},
        "charts": rendered_charts(study_charts(study, figures) if few else {}),
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
    """Each trial's cells, whether it is the best or on the front, and what sets its config apart from the study's, as
    JSON by dotted path, which is empty while that is unknown. By number; of more than `_MOST_ROWS` trials the best."""
    trials, record = study.trials, study.record
    values = trials[record.judged_by].where(trials["state"] == "COMPLETE")
    ranks = values.rank(method="first", na_option="bottom")
    kept = np.flatnonzero(ranks <= _MOST_ROWS)
    is_best = trials["front"] if record.has_front else (ranks == 1) & values.notna()
    rows = []
    for position, text in zip(kept, cells(trials.iloc[kept]), strict=True):
        trial = record.trials[position]
        config = record.config(trial)
        overrides = json.dumps({**trial.params, "seed": config.seed}) if config else ""
        rows.append((text, bool(is_best[position]), overrides))
    return rows


def render_template(name: str, **context: Any) -> str:
    """A page; everything in ``context`` is escaped but `rendered_charts`."""
    return _templates().get_template(name).render(context, now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))


def rendered_charts(charts: Mapping[str, go.Figure]) -> dict[str, Markup]:
    """For a page, by name."""
    return {name: Markup(to_json(chart)) for name, chart in charts.items()}


@cache
def _templates() -> jinja2.Environment:
    """Escapes all that it is given, and refuses what it is not given."""
    from plotly.offline import get_plotlyjs

    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    # a third of its bytes, which the page unpacks when a chart is first shown
    environment.globals["plotly"] = Markup(base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode())
    return environment


def _images(paths: Sequence[Path], room: int) -> dict[Path, str]:
    """The data of those pictures that find ``room`` (bytes), as URIs."""
    found: dict[Path, str] = {}
    with ThreadPoolExecutor() as pool:  # the encoder lets other threads work
        for path, uri in zip(paths, pool.map(_data_uri, paths), strict=True):
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


def shown(table: pd.DataFrame) -> tuple[list[str], list[list[str]], list[str]]:
    """The columns of a table, its `cells`, and which columns are words."""
    columns = list(map(str, table.columns))
    return columns, cells(table), [name for name in columns if is_string_dtype(table[name])]


def cells(table: pd.DataFrame) -> list[list[str]]:
    """The rows of a table: bits have four digits after the point, and other numbers four in all; what is unknown is
    empty."""
    return [[_cell(str(column), value) for column, value in row.items()] for row in table.to_dict("records")]


def _cell(column: str, value: Any) -> str:
    if is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, float):
        style = _FORMATS.get(column, ".2f" if column.startswith("val_") or "nats" in column else ".4g")
        return format(value, ".4f" if "bits" in column else style)
    return format(value, _FORMATS[column]) if column in _FORMATS else str(value)
