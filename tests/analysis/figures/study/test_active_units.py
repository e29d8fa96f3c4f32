"""Active units by the KL weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.analysis_fixture import BASE, SIX, Made, build_study
from support.study_cases import CASES, synthetic

from analysis.figures.registry import StudyContext
from analysis.figures.study._by_beta import ByBeta
from analysis.figures.study.active_units import FIGURE, ActiveUnits, active_units_chart, draw_active_units
from analysis.reading.study_record import read_study
from trainables.data.datasets import load_dataset

NOTHING = np.empty(0)


def test_collapse_is_counted_and_marked() -> None:
    none, some = np.array([0, 3]), np.array([8, 4])
    by_beta = ByBeta(np.arange(2), np.array([9.0, 1.0]), some, np.zeros(2, dtype=int), np.array([3.0, 2.0]), none)
    assert by_beta.collapsed.tolist() == [True, False]
    assert by_beta.share.tolist() == [0, 0.75]
    found = ActiveUnits(by_beta, NOTHING, NOTHING)
    axes = draw_active_units(found).axes[0]
    crosses = [line for line in axes.lines if str(line.get_label()).startswith("collapsed: 1 of 2")]
    assert [list(line.get_xdata()) for line in crosses] == [[9.0]]  # type: ignore[arg-type]
    crossed = [trace for trace in active_units_chart(found).data if trace.name == "collapsed"]
    assert [list(trace.x) for trace in crossed] == [[9.0], [9.0]]


def test_the_line_is_how_many_components_are_above_the_weight(tmp_path: Path) -> None:
    """A unit is active where its mean varies by more than 0.01: where 1 - beta / eigenvalue does."""
    data = load_dataset("digits").limited(BASE.limit_train)
    study = StudyContext(read_study(synthetic(tmp_path / "study", 20)), data)
    found = study.of(FIGURE)
    images = data.train.images[data.training_rows()].reshape(BASE.limit_train or 0, -1) / 127.5 - 1
    eigenvalues, size = np.linalg.eigvalsh(np.cov(images.T, bias=True)), int(found.trials.latent_dim.max())
    for at in range(0, len(found.beta), 40):
        assert found.linear[at] == min(size, (1 - found.beta[at] / eigenvalues[eigenvalues > 0.1] > 0.01).sum())
    assert found.beta[[0, -1]].tolist() == [found.trials.beta.min(), found.trials.beta.max()]
    label = f"best linear model (PCA, latent size {size})"
    counts, shares = draw_active_units(found).axes[:2]
    assert label in [line.get_label() for line in counts.lines]
    assert label not in [line.get_label() for line in shares.lines]
    (trace,) = (trace for trace in active_units_chart(found).data if trace.name == label)
    assert trace.xaxis == "x"
    np.testing.assert_array_equal(trace.y, found.linear)


def test_where_there_is_no_line(tmp_path: Path) -> None:
    """Without images, of one KL weight, without a trial; a weight of 0 has none, and does not stop the others'."""
    data = load_dataset("digits")
    laplace = BASE.replace({"model.likelihood": "laplace"})
    one = [Made("COMPLETE", SIX[0].params, [2.5])] * 2
    for name, study, given in (
        ("no images", synthetic(tmp_path / "no images", 8), None),
        ("another likelihood", build_study(tmp_path / "laplace", base=laplace), data),
        ("one weight", build_study(tmp_path / "one", one), data),
        ("none", build_study(tmp_path / "none", []), data),
    ):
        assert not len(StudyContext(read_study(study), given).of(FIGURE).beta), name
    zero = StudyContext(read_study(CASES["beta 0"](tmp_path / "zero")), data).of(FIGURE)
    assert zero.trials.beta.min() == 0
    assert zero.beta.min() > 0
