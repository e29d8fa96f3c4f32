from __future__ import annotations

import numpy as np
import pytest
import torch
from support.analysis_fixture import BASE

from analysis.measures.codes import encode, latent_rates
from trainables.training.loop import seeded_vae
from vae_models.priors import kl_per_latent


def test_rates_of_latents_sum_to_the_rate() -> None:
    model = seeded_vae(BASE).eval()
    images = np.random.default_rng(0).integers(0, 256, (130, 1, 28, 28), dtype=np.uint8)
    mean, logvar = encode(model, images)
    with torch.no_grad():
        posterior = model.encode(torch.from_numpy(images).float() / 255)
    assert latent_rates(mean, logvar).sum() == pytest.approx(kl_per_latent(posterior).sum(1).mean().item(), rel=1e-4)
