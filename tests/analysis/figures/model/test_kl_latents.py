"""The rate's share of each latent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.model_cases import posteriors

from analysis.figures.model.kl_latents import compute_kl_latents
from vae_models.priors import Posterior, kl_per_latent

pytestmark = pytest.mark.usefixtures("one_thread")


def test_kl_per_latent_is_sorted_and_sums_to_the_rate() -> None:
    mean, logvar = posteriors()
    spread = compute_kl_latents(mean, logvar)
    assert spread.latents.tolist() == [2, 1, 4, 0, 3]
    posterior = Posterior(torch.from_numpy(mean), torch.from_numpy(logvar.copy()))
    total = kl_per_latent(posterior).sum(1).mean().item()
    assert spread.kl.sum() == pytest.approx(total, rel=1e-5)
    np.testing.assert_allclose(spread.mean_variance, mean.var(0)[spread.latents], rtol=1e-4)
    assert spread.active.tolist() == [True, True, True, True, False]
