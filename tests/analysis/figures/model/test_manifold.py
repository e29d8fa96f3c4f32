"""The decoder over the prior's quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from support.model_cases import codes_of, echo, posteriors

from analysis.figures.model.manifold import compute_manifold
from analysis.figures.registry import ModelContext
from analysis.measures.codes import Codes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_manifold_lies_on_the_quantiles_of_the_prior() -> None:
    codes = Codes(*posteriors())
    manifold = compute_manifold(ModelContext(echo(5), None, codes))
    assert manifold.latents.tolist() == [1, 2]
    np.testing.assert_allclose(norm.cdf(manifold.values), (np.arange(21) + 0.5) / 21)
    decoded = codes_of(manifold.images, 5)
    np.testing.assert_allclose(decoded[:, :, 1], np.tile(manifold.values, (21, 1)), atol=1e-5)
    np.testing.assert_allclose(decoded[:, :, 2], np.tile(manifold.values[::-1, None], 21), atol=1e-5)
    np.testing.assert_allclose(decoded[:, :, [0, 3, 4]], 0, atol=1e-5)
    first = Codes(*(part[:, :1] for part in codes))
    single = compute_manifold(ModelContext(echo(1), None, first))
    assert single.images.shape == (1, 21, 1, 8, 8)
    np.testing.assert_allclose(codes_of(single.images, 1)[0, :, 0], single.values, atol=1e-5)
