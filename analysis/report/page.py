"""The pages, each one HTML file that opens without a network; and that of a study."""

import base64
import gzip
import json
from collections.abc import Mapping
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

from analysis.figures.files import study_charts
from analysis.figures.plotly_style import to_json
from analysis.figures.registry import StudyContext, model_figures, study_figures
from analysis.figures.study import rate_curve, rate_distortion
from analysis.figures.style import of_pixels
from analysis.measures.test_metrics import tables as metric_tables
from analysis.measures.test_metrics import warnings
from analysis.reading.best_runs import Run
from analysis.reading.choice import typed_weight
from analysis.report.embedded import embedded
from analysis.report.findings import Findings
from analysis.report.front import EXPLAINED, front_runs, front_table
from analysis.report.multi_rate import OVER_LINEAR, rates_table
from analysis.report.slider import Slider
from trainables.config import used
from trainables.text import as_typed, without_passwords

_MOST_ROWS = 2000  # trials in the page's table, which a browser must hold
_PAGE_BYTES = 5_900_000  # of a page but a network's slider, plotly.js a third; pictures without room are linked to
FIRST = (rate_distortion.FIGURE.name, rate_curve.FIGURE.name)  # the figure beside the answer: a study has one
_FORMATS = {  # of a column
    "val_mse": ".5f",
    "val_relative_loss": ".4f",
    "sigma": ".3f",
    OVER_LINEAR: ".3f",
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
    slider: Slider | None = None,
) -> str:
    """A study's page: what it says, what ``missing`` says that could not be had, the PNGs and GIFs of ``figures`` by
    name, ``tables`` by title, and the ``slider`` of the KL weight, where there is one."""
    record, rows = study.record, _trial_rows(study)
    front = rates_table(study.of(rate_curve.FIGURE)) if record.is_multi_rate else front_table(study)
    few = len(study.trials) <= _MOST_ROWS  # a browser could not hover more
    context = {
        "findings": findings,
        "front": shown(front),
        "searches_likelihood": "model.likelihood" in record.space,
        "multi_rate": record.is_multi_rate,
        "weight": typed_weight(record.base.betas[len(record.base.betas) // 4], record.base.model.beta_range, digits=2),
        "best": study.runs[0].label if study.runs else "",
        "front_size": len(front_runs(study)),
        "missing": missing,
        "slider": slider,
        "explained": EXPLAINED,
        "first": {name: path for name, path in figures.items() if name in FIRST},
        "others": {name: path for name, path in figures.items() if name not in FIRST},
        "quoted": as_typed(record.folder),
        "sections": [(it, metric_tables(it.measured, it.run.config.model), warnings(it.measured)) for it in sections],
        "drawn": {**study_figures(), **model_figures()},
        "more": {name: figure.more(study) for name, figure in study_figures().items() if name in figures},
        "of_pixels": of_pixels(record.base.model),
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
    counted = {} if record.is_multi_rate else {"slider": slider}
    bare = len(render_template("report.html.j2", images={}, **context | {"slider": None} | counted).encode())
    # the study's own first, then the runs' from the best down
    pictures = [path for shown in [figures, *(section.figures for section in sections)] for path in shown.values()]
    return render_template("report.html.j2", images=embedded(pictures, _PAGE_BYTES - bare), **context)


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
        overrides = json.dumps({**used(trial.params), "seed": config.seed}) if config else ""
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
