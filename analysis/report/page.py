"""The report's page: one HTML file that opens without a network."""

from __future__ import annotations

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
import plotly.graph_objects as go
from markupsafe import Markup
from PIL import Image

from analysis.figures.charts import to_html
from analysis.measures.test_metrics import tables
from analysis.reading.best_runs import Run
from analysis.reading.study_record import StudyRecord
from analysis.report.findings import Findings
from trainables.text import without_passwords

CAPTIONS = {
    "rate_distortion": (
        "Each dot is a run: left is a shorter code, down a more faithful image. Grey diagonals are "
        "equal bits per dimension, and the best run is on the lowest; colour is the KL weight. The "
        "diamond is the knee, where more rate begins to buy less; the shaded area up to the cross is "
        "the hypervolume, and the lower value is what resampled trials still reach."
    ),
    "bits_by_beta": (
        "Bits per dimension against KL weight, a panel a depth; colour is the latent size. A line is what a "
        "Gaussian process through the complete trials expects of one latent size, and the band that mean's "
        "95 % interval, beyond which single trials scatter. Fewer than 15 complete trials have none."
    ),
    "active_units": (
        "Latents that carry information, counted and as a share of the latent size; a cross is a collapsed code."
    ),
    "importance": (
        "Share of the value's variance that each parameter alone explains: main effects (fANOVA) of a "
        "forest of the complete trials, times the R² of its predictions of trials it has not seen; grey is "
        "the rest. Lines span 95 % of resampled trials."
    ),
    "contour": (
        "Bits per dimension over each pair of parameters, by a Gaussian process through the complete "
        "trials (dots); dark is better, the ring is the best trial."
    ),
    "parallel": "Each line is a trial, from its parameters to its value; dark lines ended lower (better).",
    "history": "The value of each trial in the order they were asked for; the line is the best so far.",
    "learning_curves": "Validation bits per dimension by epoch; dashed: pruned; outlined: the best.",
    "timeline": (
        "When each trial ran, packed into as few slots as ran at once; hatched ones still run. A trial "
        "that was interrupted counts from its first start to its end."
    ),
    "across_beta": (
        "The same test images and the same noise through models of rising KL weight: what is left, and what is made up."
    ),
    "recon": ("Test images and what is left of them after the code; the number is the signal-to-noise ratio."),
    "extremes": (
        "The test images rendered best and worst, over their reconstructions; below: mean squared error and class."
    ),
    "noise": ("What the decoder makes of pure noise: the more it looks like data, the better the prior fits."),
    "neighbours": (
        "Samples over the training images nearest in pixels; a memorised one would be at a distance near 0."
    ),
    "interp": "From one test image to another; a path without ghosts means a well-filled latent space.",
    "traversal": (
        "One test image's code with one latent moved at a time (framed: nearest to its own code); a "
        "row that does not change carries little of what its codes could say."
    ),
    "traversal_gif": "The same latents in motion, from -3 to 3 prior standard deviations and back.",
    "manifold": "The decoder over the two latents that carry most, in equal steps of prior probability.",
    "kl_latents": (
        "What each latent carries, and the variance that makes it an active unit; grey ones have collapsed."
    ),
    "aggregate_posterior": (
        "All codes together (bars) should look like the prior (line); a short orange bar is a latent that says little."
    ),
    "pca": "Posterior means along their two directions of most variance; classes apart are told apart.",
    "umap": "Neighbours in the latent space stay neighbours here; distances between islands mean little.",
    "class_means": "Each class's mean code, decoded, and how far apart these means lie.",
    "curves": "Training (solid) against validation (dashed); a widening gap is overfitting.",
}
MOVING = ("traversal_gif",)
"""Closed until the reader opens them: what moves must be possible to stop (WCAG 2.2, 2.2.2)."""
MOST_ROWS = 2000
"""Trials in the page's table, which a browser must hold."""
PAGE_BYTES = 9_500_000
"""Of the whole page, nearly half of which is plotly.js; pictures that find no room are linked to."""
LOSSLESS_BYTES = 150_000
"""Of a picture; a larger one is better seen than its pixels counted."""
FORMATS = {"val_mse": ".5f", "val_bits_per_dim": ".4f", "seconds": ".1f", "cpu_hours": ".4g", "gpu_hours": ".4g"}


@dataclass(frozen=True)
class RunSection:
    """One run on the page."""

    run: Run
    figures: dict[str, Path]
    measured: dict[str, float]
    """On the test set; empty but for the best run."""

    @property
    def tables(self) -> dict[str, list[tuple[str, str, str]]]:
        """(label, value, unit) of what was measured, by title."""
        return tables(self.measured)


@dataclass(frozen=True)
class TrialRow:
    """One trial in the table."""

    cells: list[str]
    is_best: bool
    overrides: str
    """What sets its config apart from the study's, as JSON by dotted path; empty while that is unknown."""


@dataclass(frozen=True)
class Page:
    """All that the page shows."""

    study: StudyRecord
    trials: pd.DataFrame
    findings: Findings
    missing: list[str]
    figures: dict[str, Path]
    sections: list[RunSection]
    charts: dict[str, go.Figure]
    """Interactive ones by the name of the figure they go with."""

    def place(self, path: Path) -> str:
        """Of a file of the study, as a link from the page."""
        return quote(path.relative_to(self.study.folder).as_posix())

    @cached_property
    def rows(self) -> list[TrialRow]:
        """By number; of more than `MOST_ROWS` trials the best."""
        trials, study = self.trials, self.study
        values = trials["val_bits_per_dim"].where(trials["state"] == "COMPLETE")
        best = int(np.nanargmin(values)) if values.notna().any() else None
        kept = values.rank(method="first", na_option="bottom") <= MOST_ROWS
        rows = []
        for position in np.flatnonzero(kept):
            trial, row = study.trials[position], trials.iloc[position]
            config = study.config(trial)
            drawn = {**trial.params, "seed": config.seed} if config else {}
            cells = [cell(column, value) for column, value in row.items()]
            rows.append(TrialRow(cells, position == best, json.dumps(drawn) if drawn else ""))
        return rows


def render(page: Page) -> str:
    """The page as HTML. Everything that comes from the study's folder is escaped."""
    few = len(page.trials) <= MOST_ROWS  # a browser could not hover more
    # plotly writes its JSON with < and > escaped; what it holds are numbers and text that we escaped
    charts = {name: Markup(to_html(chart, name)) for name, chart in page.charts.items() if few}
    context: dict[str, Any] = {
        "page": page,
        "info": {name: shown(value) for name, value in page.study.info.items()},
        "charts": charts,
        "plotly": Markup(plotly_js()) if charts else "",
        "captions": CAPTIONS,
        "moving": MOVING,
        "columns": [str(column) for column in page.trials.columns],
        "rows": page.rows,
        "left_out": len(page.trials) - len(page.rows),
        "base": page.study.base.model_dump(mode="json"),
        "space": {path: json.loads(text) for path, text in page.study.info["space"].items()},
        "now": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    template = templates().get_template("report.html.j2")
    bare = len(template.render(context, images={}).encode())
    return template.render(context, images=sources(page, PAGE_BYTES - bare))


@cache
def templates() -> jinja2.Environment:
    """Escapes all that it is given, and refuses what it is not given."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


@cache
def plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def sources(page: Page, room: int) -> dict[Path, str]:
    """What each picture's ``src`` is: its data while there is ``room`` (bytes), the study's own first, then
    the runs' from the best down."""
    paths = [*page.figures.values(), *(path for section in page.sections for path in section.figures.values())]
    found: dict[Path, str] = {}
    for path in paths:
        uri = data_uri(path)
        if len(uri) <= room:
            found[path] = uri
            room -= len(uri)
    return found


def data_uri(path: Path) -> str:
    """A picture as a data URI in WebP: the same pixels in a third of the bytes, or near ones in fewer; a GIF
    keeps moving."""
    with Image.open(path) as image:
        moves = getattr(image, "n_frames", 1) > 1
        content = b"" if moves else webp(image.convert("RGB"), lossless=True)
        if moves:
            content = webp(image, quality=70, save_all=True, minimize_size=True)
        elif len(content) > LOSSLESS_BYTES:
            content = min(content, webp(image.convert("RGB"), quality=80), key=len)
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def webp(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="webp", method=2, **options)
    return buffer.getvalue()


def cell(column: object, value: Any) -> str:
    """A table's cell: rounded, empty where unknown."""
    if value is None or value is pd.NA or value != value:
        return ""
    style = FORMATS.get(str(column), ".2f" if str(column).startswith("val_") else ".4g")
    return format(value, style) if isinstance(value, float) else str(value)


def shown(value: Any) -> Any:
    """A value of study.json, without the password of a storage's URL."""
    return without_passwords(value) if isinstance(value, str) else value
