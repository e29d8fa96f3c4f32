"""Labels on a map of the latent space."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures.model._scatter import apart, legend, scatter

pytestmark = pytest.mark.usefixtures("one_thread")


def test_labels_of_classes_that_coincide_are_moved_apart() -> None:
    places = apart(np.full((5, 2), 0.5))
    assert np.diff(np.sort(places[:, 1])).min() > 0.03
    alone = np.array([[0.1, 0.1], [0.9, 0.1]])
    np.testing.assert_array_equal(apart(alone), alone)


@pytest.mark.parametrize(("classes", "named"), [(("photos",), []), (("a", "b"), ["a", "b"])])
def test_a_set_of_one_class_has_no_names(classes: tuple[str, ...], named: list[str]) -> None:
    axes = Figure().subplots()
    scatter(axes, np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % len(classes), classes)
    legend(axes, classes)
    assert [text.get_text() for text in axes.texts] == named
    assert (axes.get_legend() is not None) == bool(named)
