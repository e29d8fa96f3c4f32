"""Class means against those of the codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from support.model_cases import codes_of, echo, posteriors
from support.pictures import looks_drawn

from analysis.figures.files import save_figure
from analysis.figures.model.class_means import ClassMeans, compute_class_means, draw_class_means
from analysis.figures.registry import ModelContext
from analysis.measures.codes import Codes
from trainables.data.datasets import Dataset, Split

pytestmark = pytest.mark.usefixtures("one_thread")


def class_means(mean: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> ClassMeans | str:
    split = Split(np.zeros((len(labels), 1, 8, 8), np.uint8), labels)
    return compute_class_means(ModelContext(echo(5), Dataset("made", split, split, classes), Codes(mean, mean)))


def test_class_means_are_those_of_the_codes() -> None:
    mean, _ = posteriors(300)
    labels = np.array([7, 2, 5] * 100)
    found = class_means(mean, labels, tuple("abcdefgh"))
    assert isinstance(found, ClassMeans)
    expected = np.stack([mean[labels == k].mean(0) for k in (2, 5, 7)])
    assert found.names == ["c", "f", "h"]
    np.testing.assert_allclose(codes_of(found.images, 5), expected, atol=1e-5)
    np.testing.assert_allclose(found.distances, cdist(expected, expected), atol=1e-5)


def test_class_means_of_one_class_and_of_many(tmp_path: Path) -> None:
    mean, _ = posteriors(60)
    one = class_means(mean, np.zeros(60, dtype=int), ("a",))
    assert isinstance(one, str)
    assert "at least 2 classes, and there is 1" in one
    looks_drawn(save_figure(draw_class_means(one), tmp_path / "one.png"))
    many = class_means(mean, np.arange(60) % 30, tuple(f"$n_{k}" * 9 for k in range(30)))
    assert isinstance(many, ClassMeans)
    assert (len(many.names), many.of) == (20, 30)
    looks_drawn(save_figure(draw_class_means(many), tmp_path / "many.png"))
