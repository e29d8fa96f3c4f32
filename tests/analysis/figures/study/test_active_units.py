"""Active units by the KL weight."""

from __future__ import annotations

import numpy as np

from analysis.figures.study._by_beta import ByBeta
from analysis.figures.study.active_units import active_units_chart, draw_active_units


def test_collapse_is_counted_and_marked() -> None:
    none, some = np.array([0, 3]), np.array([8, 4])
    by_beta = ByBeta(np.arange(2), np.array([9.0, 1.0]), some, np.zeros(2, dtype=int), np.array([3.0, 2.0]), none)
    assert by_beta.collapsed.tolist() == [True, False]
    assert by_beta.share.tolist() == [0, 0.75]
    axes = draw_active_units(by_beta).axes[0]
    crosses = [line for line in axes.lines if str(line.get_label()).startswith("collapsed: 1 of 2")]
    assert [list(line.get_xdata()) for line in crosses] == [[9.0]]  # type: ignore[arg-type]
    crossed = [trace for trace in active_units_chart(by_beta).data if trace.name == "collapsed"]
    assert [list(trace.x) for trace in crossed] == [[9.0], [9.0]]
