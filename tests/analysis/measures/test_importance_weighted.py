"""The bound on log p(x) against a linear VAE, whose likelihood is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr
from support.model_cases import subject
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from analysis.measures.codes import PIXELS, Codes
from analysis.measures.importance_weighted import Bound, iwae, likelihood
from trainables.config import TrialConfig
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.loop import seeded_vae
from trainables.training.process_group import World
from vae_models import ModelConfig
from vae_models.likelihoods import likelihood_of
from vae_models.priors import Posterior, StandardNormal

SIGMA = 0.2


class LinearVAE(nn.Module):
    """x = W z + 1/2 + noise of SIGMA: 2 x 2 pixels, 2 latents; ``spread`` widens its posteriors' variance."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.1, 0.0], [0.05, 0.1], [0.0, -0.1], [0.1, 0.1]]))
        self._spread = spread
        self.decoder = self.decoded
        self.likelihood = likelihood_of(ModelConfig(architecture="linear"))

    def encode(self, x: Tensor) -> Posterior:
        weight = self.weight.double()
        precision = torch.eye(2, dtype=torch.float64) + weight.T @ weight / SIGMA**2
        mean = (x.flatten(1).double() - 0.5) @ weight @ torch.linalg.inv(precision) / SIGMA**2
        # the posterior's covariance is not diagonal: its diagonal part is a near miss, as a VAE's is
        variance = self._spread / torch.diagonal(precision)
        return Posterior(mean.float(), variance.log().float().expand(len(x), 2))

    def prior(self) -> StandardNormal:
        return StandardNormal(2)

    def decoded(self, z: Tensor) -> Tensor:
        return 2 * (z @ self.weight.T).view(-1, 1, 2, 2)


def true_log_likelihood(images: np.ndarray, weight: np.ndarray, draws: int = 400_000) -> np.ndarray:
    """log P(x) of the linear model with discretised pixels, by plain Monte Carlo over the prior."""
    z = np.random.default_rng(9).standard_normal((draws, 2))
    mean = z @ weight.T + 0.5
    found = []
    for image in images.reshape(len(images), 4):
        upper = np.where(image == 255, np.inf, ((image + 0.5) / 255 - mean) / SIGMA)
        lower = np.where(image == 0, -np.inf, ((image - 0.5) / 255 - mean) / SIGMA)
        log_p = log_ndtr(upper) + np.log1p(-np.exp(log_ndtr(lower) - log_ndtr(upper)))
        found.append(np.logaddexp.reduce(log_p.sum(1)) - math.log(draws))
    return np.array(found)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((12, 2))
    weight = LinearVAE().weight.detach().numpy()
    x = z @ weight.T + 0.5 + SIGMA * rng.standard_normal((12, 4))
    return (x.clip(0, 1) * 255).round().astype(np.uint8).reshape(12, 1, 2, 2)


@pytest.mark.heavy
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_the_bound_reaches_the_likelihood_of_a_linear_vae(pixels: np.ndarray, spread: float) -> None:
    model = LinearVAE(spread)
    expected = true_log_likelihood(pixels, model.weight.detach().numpy())
    many = iwae(model, pixels, SIGMA, 20_000)  # type: ignore[arg-type]
    np.testing.assert_allclose(many.log_likelihood, expected, atol=0.03)
    assert many.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(12), rel=0.05)
    assert (many.effective_samples > 1000).all()
    assert (many.effective_samples <= 20_000).all()
    # on average a bound, and a tighter one with more samples
    few = [
        np.mean([iwae(model, pixels, SIGMA, samples, seed).mean for seed in range(100)])  # type: ignore[arg-type]
        for samples in (1, 10)
    ]
    assert few[0] < few[1] < many.mean


def test_the_likelihood_is_the_elbo_of_all_images_and_the_gain_of_some(
    pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 images by the gain of 6, which differ in it less than in their likelihood."""
    model = LinearVAE(3.0)
    truth = true_log_likelihood(pixels, model.weight.detach().numpy(), 100_000)
    bound = iwae(model, pixels, SIGMA, 5_000)  # type: ignore[arg-type]
    assert (bound.elbo < bound.log_likelihood).all()
    # log p(x) - ELBO = KL(q(z | x), p(z | x)): both are Gaussian around one mean, q without correlations
    mean, logvar = (part.detach() for part in model.encode(torch.from_numpy(pixels).float() / 255))
    weight, zero = model.weight.detach(), torch.zeros(2)
    posterior = MultivariateNormal(zero, precision_matrix=torch.eye(2) + weight.T @ weight / SIGMA**2)
    gap = kl_divergence(MultivariateNormal(zero, torch.diag(logvar[0].exp())), posterior)
    np.testing.assert_allclose((truth - bound.elbo).mean(), gap, atol=0.03)
    monkeypatch.setattr("analysis.measures.importance_weighted.LIKELIHOOD_IMAGES", 6)
    monkeypatch.setattr("analysis.measures.importance_weighted.LIKELIHOOD_SAMPLES", 5_000)
    measured = subject(model, pixels, Codes(mean.numpy(), logvar.numpy()), SIGMA)
    measured.__dict__["evaluated"] = {"nelbo": -bound.elbo.mean()}  # the linear model has no decoder's output
    found = likelihood(measured)
    error = found["log_likelihood_error"]
    assert found["log_likelihood"] == pytest.approx(truth.mean(), abs=4 * error + 0.03)
    assert error < 0.2 * bound.log_likelihood.std() / math.sqrt(6)
    assert (found["log_likelihood_images"], found["log_likelihood_samples"]) == (6, 5_000)


@pytest.mark.parametrize(
    "fields",
    [{"width": 4}, {"architecture": "linear"}, {"architecture": "linear", "prior": "vamp", "pseudo_inputs": 6}],
)
def test_the_bound_of_one_sample_is_the_elbo_and_chunks_do_not_change_it(
    fields: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 28, 28), dtype=np.uint8)
    model = seeded_vae(TrialConfig(model=ModelConfig(**fields, latent_dim=3))).eval()
    elbo = -evaluate(model, Pixels(images), 0.3, World())["nelbo"]
    one = iwae(model, images, 0.3, 1)
    assert one.mean == pytest.approx(elbo, abs=4 * one.standard_error)
    monkeypatch.setattr("analysis.measures.importance_weighted.IMAGES", 7)
    few = iwae(model, images[:20], 0.3, 50)
    monkeypatch.setitem(PIXELS, "cpu", 7 * 784)  # one sample at a time
    assert iwae(model, images[:20], 0.3, 50).log_likelihood == pytest.approx(few.log_likelihood, rel=1e-6)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        iwae(model, images, 0.3, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"likelihood": "bernoulli", "binarise": "fixed"},
        {"likelihood": "beta_binomial"},
        {"likelihood": "logistic_mixture"},
        {"likelihood": "optimal_gaussian"},
    ],
    ids=lambda fields: fields["likelihood"],
)
def test_of_every_likelihood_one_sample_is_the_elbo_and_memory_does_not_grow(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder's output and what is computed of it are as large as the codes that it is given at once."""
    model = seeded_vae(TrialConfig(model=ModelConfig(architecture="mlp", widths=(8,), latent_dim=3, **fields))).eval()
    images = np.random.default_rng(0).integers(0, 2, (300, 1, 28, 28), dtype=np.uint8) * np.uint8(255)
    elbo = -evaluate(model, Pixels(images), 0.3, World())["nelbo"]
    one = iwae(model, images, 0.3, 1)
    assert one.mean == pytest.approx(elbo, abs=4 * one.standard_error)
    monkeypatch.setitem(PIXELS, "cpu", 30 * 784)
    decoded: list[int] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: decoded.append(len(inputs[0])))
    for samples in (3, 100):
        decoded.clear()
        bound = iwae(model, images[:20], 0.3, samples)
        assert max(decoded) * model.likelihood.outputs <= 4 * 30
        assert max(decoded) <= 30
        assert sum(decoded) == 20 * samples
    assert (bound.log_likelihood >= bound.elbo).all()


def test_a_bound_that_few_samples_carry_is_loose() -> None:
    for effective, is_loose in ((1.2, True), (9.9, True), (10.0, False), (4000.0, False)):
        many = np.array([effective, 1.0, 5000.0])
        assert Bound(np.zeros(3), np.zeros(3), many).is_loose is is_loose
