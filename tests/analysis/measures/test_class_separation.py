"""Votes of neighbours and silhouettes against their definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.measures.class_separation import knn_accuracy, probe_accuracy, silhouette


def test_neighbours_vote_and_silhouettes_are_as_written() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.standard_normal((80, 3)), rng.standard_normal((60, 3))
    labels = (train[:, 0] + rng.standard_normal(80) > 0).astype(int)
    asked = (test[:, 0] > 0).astype(int)
    nearest = np.argsort(((test[:, None] - train) ** 2).sum(2), axis=1)[:, :5]
    votes = (labels[nearest].sum(1) > 2.5).astype(int)
    assert knn_accuracy(train, labels, test, asked) == pytest.approx((votes == asked).mean())

    apart = np.sqrt(((test[:, None] - test) ** 2).sum(2))
    scores = []
    for k, label in enumerate(asked):
        own = apart[k, (asked == label) & (np.arange(60) != k)].mean()
        other = apart[k, asked != label].mean()
        scores.append((other - own) / max(own, other))
    assert silhouette(test, asked) == pytest.approx(np.mean(scores))

    far = np.repeat([0.0, 1e3], 20)[:, None] + rng.standard_normal((40, 2))
    two = np.repeat([0, 1], 20)
    assert knn_accuracy(far, two, far, two) == probe_accuracy(far, two, far, two) == 1
    assert silhouette(far, two) > 0.99


def test_classes_that_cannot_be_told_have_no_accuracy() -> None:
    codes, same = np.random.default_rng(0).standard_normal((9, 2)), np.zeros(9, dtype=int)
    for accuracy in (probe_accuracy, knn_accuracy):
        assert math.isnan(accuracy(codes, same, codes, same))
    assert math.isnan(silhouette(codes, same))
    assert math.isnan(silhouette(codes, np.arange(9)))
    assert math.isnan(knn_accuracy(codes[:4], np.arange(4) % 2, codes, same))
