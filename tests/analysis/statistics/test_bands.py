"""Bands of KL weights, and ranks within them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.bands import bands, ranks_within


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (1, [1]), (9, [9]), (10, [5, 5]), (16, [6, 5, 5]), (20, [5] * 4), (99, [25, 25, 25, 24])],
)
def test_as_many_bands_as_hold_five_trials_each_and_at_most_four(count: int, sizes: list[int]) -> None:
    beta = np.random.default_rng(0).permutation(np.geomspace(0.1, 10, count))
    band = bands(beta)
    assert np.bincount(band).tolist() == sizes
    order = np.argsort(beta)
    assert (np.diff(band[order]) >= 0).all()  # neighbours are together


def test_trials_of_one_weight_are_never_parted() -> None:
    assert set(bands(np.full(40, 0.5))) == {0}
    assert bands(np.repeat([0.0, 4.0, 1.0], [5, 20, 5])).tolist() == [0] * 5 + [2] * 20 + [1] * 5
    weights = np.repeat(np.arange(1.0, 7.0), [2, 9, 2, 9, 2, 9])
    assert all(len(set(bands(weights)[weights == each])) == 1 for each in weights)
    assert bands(np.repeat([1.0, 2.0], [16, 4])).max() == 0  # the second would hold 4


def test_ranks_are_within_bands_and_ties_share_theirs() -> None:
    band = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2])
    values = np.array([30.0, 10.0, 20.0, 5.0, 0.0, 0.0, 0.0, 7.0, 9.0])
    np.testing.assert_allclose(ranks_within(band, values), [1, 0, 0.5, 0.75, 0.25, 0.25, 0.25, 1, 0.5])
    assert len(ranks_within(np.zeros(0, int), np.zeros(0))) == 0
