"""What is held out, and limits."""

import numpy as np
import pytest

from trainables.data.splits import holdout, limit
from trainables.errors import UserError


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.9])
def test_holdout_parts_the_images_and_keeps_the_shares_of_the_classes(seed, fraction):
    labels = np.random.default_rng(seed).choice(10, 1000, p=np.arange(1, 11) / 55)
    train, validation = holdout(labels, fraction, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(1000))
    assert len(validation) == round(1000 * fraction)
    held_out = np.bincount(labels[validation], minlength=10)
    assert (np.abs(held_out - fraction * np.bincount(labels, minlength=10)) < 1).all()
    for part, again in zip((train, validation), holdout(labels, fraction, seed), strict=True):
        np.testing.assert_array_equal(part, again)
        np.testing.assert_array_equal(part, np.sort(part))


@pytest.mark.parametrize("labels", [[0, 1], [0, 0], [0, 0, 0, 0, 1], [0, 1, 2, 3, 4, 5], [3] * 7])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_holdout_of_few_images_leaves_no_side_empty(labels, fraction):
    train, validation = holdout(labels, fraction)
    assert len(train) >= 1
    assert len(validation) >= 1
    assert sorted([*train, *validation]) == list(range(len(labels)))


@pytest.mark.parametrize(
    ("labels", "fraction", "value"),
    [([], 0.1, "0"), ([1], 0.1, "1"), ([0, 1], 0.0, "0.0"), ([0, 1], 1, "1"), ([0, 1], float("nan"), "nan")],
)
def test_holdout_refuses_what_it_cannot_part(labels, fraction, value):
    with pytest.raises(UserError, match=f"got {value}$"):
        holdout(labels, fraction)


def test_limit_is_a_fixed_sorted_subset_and_smaller_limits_lie_in_larger_ones():
    indices = np.arange(100, 200, 2)
    small, large = limit(indices, 5, seed=1), limit(indices, 20, seed=1)
    assert set(small) < set(large) < set(indices)
    np.testing.assert_array_equal(large, np.sort(large))
    np.testing.assert_array_equal(limit(indices, 20, seed=1), large)
    assert set(limit(indices, 20, seed=2)) != set(large)
    for everything in (None, 50, 1000):
        np.testing.assert_array_equal(limit(indices, everything), indices)
    with pytest.raises(UserError, match="at least 1, got 0"):
        limit(indices, 0)
