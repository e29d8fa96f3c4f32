"""Parallel coordinates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.analysis_fixture import SIX, build_study

from analysis import load_trials
from analysis.figures.study._judged import Judged
from analysis.figures.study.parallel import compute_parallel, parallel_chart
from analysis.figures.style import OKABE_ITO
from analysis.reading.study_record import read_study

pytestmark = pytest.mark.usefixtures("one_thread")


def test_lines_meet_the_axes_at_their_values(six: Path) -> None:
    trials, study = load_trials(six), read_study(six)
    parallel = compute_parallel(trials, study.searched, Judged("val_bits_per_dim"))
    assert parallel.numbers.tolist() == [0, 1, 2, 4]
    assert parallel.positions[0, :3] == pytest.approx([0.5, 0.5, 0.0])
    assert parallel.positions[:, -1] == pytest.approx((parallel.values - 2.4) / 1.1)


def test_the_chart_has_the_lines_and_the_colours_of_the_figure(six: Path) -> None:
    """Trials 0, 1 and 4 are complete, with 2.5, 2.65 and 2.4 bits, and 2 was pruned."""
    parallel = compute_parallel(load_trials(six), read_study(six).searched, Judged("val_bits_per_dim"))
    chart = parallel_chart(parallel)
    assert chart is not None
    (lines,) = chart.data
    low, high, scale = lines.line.cmin, lines.line.cmax, [color for _, color in lines.line.colorscale]
    assert low < 0 < 1 < high
    assert lines.line.color.tolist() == pytest.approx([0.6, 0, -0.2, 1.2])
    assert (scale[0], scale[-1]) == ("#cccccc", OKABE_ITO["vermillion"])
    assert lines.dimensions[-1]["values"].tolist() == parallel.positions[:, -1].tolist()
    assert {"pruned", "best: trial 4"} <= set(lines.line.colorbar.ticktext)


def test_of_complete_trials_alone_the_chart_has_no_other_colours(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", [SIX[0], SIX[1]])
    parallel = compute_parallel(load_trials(folder), read_study(folder).searched, Judged("val_bits_per_dim"))
    unmarked = parallel_chart(replace(parallel, marked=np.zeros(2, dtype=bool)))
    assert unmarked is not None
    assert (unmarked.data[0].line.cmin, unmarked.data[0].line.cmax) == (0, 1)
    assert [place for place, _ in unmarked.data[0].line.colorscale] == [0, 1]
    assert parallel_chart(compute_parallel(load_trials(folder)[:1], {}, Judged("val_bits_per_dim"))) is None
