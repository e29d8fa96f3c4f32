"""Latent traversals by what was decoded."""

from __future__ import annotations

import numpy as np
import pytest
from support.model_cases import codes_of, dataset, echo, posteriors, vae

from analysis.figures.model.traversal import compute_traversal
from analysis.figures.registry import ModelContext
from analysis.measures.codes import Codes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_traversal_moves_one_latent_and_leaves_the_others() -> None:
    mean, logvar = posteriors()
    data = dataset(len(mean), (1, 8, 8))
    traversal = compute_traversal(ModelContext(echo(5), data, Codes(mean, logvar)))
    assert traversal.latents.tolist() == [2, 1, 4, 0, 3]
    assert (np.diff(traversal.kl) < 0).all()
    np.testing.assert_allclose(traversal.positions, np.linspace(-3, 3, 13))
    codes = codes_of(traversal.decoded, 5)
    (row,) = np.flatnonzero((mean[:, traversal.latents] == traversal.own).all(1))
    np.testing.assert_array_equal(traversal.image, data.test.images[row] / np.float32(255))
    assert traversal.name == data.classes[data.test.labels[row]]
    for k, latent in enumerate(traversal.latents):
        np.testing.assert_allclose(codes[k, :, latent], traversal.positions, atol=1e-5)
        others = np.delete(codes[k], latent, axis=1)
        np.testing.assert_allclose(others, np.tile(np.delete(mean[row], latent), (13, 1)), atol=1e-5)


def test_a_traversal_has_at_most_eight_rows() -> None:
    traversal = compute_traversal(ModelContext(vae(20), dataset(10)))
    assert traversal.decoded.shape == (8, 13, 1, 16, 16)
