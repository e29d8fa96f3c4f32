"""One network at many KL weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from analysis.measures.sweep import WEIGHTS, sweep, sweep_weights, views
from analysis.reading.best_runs import ranked_runs
from trainables.data.datasets import load_dataset
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.process_group import ALONE

pytestmark = pytest.mark.usefixtures("one_thread")


@torch.no_grad()
def test_its_numbers_are_those_of_the_plain_network_at_each_weight(networks: Path) -> None:
    images = load_dataset("digits").test.images[:40]
    run = ranked_runs(networks)[0]
    model = run.load_whole()
    found = sweep(model, images)
    assert len(found.beta) == WEIGHTS == 17
    for k in (0, 5, 16):
        view = run.load(float(found.beta[k]))
        told = evaluate(view, Pixels(images), 1.0, ALONE)
        assert found.rate[k] == pytest.approx(told["rate"])
        assert found.distortion[k] == pytest.approx(told["distortion"])
        assert found.active_units[k] == told["active_units"]
        mean, logvar = view.encode(torch.from_numpy(images).float() / 255)
        nats = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0)).mean(0)
        np.testing.assert_allclose(found.latent_rates[k], nats.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.latent_rates.sum(1), found.rate, rtol=1e-5)


def test_its_weights_hold_those_of_an_epoch_and_stay_in_the_range(networks: Path) -> None:
    run = ranked_runs(networks)[0]
    weights = sweep_weights(run.load_whole())
    np.testing.assert_allclose(weights[::2], run.config.betas, rtol=1e-12)
    assert (weights[0], weights[-1]) == run.config.model.beta_range
    assert [beta for beta, _ in views(run.load_whole(), 3)] == pytest.approx([0.1, 1.0, 10.0])
