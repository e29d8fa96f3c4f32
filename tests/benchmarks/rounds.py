"""Measuring in turns, so that a machine that slows down slows all of them down."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """One thing measured beside another in the same rounds, each (R,) in the same unit."""

    section: str
    what: str
    unit: str
    values: list[float]
    against: str
    others: list[float]

    @property
    def ratios(self) -> list[float]:
        return [value / other for value, other in zip(self.values, self.others, strict=True)]

    def row(self) -> list[str]:
        value, other, ratio = (statistics.median(v) for v in (self.values, self.others, self.ratios))
        spread = f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"
        return [
            self.section,
            self.what,
            f"{value:,.4g} {self.unit}",
            self.against,
            f"{other:,.4g} {self.unit}",
            f"{ratio:.2f}",
            spread,
        ]

    def record(self) -> dict[str, Any]:
        return vars(self) | {"ratios": self.ratios}


COLUMNS = ["benchmark", "ours", "median", "against", "median", "ratio", "its range"]


def alternate(turns: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """``rounds`` of all turns, in order one way and then the other: name -> its values, (R,)."""
    values: dict[str, list[float]] = {name: [] for name in turns}
    for k in range(rounds):
        for name in list(turns)[:: 1 if k % 2 == 0 else -1]:
            values[name].append(turns[name]())
    return values
