"""The aggregate posterior against the prior."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi, ks_2samp, kstest, norm

from analysis.figures.model.aggregate_posterior import compute_aggregate_posterior
from vae_models.priors import Posterior, StandardNormal, VampPrior

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_aggregate_of_the_prior_is_the_prior() -> None:
    """Where every posterior is N(m, s^2) with m ~ N(0, 1 - s^2), q(z) is N(0, I) and its norm is chi."""
    std = np.array([0.1, 0.5, 0.9, 1.0, 0.3, 0.7, 0.6, 0.4])
    mean = np.sqrt(1 - std**2) * np.random.default_rng(1).standard_normal((5000, 8))
    found = compute_aggregate_posterior(mean, np.broadcast_to(2 * np.log(std), mean.shape))
    shown, active = found.spread.latents[found.shown], found.spread.active
    assert shown.tolist() == [0, 4, 7, 1, 6, 3]  # the most informative, and the collapsed one last
    assert active[found.shown].tolist() == [True] * 5 + [False]
    assert (active.sum(), len(active)) == (7, 8)
    for k in range(6):
        assert kstest(found.samples[:, k], "norm").pvalue > 1e-3
    assert kstest(found.norms, chi(8).cdf).pvalue > 1e-3
    low, high = found.mean_range
    assert (low[5], high[5]) == (0, 0)
    assert high[0] == pytest.approx(norm.ppf(0.95) * math.sqrt(0.99), rel=0.06)
    wide = compute_aggregate_posterior(2 * mean, np.broadcast_to(2 * np.log(std), mean.shape))
    assert kstest(wide.norms, chi(8).cdf).pvalue < 1e-9


def test_the_aggregate_is_compared_with_the_mixture_that_the_prior_is() -> None:
    """Here it is the prior: each image's posterior is a component."""
    rng = np.random.default_rng(2)
    mean, logvar = rng.standard_normal((200, 8)) * 3, -rng.random((200, 8))
    prior = VampPrior(Posterior(torch.from_numpy(mean), torch.from_numpy(logvar)))
    found = compute_aggregate_posterior(np.tile(mean, (5, 1)), np.tile(logvar, (5, 1)), prior=prior)
    assert found.prior is not None
    for k in range(6):
        assert ks_2samp(found.prior.samples[:, k], found.samples[:, k]).pvalue > 1e-3
    assert ks_2samp(found.prior.norms, found.norms).pvalue > 1e-3
    assert compute_aggregate_posterior(mean, logvar, prior=StandardNormal(8)).prior is None
