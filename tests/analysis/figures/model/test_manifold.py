"""The decoder over the prior's quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from support.model_cases import codes_of, echo, posteriors

from analysis.figures.model.manifold import compute_manifold

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_manifold_lies_on_the_quantiles_of_the_prior() -> None:
    mean, logvar = posteriors()
    manifold = compute_manifold(echo(5), mean, logvar)
    assert manifold.latents.tolist() == [1, 2]
    np.testing.assert_allclose(norm.cdf(manifold.values), (np.arange(21) + 0.5) / 21)
    codes = codes_of(manifold.images, 5)
    np.testing.assert_allclose(codes[:, :, 1], np.tile(manifold.values, (21, 1)), atol=1e-5)
    np.testing.assert_allclose(codes[:, :, 2], np.tile(manifold.values[::-1, None], 21), atol=1e-5)
    np.testing.assert_allclose(codes[:, :, [0, 3, 4]], 0, atol=1e-5)
    single = compute_manifold(echo(1), mean[:, :1], logvar[:, :1])
    assert single.images.shape == (1, 21, 1, 8, 8)
    np.testing.assert_allclose(codes_of(single.images, 1)[0, :, 0], single.values, atol=1e-5)
