"""What a weights file holds: a whole model of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainables.errors import UserError
from trainables.records.trial_folder import BEST
from trainables.training.checkpoint import load_weights, save_weights
from vae_models import VAE, ModelConfig
from vae_models.elbo import loss
from vae_models.likelihoods import LIKELIHOODS


@pytest.mark.parametrize("prior", ["standard_normal", "vamp"])
@pytest.mark.parametrize("architecture", ["convolutional", "mlp", "linear"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_model_is_read_as_it_was_written(likelihood: str, architecture: str, prior: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    written = VAE(
        ModelConfig(
            likelihood=likelihood,
            binarise="threshold" if likelihood == "bernoulli" else "none",
            architecture=architecture,
            prior=prior,
            image_shape=(3, 8, 8),
            latent_dim=3,
        )
    ).eval()
    save_weights(tmp_path / BEST, written.config, written.state_dict(), {"epoch": 1})
    read, metrics = load_weights(tmp_path / BEST)
    assert metrics == {"epoch": 1}
    assert read.config == written.config
    x, noise = torch.randint(0, 2, (4, 3, 8, 8)).float(), torch.randn(4, 3)
    with torch.no_grad():
        ours, theirs = (loss(model(x, noise), noise, x, model.likelihood, 1.0) for model in (written, read.to("cpu")))
    assert torch.equal(ours.total, theirs.total)
    assert torch.equal(written.sample(2, seed=1), read.sample(2, seed=1))


def test_weights_that_do_not_fit_their_config_are_of_another_version_and_not_called_torn(tmp_path: Path) -> None:
    config = ModelConfig(width=4, multi_rate=True)
    weights = VAE(config).state_dict()
    weights["conditioning.hidden.bias"] = torch.zeros(8)  # as a network of more units had it
    save_weights(tmp_path / BEST, config, weights, {"epoch": 1})
    with pytest.raises(UserError, match=r"has other weights than its config says: another version .*\nread it with"):
        load_weights(tmp_path / BEST)
