"""What each part of an ELBO loses, against a linear model whose best posteriors and likelihood are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.model_cases import subject
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from analysis.measures.inference_gap import INFERENCE, gaps
from analysis.measures.test_metrics import tables
from trainables.config import TrialConfig
from trainables.training.loop import seeded_vae
from vae_models import ModelConfig
from vae_models.likelihoods import likelihood_of
from vae_models.priors import Posterior, StandardNormal

SIGMA, COUNT = 0.05, 60


class LinearVAE(nn.Module):
    """x = W z + 1/2 + noise of SIGMA: 2 x 3 pixels, 2 latents. Its encoder says the best posterior of independent
    latents, its mean moved by ``shift`` standard deviations, its variance so many times as large."""

    def __init__(self, shift: float = 0.0, widened: float = 1.0) -> None:
        super().__init__()
        self.config = ModelConfig(image_shape=(1, 2, 3), architecture="linear", latent_dim=2)
        generator = torch.Generator().manual_seed(3)
        # columns that are alike, so that the latents of a true posterior are not independent
        self.weight = nn.Parameter(0.05 + 0.03 * torch.randn(6, 2, generator=generator))
        self.decoder = self.decoded
        self.likelihood = likelihood_of(self.config)
        self._shift, self._widened = shift, widened

    def prior(self) -> StandardNormal:
        return StandardNormal(2)

    @property
    def precision(self) -> Tensor:
        return torch.eye(2) + self.weight.detach().T @ self.weight.detach() / SIGMA**2

    def encode(self, x: Tensor) -> Posterior:
        mean = (x.flatten(1) - 0.5) @ self.weight.detach() @ torch.linalg.inv(self.precision) / SIGMA**2
        variance = (1 / torch.diagonal(self.precision)).expand(mean.shape)
        return Posterior(mean + self._shift * variance.sqrt(), (self._widened * variance).log())

    def decoded(self, z: Tensor) -> Tensor:
        return 2 * (z @ self.weight.T).view(-1, 1, 2, 3)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rng, weight = np.random.default_rng(0), LinearVAE().weight.detach().numpy()
    x = rng.standard_normal((COUNT, 2)) @ weight.T + 0.5 + SIGMA * rng.standard_normal((COUNT, 6))
    assert 0.05 < x.min() < x.max() < 0.95  # a level is a bin of one width
    return (x * 255).round().astype(np.uint8).reshape(COUNT, 1, 2, 3)


def truth(images: np.ndarray) -> tuple[np.ndarray, float]:
    """-log P(x) of each image, and the KL of the best posterior of independent latents from the true one: the mean
    field has its mean, and the inverse of its precision's diagonal as variances."""
    model = LinearVAE()
    weight, x = model.weight.detach().double(), torch.from_numpy(images).double().flatten(1) / 255
    covariance = weight @ weight.T + SIGMA**2 * torch.eye(6)
    log_p = MultivariateNormal(torch.full((6,), 0.5).double(), covariance).log_prob(x) - 6 * math.log(255)
    exact = MultivariateNormal(torch.zeros(2), precision_matrix=model.precision)
    mean_field = MultivariateNormal(torch.zeros(2), torch.diag(1 / torch.diagonal(model.precision)))
    return -log_p.numpy(), float(kl_divergence(mean_field, exact))


def test_an_encoder_that_says_the_best_posterior_loses_nothing(pixels: np.ndarray) -> None:
    found, (decoder, family) = gaps(LinearVAE(), pixels, SIGMA), truth(pixels)  # type: ignore[arg-type]
    assert 0.05 < family < 2  # of correlated latents, so that there is something to find
    assert abs(found.encoder.mean()) < 0.05
    assert found.family.mean() == pytest.approx(family, abs=0.08)
    assert found.decoder.mean() == pytest.approx(decoder.mean(), abs=0.08)
    assert np.corrcoef(found.decoder, decoder)[0, 1] > 0.95  # of each image by few samples


@pytest.mark.parametrize(("shift", "widened"), [(2.0, 1.0), (0.0, 6.0), (-1.5, 0.1)])
def test_what_a_broken_encoder_loses_is_its_part_alone(
    pixels: np.ndarray, shift: float, widened: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.measures.inference_gap._TO_MEASURE", 2000)
    broken, (decoder, family) = LinearVAE(shift, widened), truth(pixels)
    found = gaps(broken, pixels, SIGMA)  # type: ignore[arg-type]
    exact = MultivariateNormal(torch.zeros(2), precision_matrix=broken.precision)
    variance = 1 / torch.diagonal(broken.precision)
    own = MultivariateNormal(shift * variance.sqrt(), torch.diag(widened * variance))
    lost = float(kl_divergence(own, exact)) - family
    assert found.encoder.mean() == pytest.approx(lost, rel=0.05, abs=0.05)
    assert found.family.mean() == pytest.approx(family, abs=0.1)
    assert found.decoder.mean() == pytest.approx(decoder.mean(), abs=0.1)


def test_the_three_parts_are_minus_the_elbo_and_are_shown(pixels: np.ndarray) -> None:
    model = LinearVAE(1.0)
    found = INFERENCE.measure(subject(model, pixels, sigma=SIGMA, codes=None))
    parts = [found[name] for name in ("amortisation_gap", "approximation_gap", "decoder_part")]
    assert found["lost_nats"] == pytest.approx(sum(parts))
    assert found["gap_images"] == COUNT
    shown = dict(row[:2] for row in tables(found)[INFERENCE.title])
    assert shown["the encoder's part"].endswith(f"± {found['amortisation_gap_error']:.2f}")
    few = tables(found | {"gap_effective_samples": 2.0})[INFERENCE.title]
    assert [value[0] for _, value, _ in few[2:]] == ["≥", "≤"]


@pytest.mark.parametrize(
    "fields",
    [
        {"likelihood": "beta_binomial"},
        {"likelihood": "bernoulli", "binarise": "threshold", "prior": "vamp", "pseudo_inputs": 5},
        {"likelihood": "laplace"},
    ],
    ids=lambda fields: fields["likelihood"],
)
def test_an_untrained_encoder_loses_something_under_every_likelihood(fields: dict) -> None:
    """And the model is left as it was."""
    config = ModelConfig(architecture="mlp", widths=(16,), image_shape=(1, 8, 8), latent_dim=3, **fields)
    model = seeded_vae(TrialConfig(model=config)).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 2, (20, 1, 8, 8), dtype=np.uint8) * np.uint8(255)
    found = gaps(model, images, 0.3)
    assert found.encoder.mean() > 0.05
    assert (found.family >= 0).all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    again = gaps(model, images, 0.3)
    assert np.array_equal(found.encoder, again.encoder)


def test_a_single_image_has_no_error() -> None:
    config = ModelConfig(architecture="mlp", widths=(16,), image_shape=(1, 8, 8), latent_dim=3)
    model = seeded_vae(TrialConfig(model=config)).eval()
    found = INFERENCE.measure(subject(model, np.full((1, 1, 8, 8), 90, np.uint8)))
    assert math.isnan(found["amortisation_gap_error"])
    assert math.isfinite(found["lost_nats"])
