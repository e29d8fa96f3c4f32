"""Labels on a map of the latent space."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.figures.model._scatter import apart

pytestmark = pytest.mark.usefixtures("one_thread")


def test_labels_of_classes_that_coincide_are_moved_apart() -> None:
    places = apart(np.full((5, 2), 0.5))
    assert np.diff(np.sort(places[:, 1])).min() > 0.03
    alone = np.array([[0.1, 0.1], [0.9, 0.1]])
    np.testing.assert_array_equal(apart(alone), alone)
