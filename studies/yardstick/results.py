"""What a yardstick came to: each training as it was measured, ours beside what was published, as a table and as
``yardsticks.json``. The schema is in studies/README.md."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.statistics.resampling import t_interval
from studies.record.provenance import provenance
from studies.yardstick.declaration import Figure, Yardstick
from trainables.records.atomic_files import read_bounded, seal, unseal, write_atomic
from trainables.terminal import Column, print_table, print_text

RESULTS = "yardsticks.json"
VERSION = 1
RULES = {
    True: "met: the lower end of the interval of our mean (95 %, Student's t over seeds) is at most the published "
    "figure and its error; of one seed, the figure itself",
    False: "met: of the training that is furthest from the published figure the difference is at most the tolerance",
}
"""By whether a yardstick's trainings are seeds."""
_COLUMNS = (
    Column("study", "study", is_text=True),
    Column("title", "figure", is_text=True),
    Column("ours_text", "ours", is_text=True),
    Column("published_text", "published", is_text=True),
    Column("verdict", "", is_text=True),
    Column("unit", "unit", is_text=True),
    Column("trainings", "trainings"),
)


@dataclass(frozen=True)
class Found:
    """Ours, of one figure: the mean over seeds with the ends of its interval, or that of the KL weight at which it is
    furthest from what was published."""

    ours: float | None
    low: float | None
    high: float | None
    trainings: int
    met: bool | None  # None: it is not known yet, or nothing is to be met


def found(figure: Figure, values: np.ndarray, planned: int, has_seeds: bool, is_quick: bool) -> Found:
    """Of what was measured of each complete training, (N,), of so many that are ``planned``. Whether it is met is said
    of all of them alone, and of no quick version."""
    if not len(values):
        return Found(None, None, None, 0, None)
    interval = t_interval(values) if has_seeds else None
    low, high = (interval.low, interval.high) if interval else (None, None)
    if has_seeds:
        ours = float(values.mean())
        met = (ours if low is None else low) <= figure.published + figure.error
    else:
        ours = float(values[np.abs(values - figure.published).argmax()])
        met = abs(ours - figure.published) <= figure.tolerance
    is_known = figure.is_target and not is_quick and len(values) >= planned
    return Found(ours, low, high, len(values), met if is_known else None)


@dataclass
class Results:
    """What is known of a yardstick in ``folder``."""

    yardstick: Yardstick
    folder: Path
    trainings: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, yardstick: Yardstick, folder: Path) -> "Results":
        """With what was measured before; a file that is torn, another version's or another yardstick's counts for
        nothing."""
        try:
            record = unseal(read_bounded(folder / RESULTS))
            is_own = (record["version"], record["name"]) == (VERSION, yardstick.name)
            before = record["trainings"] if is_own else []
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            before = []
        return cls(yardstick, folder, [each for each in before if isinstance(each, dict)])

    def measured(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was measured of a training, by what it depends on; None where nothing was."""
        return next((each for each in self.trainings if key.items() <= each.items()), None)

    def add(self, training: Mapping[str, Any]) -> None:
        """Take another, in the place of what was measured of the same trial before. Raises: OSError."""
        same = training["study"], training["trial"]
        others = [each for each in self.trainings if (each.get("study"), each.get("trial")) != same]
        self.trainings = sorted([*others, dict(training)], key=lambda each: (each["study"], each["trial"]))
        self.write()

    def figures(self) -> list[dict[str, Any]]:
        """A row for each figure of each variant, as ``yardsticks.json`` has it."""
        yardstick, rows = self.yardstick, list[dict[str, Any]]()
        for variant in yardstick.variants:
            name, planned = variant.study.name, variant.study.trials
            measured = [each for each in self.trainings if each["study"] == name and each["trial"] < planned]
            for figure in variant.figures:
                values = np.array([each["values"][figure.quantity] for each in measured], float)
                ours = found(figure, values, planned, yardstick.has_seeds, yardstick.is_quick)
                rows.append({"study": name} | vars(figure) | vars(ours) | {"planned": planned})
        return rows

    def write(self) -> None:
        """Put it all down. Raises: OSError."""
        yardstick = self.yardstick
        record = {
            "version": VERSION,
            "name": yardstick.name,
            "is_quick": yardstick.is_quick,
            "protocol": yardstick.protocol,
            "departures": yardstick.departures,
            "rule": RULES[yardstick.has_seeds],
            "date": time.strftime("%Y-%m-%d"),
            "figures": self.figures(),
            "trainings": self.trainings,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / RESULTS, seal(record | provenance(), indent=2) + "\n")

    def show(self, console: Console) -> None:
        """For a person."""
        rows = [row | _texts(row, self.yardstick.is_quick) for row in self.figures()]
        print_table(rows, _COLUMNS, console, unknown="not measured yet", is_data=False)
        print_text(RULES[self.yardstick.has_seeds], console)
        from analysis.measures.importance_weighted import few  # with torch, which what is typed does not wait for

        effective = [samples for each in self.trainings if (samples := each["values"].get("effective_samples"))]
        if any(map(few, effective)):
            carried = f"{min(effective):.1f} samples carry a bound on log p(x), in the median over images"
            print_text(f"{carried}: -log p(x) may lie far below ours", console)
        if self.yardstick.departures:
            print_text(f"where ours is another: {self.yardstick.departures}", console)
        if self.yardstick.is_quick:
            print_text("a quick version: its numbers are no figures", console)


def _texts(row: Mapping[str, Any], is_quick: bool) -> dict[str, Any]:
    """What a table says of a row."""
    ours = "-" if row["ours"] is None else _number(row, row["ours"])
    if row["low"] is not None:
        ours += f" [{_number(row, row['low'])}, {_number(row, row['high'])}]"
    verdict = {True: "met", False: "missed", None: "" if row["is_target"] else "beside"}[row["met"]]
    return {
        "ours_text": ours,
        "published_text": published(row),
        "verdict": "no figure" if is_quick else verdict,
        "trainings": f"{row['trainings']} of {row['planned']}",
    }


def published(row: Mapping[str, Any]) -> str:
    """What was published: "84.45 ± 0.12", "3.83 to 3.78", "0 (within 0.01)"."""
    text = _number(row, row["published"])
    text += f" ± {row['error']:.2f}" if row["error"] else ""
    text += f" to {_number(row, row['published_to'])}" if row["published_to"] is not None else ""
    return text + (f" (within {row['tolerance']:g})" if row["tolerance"] else "")


def _number(row: Mapping[str, Any], value: float) -> str:
    digits = 2 if row["unit"].startswith("nats") else 3 if row["unit"].startswith("bits") else 4
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def overview(yardsticks: Iterable[Yardstick]) -> list[dict[str, Any]]:
    """A row for each figure that there is, for who asks which."""
    return [
        {"name": each.name, "study": variant.study.name, "title": figure.title, "unit": figure.unit}
        | {"published": published(vars(figure)), "source": figure.source}
        for each in yardsticks
        for variant in each.variants
        for figure in variant.figures
    ]
