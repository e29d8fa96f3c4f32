"""Which parameters mattered, by `analysis.statistics.importance`."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import FADED, INK, OKABE_ITO, TITLES, draw_note, plain, styled
from analysis.statistics.importance import Importance

REMAINDER = "interactions and unexplained"
SHARE_LABEL = "share of the variance of bits per dimension that each explains alone (%)"


@styled
def draw_importance(importance: Importance) -> Figure:
    """A bar a parameter, a line over its interval, and a grey bar of what is left."""
    if importance.note:
        return draw_note(importance.note)
    names = [plain(TITLES.get(name, name)) for name in importance.names] + ["interactions\nand unexplained"]
    figure = Figure(figsize=(10, 1.8 + 0.8 * len(names)))
    axes = figure.subplots()
    rows = np.arange(len(names))[:0:-1]
    shares = importance.shares * 100
    axes.barh(rows, shares, color=OKABE_ITO["blue"], height=0.6)
    ends = shares
    if importance.intervals is not None:
        low, ends = (np.array([getattr(found, end) for found in importance.intervals]) * 100 for end in ("low", "high"))
        axes.errorbar(
            shares,
            rows,
            xerr=[shares - low, ends - shares],
            fmt="none",
            ecolor=INK,
            capsize=6,
            elinewidth=2,
            capthick=2,
        )
    for row, share, end in zip(rows, shares, ends, strict=True):
        axes.annotate(f"{share:.0f} %", (end, row), xytext=(9, 0), textcoords="offset points", va="center")
    rest = importance.remainder * 100
    axes.barh(0, rest, color=FADED, height=0.6)
    axes.annotate(f"{rest:.0f} %", (rest, 0), xytext=(9, 0), textcoords="offset points", va="center")
    axes.set_yticks([*rows, 0], names)
    axes.set_xlim(0, 110)
    told = "" if importance.intervals is None else "; lines: 95 % of resampled trials"
    axes.set_xlabel(f"{SHARE_LABEL}\n{importance.trials} complete trials{told}")
    return figure
