"""Figures of two objectives judge by the excess, in the static and the interactive version."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.analysis_fixture import BASE, build_study
from support.front_study import Ran, at, front_study, searched

from analysis.figures.files import draw_study, study_charts
from analysis.figures.plotly_style import to_json
from analysis.figures.registry import StudyContext, study_figures
from analysis.figures.study import contour, history, learning_curves, parallel
from analysis.figures.study._judged import Judged
from analysis.reading.study_record import read_study

EXCESS, BITS = Judged("excess"), Judged("val_bits_per_dim")


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> StudyContext:
    return StudyContext(read_study(searched(tmp_path_factory.mktemp("forty") / "study", 40)))


def test_an_excess_is_placed_by_a_scale_that_has_0_and_orders_of_magnitude() -> None:
    values = np.array([0.0, 0.01, 1.0, 10.0, 1000.0])
    np.testing.assert_allclose(np.sinh(EXCESS.place(values)), values)
    np.testing.assert_array_equal(BITS.place(values), values)
    for high, labels in ((1000.0, ["0", "1", "3", "10", "30", "100", "300", "1000"]), (0.0, ["0"])):
        found = EXCESS.ticks(0.0, float(np.arcsinh(high)))
        assert [label for _, label in found] == labels
        np.testing.assert_allclose(np.sinh([place for place, _ in found]), [float(label) for label in labels])
    small = EXCESS.ticks(0.0, float(np.arcsinh(0.05)))
    assert len(small) > 2  # where all trials are alike, there are labels too
    assert all(float(label) == pytest.approx(np.sinh(place)) for place, label in small)
    assert BITS.ticks(2.4, 2.6)[0] == (pytest.approx(2.4), "2.4")


@pytest.mark.parametrize("objective", ["bits_per_dim", "rate_distortion"])
def test_bits_of_binary_pixels_are_said_to_be_such(objective: str, tmp_path: Path) -> None:
    base = BASE.replace({"model.likelihood": "bernoulli", "model.binarise": "fixed"})
    study = read_study(build_study(tmp_path / "study", base=base, objective=objective))
    assert Judged.of(study).label.endswith(" of binary pixels") is (objective == "bits_per_dim")
    assert study_figures()["bits_by_beta"].compute(StudyContext(study)).label.endswith("dimension of binary pixels")


def test_the_history_rings_the_front(forty: StudyContext) -> None:
    found = forty.of(history.FIGURE)
    np.testing.assert_array_equal(found.value, forty.trials["excess"])
    np.testing.assert_array_equal(found.marked, forty.trials["front"])
    assert np.isnan(found.best).all()  # an excess is measured from the end
    axes = history.draw_history(found).axes[0]
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["complete", "pruned", "on the front"]
    traces = {trace.name: trace for trace in history.history_chart(found).data}
    assert list(traces) == labels
    front = forty.trials[forty.trials["front"]]
    assert list(traces["on the front"].x) == front["number"].tolist()
    np.testing.assert_allclose(np.sinh(traces["on the front"].y), front["excess"])


def test_curves_of_excess_end_where_the_trials_do(forty: StudyContext) -> None:
    """The best epoch of each is at its excess, and no epoch is below the lowest of the study at its KL weight."""
    found = forty.of(learning_curves.FIGURE)
    trials = forty.trials.set_index("number").loc[found.numbers]
    np.testing.assert_allclose([values.min() for values in found.values], trials["excess"], atol=1e-9)
    assert found.numbers[found.marked].tolist() == trials.index[trials["front"]].tolist()
    last = learning_curves.learning_curves_chart(found).data[-1]
    assert last.name == "on the front"
    assert len(last.x) == found.marked.sum()


def test_an_excess_by_epoch_by_hand(tmp_path: Path) -> None:
    """At a KL weight of 2 the lowest price is 10 + 2 * 5; the other's epochs cost 30 + 2 * 5 and 12 + 2 * 6."""
    ran = [Ran(at(2.0), [(5.0, 10.0)] * 3), Ran(at(2.0), [(5.0, 30.0), (6.0, 12.0)], "RUNNING")]
    found = StudyContext(read_study(front_study(tmp_path / "study", ran))).of(learning_curves.FIGURE)
    assert [values.tolist() for values in found.values] == [[0, 0, 0], [20, 4]]


def test_lines_end_at_their_excess_and_the_front_is_outlined(forty: StudyContext) -> None:
    found = forty.of(parallel.FIGURE)
    known = forty.trials[forty.trials["state"].isin(["COMPLETE", "PRUNED"])]
    np.testing.assert_allclose(np.sinh(found.values), known["excess"])
    np.testing.assert_array_equal(found.marked, known["front"])
    assert found.axes[-1].title == "excess\n(nats)"
    (words, *_) = (text.get_text() for text in parallel.draw_parallel(found).axes[0].get_legend().get_texts())
    assert words == "on the front"


def test_a_contour_of_few_values_has_a_strip_for_each_and_nothing_between(forty: StudyContext) -> None:
    found = forty.of(contour.FIGURE)
    np.testing.assert_allclose(found.values, forty.trials.loc[forty.trials["state"] == "COMPLETE", "excess"])
    smooth = [panel for panel in found.panels if panel.is_smooth]
    assert [{panel.x.name, panel.y.name} for panel in smooth] == [{"beta", "latent_dim"}]
    for panel in found.panels:
        edges_x, edges_y, fit = panel.strips
        assert fit.shape == (len(edges_y) - 1, len(edges_x) - 1)
        if "depth" in (panel.x.name, panel.y.name):
            grid, edges = (panel.grid_x, edges_x) if panel.x.name == "depth" else (panel.grid_y, edges_y)
            assert grid.tolist() == [0, 1]
            np.testing.assert_allclose(edges, [-0.1, 0.1, 0.9, 1.1])
            between = fit[:, 1] if panel.x.name == "depth" else fit[1]
            assert np.isnan(between).all()
            assert np.isfinite(fit).sum() == 2 * max(panel.fit.shape)
            assert len(contour.draw_contours(found).axes[0].collections) > 0
    kinds = [trace.type for trace in contour.contour_chart(found).data]
    assert kinds.count("heatmap") == 2
    assert kinds.count("contour") == 1


CASES = {
    "empty": [],
    "one": [Ran(at(1.0), [(5, 800)] * 3)],
    "failed": [Ran(at(1.0), [(5, 800)], "FAIL")] * 3,
    "pruned but one": [Ran(at(1.0), [(5, 800)] * 3), *[Ran(at(2.0), [(5, 900)], "PRUNED")] * 5],
    "running": [Ran(at(1.0), [(5, 800)], "RUNNING")] * 2,
    "one size": [Ran(at(0.1 + 0.4 * k, 8, k % 2), [(20 / (k + 1), 800 + 3 * k + k % 5)] * 3) for k in range(24)],
    "alike": [Ran(at(1.0, 2 + k % 3), [(5, 800)] * 3) for k in range(8)],
    "one weight": [Ran(at(1.0, 2 + k, k % 2), [(5 + k % 4, 800 - k)] * 3) for k in range(12)],
}


@pytest.mark.heavy
@pytest.mark.usefixtures("pixels_alone")
@pytest.mark.parametrize("case", CASES)
def test_every_study_of_two_objectives_has_every_figure_and_its_charts(case: str, tmp_path: Path) -> None:
    study = StudyContext(read_study(front_study(tmp_path / "study", CASES[case])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = draw_study(study, tmp_path)
    assert list(paths) == [
        name for name, each in study_figures().items() if name != "across_beta" and each.possible(study)
    ]  # without images
    for name, path in paths.items():
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"
    for chart in study_charts(study, study_figures()).values():
        assert "NaN" not in to_json(chart)
