"""The report's page: one HTML file that opens without a network."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from analysis.best import Run
from analysis.charts import history_chart, parallel_chart, rate_distortion_chart, to_html
from analysis.figures.parallel import Parallel
from analysis.figures.rate_distortion import RateDistortion
from analysis.figures.search import History
from analysis.trials import StudyRecord
from trainables.text import without_passwords

CAPTIONS = {
    "rate_distortion": "Each dot is a run: left is a shorter code, down a more faithful image. Grey "
    "diagonals are equal bits per dimension, and the best run is on the lowest; colour is the KL weight.",
    "parallel": "Each line is a trial, from its parameters to its value; dark lines ended lower (better).",
    "importance": "Share of the value's variance that each parameter explains (fANOVA over complete trials).",
    "history": "The value of each trial in the order they were asked for; the line is the best so far.",
    "learning_curves": "Validation bits per dimension by epoch; dashed: pruned; outlined: the best.",
    "recon": "Test images and what is left of them after the code; the number is the signal-to-noise ratio.",
    "pca": "Posterior means along their two directions of most variance; classes apart are told apart.",
    "umap": "Neighbours in the latent space stay neighbours here; distances between islands mean little.",
    "interp": "From one test image to another; a path without ghosts means a well-filled latent space.",
    "noise": "What the decoder makes of pure noise: the more it looks like data, the better the prior fits.",
    "curves": "Training (solid) against validation (dashed); a widening gap is overfitting.",
}
METRICS = {
    "bits_per_dim": ("bits per dimension", ".4f", ""),
    "nelbo": ("negative ELBO, calibrated", ".2f", "nats per image"),
    "rate": ("rate", ".2f", "nats per image"),
    "distortion": ("distortion, training likelihood", ".2f", "nats per image"),
    "mse": ("mean squared error, sampled codes", ".5f", "pixels in [0, 1]"),
    "active_units": ("active units", ".0f", "latents"),
    "probe_accuracy": ("linear probe accuracy", ".2%", "of test images"),
    "mutual_information": (
        "mutual information of image and code",
        ".2f",
        "nats, at most the log of the images",
    ),
    "marginal_kl": ("aggregate posterior to the prior, KL", ".2f", "nats"),
    "kl_largest": ("largest rate of a latent", ".2f", "nats per image"),
    "kl_median": ("median rate of a latent", ".2f", "nats per image"),
}
LOSSLESS_BYTES = 4_000_000
"""Of pictures in the page, which plotly.js makes 5 MB larger."""
FORMATS = {"val_mse": ".5f", "val_bits_per_dim": ".4f", "beta": ".4g", "lr": ".3g", "seconds": ".1f"}


@dataclass(frozen=True)
class RunSection:
    """One run on the page."""

    run: Run
    figures: dict[str, Path]
    measured: dict[str, float]
    """On the test set; empty but for the best run."""

    @property
    def table(self) -> list[tuple[str, str, str]]:
        """(name, value, unit) of what was measured."""
        return [
            (label, format(self.measured[name], style), unit)
            for name, (label, style, unit) in METRICS.items()
            if name in self.measured and math.isfinite(self.measured[name])
        ]


@dataclass(frozen=True)
class Page:
    """All that the page shows."""

    study: StudyRecord
    trials: pd.DataFrame
    findings: list[str]
    missing: list[str]
    figures: dict[str, Path]
    sections: list[RunSection]
    history: History
    parallel: Parallel
    plane: RateDistortion

    @property
    def best(self) -> int | None:
        """Position of the best complete trial's row in the table."""
        values = self.trials["val_bits_per_dim"].where(self.trials["state"] == "COMPLETE")
        return int(np.nanargmin(values)) if values.notna().any() else None

    @property
    def charts(self) -> dict[str, Markup]:
        """Interactive charts by the name of the figure they go with."""
        charts = {}
        if self.plane.label:
            charts["rate_distortion"] = to_html(rate_distortion_chart(self.plane), "rate_distortion")
        if self.parallel.complete.sum() > 1:
            charts["parallel"] = to_html(parallel_chart(self.parallel), "parallel")
        if len(self.history.number):
            charts["history"] = to_html(history_chart(self.history), "history")
        # plotly writes its JSON with < and > escaped; what it holds are numbers and text that we escaped
        return {name: Markup(html) for name, html in charts.items()}


def render(page: Page) -> str:
    """The page as HTML. Everything that comes from the study's folder is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("report.html.j2")
    charts = page.charts
    return template.render(
        page=page,
        info={name: shown(value) for name, value in page.study.info.items()},
        charts=charts,
        plotly=Markup(plotly_js()) if charts else "",
        captions=CAPTIONS,
        images=sources(page),
        columns=[str(column) for column in page.trials.columns],
        rows=[[cell(column, value) for column, value in row.items()] for _, row in page.trials.iterrows()],
        best=page.best,
        base=page.study.base.model_dump(mode="json"),
        space={path: json.loads(text) for path, text in page.study.info["space"].items()},
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


@cache
def plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def sources(page: Page) -> dict[Path, str]:
    """What each picture's ``src`` is: its data, without loss while `LOSSLESS_BYTES` last, the study's own
    first, then the runs' from the best down."""
    paths = [
        *page.figures.values(),
        *(path for section in page.sections for path in section.figures.values()),
    ]
    found: dict[Path, str] = {}
    left = LOSSLESS_BYTES
    for path in paths:
        found[path] = data_uri(path, lossless=left > 0)
        left -= len(found[path])
    return found


def data_uri(path: Path, lossless: bool) -> str:
    """A PNG file as a data URI in WebP: the same pixels in a third of the bytes, or near ones in fewer."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, format="webp", lossless=lossless, quality=80, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def cell(column: object, value: Any) -> str:
    """A table's cell: rounded, empty where unknown."""
    if value is None or value is pd.NA or value != value:
        return ""
    return format(value, FORMATS.get(str(column), ".2f")) if isinstance(value, float) else str(value)


def shown(value: Any) -> Any:
    """A value of study.json, without the password of a storage's URL."""
    return without_passwords(value) if isinstance(value, str) else value
