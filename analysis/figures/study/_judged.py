"""What says which of a study's trials is better, as an axis or a colour. N trials."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import JUDGED_BY, JUDGED_SHORT, OKABE_ITO, of_pixels
from analysis.reading.frames import complete_trials
from analysis.reading.study_record import StudyRecord

GOOD_TO_BAD = [OKABE_ITO["blue"], OKABE_ITO["orange"]]  # both ends show on white and on black
GOOD_TO_BAD_MAP = LinearSegmentedColormap.from_list("good_to_bad", GOOD_TO_BAD)
_STEPS = [step * 10**decade for decade in range(12) for step in (1, 3)]  # nats


@dataclass(frozen=True)
class Judged:
    """A column of `analysis.load_trials` of which low is good: `StudyRecord.judged_by`."""

    column: str
    pixels: str = ""  # of which bits are: see `analysis.figures.style.of_pixels`

    @classmethod
    def of(cls, study: StudyRecord) -> "Judged":
        """What says it of a study's trials."""
        return cls(study.judged_by, of_pixels(study.base.model))

    @property
    def is_excess(self) -> bool:
        """Whether it is of two objectives, of which many trials may be the best."""
        return self.column == "excess"

    @property
    def label(self) -> str:
        """Of an axis."""
        return JUDGED_BY[self.column] + self.pixels * (self.column == "val_bits_per_dim")

    @property
    def short(self) -> str:
        """Where there is little room."""
        return JUDGED_SHORT[self.column]

    def told(self, value: float) -> str:
        """A value in words."""
        return f"excess {value:.4g} nats" if self.is_excess else f"{value:.4f} {self.short}"

    def place(self, values: np.ndarray) -> np.ndarray:
        """Where values are drawn: an excess by its inverse hyperbolic sine, as it goes from 0 over orders of magnitude,
        and what is far below a nat is alike."""
        return np.arcsinh(values) if self.is_excess else values

    def ticks(self, low: float, high: float, count: int = 7) -> list[tuple[float, str]]:
        """Places between two places, and their labels."""
        if not self.is_excess:
            return [(tick, f"{tick:.4g}") for tick in MaxNLocator(count).tick_values(low, high) if low <= tick <= high]
        few = np.sinh(high) < 5  # where it is as good as linear
        nice = MaxNLocator(count).tick_values(0, np.sinh(high)) if few else [0, *_STEPS]
        placed = [(float(np.arcsinh(it)), f"{it:g}") for it in nice if low <= np.arcsinh(it) <= high]
        return placed[:: max(1, round(len(placed) / count))]

    def scale(self, axis: Axis, places: np.ndarray) -> None:
        """The labels of an axis that shows these places, (N,), one at least finite."""
        if self.is_excess:
            ticks = self.ticks(float(np.nanmin(places)), float(np.nanmax(places)))
            axis.set_ticks([place for place, _ in ticks], [label for _, label in ticks])

    def chart_scale(self, places: np.ndarray) -> dict[str, Any]:
        """The same of a chart's axis, or of its colour bar."""
        ticks = self.ticks(float(np.nanmin(places)), float(np.nanmax(places))) if self.is_excess else []
        return {"tickvals": [place for place, _ in ticks], "ticktext": [label for _, label in ticks]} if ticks else {}

    def marked(self, trials: pd.DataFrame) -> np.ndarray:
        """(N,) bool: the trials that a figure singles out, those on the front, or the best complete one."""
        if self.is_excess:
            return trials["front"].to_numpy(bool)
        complete = complete_trials(trials)[self.column]
        return np.asarray(trials.index == (complete.idxmin() if len(complete) else None))

    def mark(self, numbers: np.ndarray) -> str:
        """What those of these numbers are called in a legend."""
        return "on the front" if self.is_excess else f"best: trial {numbers[0]}"
