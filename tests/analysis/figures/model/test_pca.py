"""Principal components against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from support.pictures import looks_drawn

from analysis.figures.files import save_figure
from analysis.figures.model.pca import compute_pca, draw_pca

pytestmark = pytest.mark.usefixtures("one_thread")


def test_pca_agrees_with_scikit_learn() -> None:
    means = np.random.default_rng(0).normal(size=(200, 6)) * [3, 2, 1, 1, 0.5, 0.1]
    oracle = PCA(2).fit(means)
    pca = compute_pca(means, np.zeros(200, dtype=int), ("a",))
    np.testing.assert_allclose(pca.explained, oracle.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(np.abs(pca.coordinates), np.abs(oracle.transform(means)), atol=1e-9)


def test_one_latent_and_a_collapsed_one_are_drawn(tmp_path: Path) -> None:
    labels = np.arange(60) % 3
    for means in (np.random.default_rng(0).normal(size=(60, 1)), np.zeros((60, 4))):
        pca = compute_pca(means, labels, ("a", "$b_", "_c"))
        assert np.isfinite(pca.explained).all()
        looks_drawn(save_figure(draw_pca(pca), tmp_path / "pca.png"), least=400)
