"""Each likelihood against scipy, torch, sums over all levels and finite differences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.integrate import quad
from scipy.stats import betabinom, logistic, norm
from torch import Tensor

from vae_models import VAE, ModelConfig
from vae_models.elbo import exact_distortion, exact_distortions, loss
from vae_models.likelihoods import LIKELIHOODS, Likelihood, likelihood_of
from vae_models.likelihoods.levels import log_beta_binomial, log_discretised_gaussian, log_discretised_logistic

LEVELS = torch.arange(256, dtype=torch.float64) / 255
EXACT: dict[str, dict[str, Any]] = {
    "bernoulli": {"likelihood": "bernoulli", "binarise": "fixed"},
    "logistic": {"likelihood": "discretised_logistic"},
    "mixture of 1": {"likelihood": "logistic_mixture", "components": 1},
    "mixture of 5": {"likelihood": "logistic_mixture"},
    "beta-binomial": {"likelihood": "beta_binomial"},
    "gaussian, one sigma": {"likelihood": "discretised_gaussian"},
    "gaussian, a channel's": {"likelihood": "discretised_gaussian", "learnt_sigma": "channel"},
    "gaussian, a pixel's": {"likelihood": "discretised_gaussian", "learnt_sigma": "pixel"},
}


def made(shape: tuple[int, int, int] = (1, 1, 1), **fields: Any) -> Likelihood:
    return likelihood_of(ModelConfig(architecture="mlp", image_shape=shape, **fields))


def outputs(likelihood: Likelihood, count: int, size: float) -> Tensor:
    """Of a decoder for single pixels: random ones, and every corner of +- ``size``."""
    generator = torch.Generator().manual_seed(0)
    numbers = likelihood.outputs
    random = size / 4 * torch.randn(count, numbers, generator=generator, dtype=torch.float64)
    corners = torch.cartesian_prod(*[torch.tensor([-size, 0.0, size], dtype=torch.float64)] * min(numbers, 3))
    corners = corners.view(len(corners), -1).repeat(1, -(-numbers // min(numbers, 3)))[:, :numbers]
    return torch.cat([random, corners]).view(-1, numbers, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("size", [4.0, 1000.0])
@pytest.mark.parametrize("kind", EXACT)
def test_the_probabilities_of_all_levels_sum_to_one(kind: str, size: float, dtype: torch.dtype) -> None:
    likelihood = made(**EXACT[kind]).to(dtype)
    output = outputs(likelihood, 1000, size).to(dtype)
    values = torch.tensor([0.0, 1.0]) if kind == "bernoulli" else LEVELS
    x = values.to(dtype).view(-1, 1, 1, 1)
    total = torch.stack(
        [torch.exp(-likelihood.distortion(one.expand(len(x), -1, 1, 1), x).double()).sum() for one in output]
    )
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6 if dtype == torch.float64 else 2e-5)


def test_mass_functions_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    level = np.arange(256)
    edges = np.concatenate([[-np.inf], (level[:-1] + 0.5) / 255, [np.inf]])
    for mean, scale in zip(rng.uniform(-0.2, 1.2, 50), np.exp(rng.uniform(-6, 1, 50)), strict=True):
        for ours, theirs in ((log_discretised_gaussian, norm), (log_discretised_logistic, logistic)):
            found = ours(torch.full((256,), mean, dtype=torch.float64), LEVELS, torch.tensor(scale)).exp().numpy()
            np.testing.assert_allclose(found, np.diff(theirs.cdf(edges, mean, scale)), rtol=0, atol=1e-7)
    for alpha, beta in np.exp(rng.uniform(-5, 5, (50, 2))):
        found = log_beta_binomial(torch.tensor(alpha), torch.tensor(beta), torch.arange(256)).numpy()
        np.testing.assert_allclose(found, betabinom.logpmf(level, 255, alpha, beta), rtol=1e-6, atol=1e-6)


def test_far_tails_keep_their_digits() -> None:
    """Where a difference of two distribution functions is 0 in floating point."""
    x = torch.tensor([0.0, 0.5, 1.0])
    for mean in (-30.0, 30.0):
        for log_p in (log_discretised_gaussian, log_discretised_logistic):
            found = log_p(torch.full((3,), mean), x, torch.tensor(0.01))
            assert found.isfinite().all()
            assert found.min() < -1000
    # the tail of a logistic is exponential: a level nearer is exp(1 / (255 s)) as likely
    two = log_discretised_logistic(
        torch.full((2,), -30.0).double(), torch.tensor([100, 101]).double() / 255, torch.tensor(0.01)
    )
    assert float(two[0] - two[1]) == pytest.approx(1 / 2.55)


def test_a_mixture_of_one_is_a_logistic_and_of_equals_too() -> None:
    torch.manual_seed(0)
    output, x = torch.randn(7, 2, 3, 3), torch.randint(0, 256, (7, 1, 3, 3)) / 255
    one = made((1, 3, 3), likelihood="logistic_mixture", components=1)
    plain = made((1, 3, 3), likelihood="discretised_logistic")
    weighted = torch.cat([torch.randn(7, 1, 3, 3), output], 1)
    torch.testing.assert_close(one.distortion(weighted, x), plain.distortion(output, x))
    torch.testing.assert_close(one.mean(weighted), plain.mean(output))


def test_a_mixture_is_the_weighted_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    mixture = made((3, 2, 2), likelihood="logistic_mixture", components=4)
    output, x = torch.randn(5, 36, 2, 2), torch.randint(0, 256, (5, 3, 2, 2)) / 255
    weight, mean, scale = output.view(5, 3, 4, 3, 2, 2).unbind(1)
    centre = torch.logit((torch.arange(4) + 0.5) / 4).view(4, 1, 1, 1)
    total = torch.zeros(5, 3, 2, 2)
    for k, share in enumerate(torch.softmax(weight, 1).unbind(1)):
        part = torch.cat([mean[:, k] + centre[k], scale[:, k]], 1)
        likelihood = made((1, 1, 1), likelihood="discretised_logistic")
        for place in np.ndindex(5, 3, 2, 2):
            b, c, h, w = place
            one = torch.stack([part[b, c, h, w], part[b, 3 + c, h, w]]).view(1, 2, 1, 1)
            total[place] += share[place] * torch.exp(-likelihood.distortion(one, x[place].view(1, 1, 1, 1)))[0]
    torch.testing.assert_close(mixture.distortion(output, x), -total.log().flatten(1).sum(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("logit", [-40.0, -3.0, -0.41, -0.39, -1e-3, 0.0, 1e-6, 0.399, 0.401, 5.0, 60.0])
def test_the_continuous_bernoulli_is_a_density_whose_mean_it_says(logit: float) -> None:
    likelihood, output = made(likelihood="continuous_bernoulli"), torch.full((1, 1, 1, 1), logit, dtype=torch.float64)

    def density(x: float) -> float:
        return math.exp(-float(likelihood.distortion(output, torch.full((1, 1, 1, 1), x, dtype=torch.float64))))

    assert quad(density, 0, 1)[0] == pytest.approx(1, abs=1e-7)
    mean = quad(lambda x: x * density(x), 0, 1)[0]
    assert float(likelihood.mean(output)) == pytest.approx(mean, abs=1e-7)


def test_the_continuous_bernoulli_is_torch_s() -> None:
    torch.manual_seed(0)
    output, x = 4 * torch.randn(5, 1, 4, 4), torch.rand(5, 1, 4, 4)
    ours = made((1, 4, 4), likelihood="continuous_bernoulli")
    theirs = torch.distributions.ContinuousBernoulli(logits=output.double())
    torch.testing.assert_close(
        ours.distortion(output, x), -theirs.log_prob(x.double()).flatten(1).sum(1).float(), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(ours.mean(output), theirs.mean.float(), rtol=1e-4, atol=1e-5)


CONTINUOUS = {
    name: {"likelihood": name} for name in ("gaussian", "laplace", "optimal_gaussian", "continuous_bernoulli")
}


@pytest.mark.parametrize("kind", [*EXACT, *CONTINUOUS])
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    fields = (EXACT | CONTINUOUS)[kind]
    likelihood = made((1, 2, 2), **fields).double().eval()
    generator = torch.Generator().manual_seed(1)
    x = torch.tensor([0.0, 1.0, 7 / 255, 200 / 255]).double().view(1, 1, 2, 2)
    x = x.round() if kind == "bernoulli" else x
    for size in (0.1, 1.0, 6.0):
        output = size * torch.randn(1, likelihood.outputs, 2, 2, generator=generator, dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda o: likelihood.distortion(o, x), output.requires_grad_(), atol=1e-5)


@pytest.mark.parametrize("kind", EXACT)
def test_an_extreme_output_has_a_finite_gradient(kind: str) -> None:
    likelihood = made((1, 2, 2), **EXACT[kind])
    x = torch.tensor([0.0, 1.0, 0.0, 1.0] if kind == "bernoulli" else [0.0, 1.0, 7 / 255, 200 / 255]).view(1, 1, 2, 2)
    for size in (30.0, 1e4):
        for sign in (-1, 1):
            output = torch.full((1, likelihood.outputs, 2, 2), sign * size, requires_grad=True)
            likelihood.distortion(output, x).sum().backward()
            assert output.grad is not None
            assert output.grad.isfinite().all()


def test_the_optimal_gaussian_has_the_variance_that_is_best_for_its_batch() -> None:
    torch.manual_seed(0)
    likelihood = made((1, 3, 3), likelihood="optimal_gaussian")
    output, x = torch.randn(20, 1, 3, 3, requires_grad=True), torch.rand(20, 1, 3, 3)
    error = torch.tanh(output) - (2 * x - 1)
    distortion = likelihood.distortion(output, x)
    sigma = error.square().mean().sqrt()
    at_best = torch.distributions.Normal(torch.tanh(output), sigma).log_prob(2 * x - 1)  # sigma with its gradient
    torch.testing.assert_close(distortion, -at_best.flatten(1).sum(1))
    ours, theirs = (torch.autograd.grad(v.sum(), output, retain_graph=True)[0] for v in (distortion, -at_best))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    # afterwards it has what it has kept, whatever the batch
    for _ in range(200):
        likelihood.distortion(output, x)
    torch.testing.assert_close(likelihood.variance, sigma.square(), rtol=1e-3, atol=0)
    likelihood.eval()
    torch.testing.assert_close(likelihood.distortion(output[:3], x[:3]), distortion[:3], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", [*EXACT, *CONTINUOUS])
def test_samples_of_the_same_images_are_told_as_copies_of_them_are(kind: str) -> None:
    likelihood = made((1, 3, 3), **(EXACT | CONTINUOUS)[kind]).double().eval()
    torch.manual_seed(0)
    x = torch.randint(0, 256, (4, 1, 3, 3)).double() / 255
    x = x.round() if kind == "bernoulli" else x
    output = 3 * torch.randn(5, 4, likelihood.outputs, 3, 3, dtype=torch.float64)
    for several, one in (
        (likelihood.distortion_of_samples(output, x), likelihood.distortion),
        (exact_distortions(likelihood, output, x, 0.1), lambda o, x: exact_distortion(likelihood, o, x, 0.1)),
    ):
        assert several.shape == (5, 4)
        torch.testing.assert_close(several, torch.stack([one(sample, x) for sample in output]))


@pytest.mark.parametrize("kind", [*EXACT, *CONTINUOUS])
def test_a_config_knows_whether_its_likelihood_is_exact(kind: str) -> None:
    config = ModelConfig(architecture="mlp", **(EXACT | CONTINUOUS)[kind])
    assert likelihood_of(config).is_exact is config.has_exact_likelihood
    assert not config.reads_grey_as_binary
    assert ModelConfig(likelihood="bernoulli").reads_grey_as_binary
    assert not ModelConfig(likelihood="bernoulli").has_exact_likelihood


def test_of_pixels_as_they_are_an_exact_likelihood_says_all() -> None:
    x = torch.randint(0, 256, (3, 1, 2, 2)) / 255
    for fields in (EXACT["mixture of 5"], EXACT["beta-binomial"]):
        likelihood = made((1, 2, 2), **fields)
        output = torch.randn(3, likelihood.outputs, 2, 2)
        assert torch.equal(exact_distortion(likelihood, output, x, 0.1), likelihood.distortion(output, x))
    density = made((1, 2, 2), likelihood="laplace")
    output = torch.randn(3, 1, 2, 2)
    expected = -log_discretised_gaussian(density.mean(output), x, 0.1).flatten(1).sum(1)
    assert torch.equal(exact_distortion(density, output, x, 0.1), expected)
    assert not made(likelihood="bernoulli").is_exact  # grey pixels are no outcomes of it


@pytest.mark.parametrize("architecture", ["convolutional", "mlp", "linear"])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_trains_every_architecture(name: str, architecture: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        likelihood=name,
        binarise="threshold" if name == "bernoulli" else "none",
        architecture=architecture,
        image_shape=(3, 8, 8),
        latent_dim=3,
    )
    vae, x = VAE(config), torch.randint(0, 256, (16, 3, 8, 8)) / 255
    x = x.round() if config.is_binary else x
    optimizer, noise = torch.optim.Adam(vae.parameters(), 1e-2), torch.randn(16, 3)
    totals = []
    for _ in range(30):
        total = loss(vae(x, noise), noise, x, vae.likelihood, 1.0).total.mean()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < totals[0]
    assert vae.eval().reconstruct(x).shape == x.shape
    again = VAE(config)
    again.load_state_dict(vae.state_dict())
    torch.testing.assert_close(
        loss(again.eval()(x, noise), noise, x, again.likelihood, 1.0),
        loss(vae(x, noise), noise, x, vae.likelihood, 1.0),
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"binarise": "fixed"}, "likelihood must be bernoulli with binarise fixed, whose pixels are 0 or 1, got gauss"),
        (
            {"binarise": "dynamic", "likelihood": "beta_binomial"},
            "must be bernoulli with binarise dynamic.*beta_binomial",
        ),
        ({"components": 0, "likelihood": "logistic_mixture"}, "components"),
        ({"components": 3}, "components must be 5 with likelihood gaussian, which has none, got 3"),
        ({"learnt_sigma": "pixel", "likelihood": "beta_binomial"}, "learnt_sigma must be one with likelihood beta_bin"),
        ({"binarise": "always"}, "binarise"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**fields)
