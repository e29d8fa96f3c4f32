"""Priors, free bits and the importance-weighted bound against torch.distributions, integrals and closed forms."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from vae_models import VAE, ModelConfig
from vae_models.elbo import free_rate, importance_weighted, loss
from vae_models.likelihoods import Likelihood
from vae_models.priors import Posterior, PseudoInputs, StandardNormal, VampPrior, kl_per_latent
from vae_models.vae import Pass


def normal(posterior: Posterior) -> Independent:
    return Independent(Normal(posterior.mean, (0.5 * posterior.logvar).exp()), 1)


def mixture(prior: VampPrior) -> Distribution:
    return MixtureSameFamily(Categorical(torch.ones(len(prior.components.mean))), normal(prior.components))


def drawn(*shape: int, seed: int = 0, size: float = 1.0) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    mean, logvar = (size * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return Posterior(mean, logvar)


def noise(*shape: int, seed: int = 9) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vamp_vae(**fields: Any) -> VAE:
    torch.manual_seed(0)
    shape = {"architecture": "mlp", "widths": (9,), "image_shape": (1, 3, 4), "latent_dim": 2}
    return VAE(ModelConfig(**(shape | {"prior": "vamp", "pseudo_inputs": 5} | fields)))


@pytest.mark.parametrize("lead", [(), (7,), (3, 7)])
def test_log_densities_are_those_of_torch(lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    z, prior = 2 * noise(*lead, 4), VampPrior(drawn(6, 4))
    torch.testing.assert_close(prior.log_prob(z), mixture(prior).log_prob(z))
    standard = Independent(Normal(torch.zeros(4).double(), torch.ones(4).double()), 1)
    torch.testing.assert_close(StandardNormal(4).log_prob(z), standard.log_prob(z))
    monkeypatch.setattr("vae_models.priors._AT_ONCE", 50)  # two codes at a time
    torch.testing.assert_close(prior.log_prob(z), mixture(prior).log_prob(z))


def test_a_posterior_s_log_density_is_that_of_its_sample_however_narrow() -> None:
    posterior, eps = drawn(7, 4), noise(3, 7, 4)
    torch.testing.assert_close(posterior.log_prob(eps), normal(posterior).log_prob(posterior.sample(eps)))
    narrow = Posterior(torch.full((1, 1), 1000.0), torch.full((1, 1), -12.0))
    expected = Normal(0.0, 1.0).log_prob(torch.tensor(0.5)) + 6
    torch.testing.assert_close(narrow.log_prob(torch.full((1, 1), 0.5))[0], expected)


def test_the_closed_form_is_what_its_estimates_are_on_average() -> None:
    posterior, prior = drawn(5, 3), StandardNormal(3)
    exact = kl_divergence(normal(posterior), Independent(Normal(torch.zeros(5, 3).double(), 1.0), 1))
    torch.testing.assert_close(prior.rate(posterior, noise(5, 3)), exact)
    ratios = -prior.log_ratio(posterior, noise(200_000, 5, 3))
    error = ratios.std(0) / math.sqrt(200_000)
    assert ((ratios.mean(0) - exact).abs() < 5 * error).all()


@pytest.mark.parametrize("latents", [1, 2])
def test_an_estimated_rate_is_the_integral_on_average(latents: int) -> None:
    posterior, prior = drawn(2, latents, size=0.7), VampPrior(drawn(4, latents, seed=1))
    axis = torch.linspace(-12, 12, 4001 if latents == 1 else 1001, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * latents).view(-1, 1, latents)
    log_q = normal(posterior).log_prob(grid)
    exact = (log_q.exp() * (log_q - mixture(prior).log_prob(grid))).sum(0) * (axis[1] - axis[0]) ** latents
    estimates = prior.rate(posterior, noise(100_000, 2, latents))
    error = estimates.std(0) / math.sqrt(100_000)
    assert ((estimates.mean(0) - exact).abs() < 5 * error).all()
    assert (error < 0.01).all()


def test_a_mixture_of_one_component_costs_what_the_closed_form_says() -> None:
    """The only VampPrior whose KL has one: that of two Gaussians."""
    posterior, prior = drawn(3, 2), VampPrior(drawn(1, 2, seed=1))
    exact = kl_divergence(normal(posterior), normal(Posterior(*(part.expand(3, 2) for part in prior.components))))
    estimates = prior.rate(posterior, noise(200_000, 3, 2))
    assert ((estimates.mean(0) - exact).abs() < 5 * estimates.std(0) / math.sqrt(200_000)).all()


def test_samples_are_the_mixture_s() -> None:
    prior = VampPrior(drawn(3, 2))
    z = prior.sample(100_000, torch.Generator().manual_seed(3))
    assert z.shape == (100_000, 2)
    assert torch.equal(z, prior.sample(100_000, torch.Generator().manual_seed(3)))
    expected = mixture(prior)
    torch.testing.assert_close(z.mean(0), expected.mean, rtol=0, atol=0.03)
    torch.testing.assert_close(z.var(0), expected.variance, rtol=0.03, atol=0)


def test_samples_of_a_standard_normal_are_the_seed_s_noise() -> None:
    expected = torch.randn(5, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(StandardNormal(3).sample(5, torch.Generator().manual_seed(4)), expected)


def test_pseudo_inputs_are_different_images() -> None:
    images = PseudoInputs(ModelConfig(prior="vamp", pseudo_inputs=6))()
    assert images.shape == (6, 1, 28, 28)
    assert 0 < images.min() < images.max() < 1
    assert torch.cdist(images.flatten(1), images.flatten(1)).fill_diagonal_(1).min() > 0.5


def test_a_model_s_prior_is_the_mixture_of_what_it_encodes_its_pseudo_inputs_to() -> None:
    model = vamp_vae()
    assert model.pseudo_inputs is not None
    prior = model.prior()
    assert isinstance(prior, VampPrior)
    torch.testing.assert_close(prior.components, model.encode(model.pseudo_inputs()))
    x, eps = torch.rand(6, 1, 3, 4), torch.randn(6, 2)
    passed = model(x, eps)
    total, distortion, nats = loss(passed, eps, x, model.likelihood, 0.5)
    z = passed.posterior.sample(eps)
    torch.testing.assert_close(distortion, model.likelihood.distortion(model.decoder(z), x))
    torch.testing.assert_close(nats, normal(passed.posterior).log_prob(z) - mixture(prior).log_prob(z))
    torch.testing.assert_close(total, distortion + 0.5 * nats)
    assert model.sample(4).shape == (4, 1, 3, 4)
    assert torch.equal(model.sample(4, 1), model.sample(4, 1))


def test_every_parameter_of_a_vamp_model_has_a_gradient() -> None:
    model, x, eps = vamp_vae(activation="gated"), torch.rand(6, 1, 3, 4), torch.randn(3, 6, 2)
    for total in (
        loss(model(x, eps[0]), eps[0], x, model.likelihood, 1.0).total,
        importance_weighted(model(x, eps), eps, x, model.likelihood).total,
    ):
        model.zero_grad(set_to_none=True)
        total.sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_gradients_of_the_mixture_are_those_of_finite_differences() -> None:
    eps = noise(3, 2)

    def rate(*parts: Tensor) -> Tensor:
        return VampPrior(Posterior(*parts[2:])).rate(Posterior(*parts[:2]), eps)

    parts = [part.requires_grad_() for part in (*drawn(3, 2), *drawn(4, 2, seed=1))]
    assert torch.autograd.gradcheck(rate, parts)


def test_the_density_of_a_narrow_component_keeps_its_digits() -> None:
    """In float32, of a log-variance at its bound and a mean far from 0."""
    prior = VampPrior(Posterior(torch.tensor([[30.0], [0.0]]), torch.tensor([[-12.0], [0.0]])))
    eps, posterior = torch.tensor([[0.7]]), Posterior(torch.tensor([[30.0]]), torch.tensor([[-12.0]]))
    assert float(prior.rate(posterior, eps)) == pytest.approx(math.log(2), abs=2e-3)


class LinearGaussian(Likelihood):
    """z ~ N(0, I), x = W z + noise of 0.3, and posteriors around its own whose variances are too large."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn(4, 2, generator=generator, dtype=torch.float64)
        self.x = torch.randn(5, 4, generator=generator, dtype=torch.float64)
        covariance = self.weight @ self.weight.T + 0.09 * torch.eye(4, dtype=torch.float64)
        self.log_likelihood = MultivariateNormal(torch.zeros(4).double(), covariance).log_prob(self.x)
        precision = torch.eye(2, dtype=torch.float64) + self.weight.T @ self.weight / 0.09
        mean = self.x @ self.weight @ torch.linalg.inv(precision) / 0.09
        self.posterior = Posterior(mean, (4 / torch.diagonal(precision)).log().expand(5, 2))

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        return -Normal(output, 0.3).log_prob(x).sum(1)

    def losses(self, samples: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        eps = noise(samples, 5, 2, seed=seed)
        output = (self.posterior.sample(eps) @ self.weight.T).flatten(0, 1)
        return importance_weighted(Pass(output, self.posterior, StandardNormal(2)), eps, self.x, self)


def test_the_bound_rises_to_the_likelihood_of_a_linear_model() -> None:
    model = LinearGaussian()
    bounds = []
    for samples, times in ((1, 4000), (5, 2000), (50, 1000), (5000, 20)):
        found = torch.stack([-model.losses(samples, seed).total.mean() for seed in range(times)])
        bounds.append((found.mean(), found.std() / math.sqrt(times)))
    exact = model.log_likelihood.mean()
    for (lower, error), (upper, other) in pairwise(bounds):
        assert upper - lower > 3 * math.hypot(error, other)
    last, error = bounds[-1]
    assert abs(last - exact) < 4 * error + 1e-3
    # of one sample it is the ELBO: log p(x) minus the KL to the model's own posterior
    precision = torch.eye(2, dtype=torch.float64) + model.weight.T @ model.weight / 0.09
    own = MultivariateNormal(torch.zeros(2).double(), precision_matrix=precision)
    gap = kl_divergence(MultivariateNormal(torch.zeros(2).double(), torch.diag(model.posterior.logvar[0].exp())), own)
    assert abs(bounds[0][0] - (exact - gap)) < 4 * bounds[0][1]


def test_the_parts_of_the_bound_are_means_of_its_samples() -> None:
    model = LinearGaussian()
    total, distortion, nats = model.losses(7)
    z = model.posterior.sample(noise(7, 5, 2, seed=0))
    log_p = Normal(z @ model.weight.T, 0.3).log_prob(model.x).sum(2)
    ratio = Normal(0.0, 1.0).log_prob(z).sum(2) - normal(model.posterior).log_prob(z)
    torch.testing.assert_close(distortion, -log_p.mean(0))
    torch.testing.assert_close(nats, -ratio.mean(0))
    torch.testing.assert_close(total, -torch.log(torch.exp(log_p + ratio).mean(0)))
    assert (total <= distortion + nats).all()


def test_the_bound_of_one_sample_is_the_loss_on_average() -> None:
    torch.manual_seed(0)
    model = VAE(ModelConfig(architecture="mlp", widths=(9,), image_shape=(1, 3, 4), latent_dim=2))
    x, eps = torch.rand(6, 1, 3, 4), torch.randn(4_000, 6, 2)
    with torch.no_grad():
        ours = torch.stack([importance_weighted(model(x, e[None]), e[None], x, model.likelihood).total for e in eps])
        plain = torch.stack([loss(model(x, e), e, x, model.likelihood, 1.0).total for e in eps])
    error = (ours - plain).std(0) / math.sqrt(len(eps))
    assert ((ours - plain).mean(0).abs() < 5 * error).all()


def test_the_gradient_of_the_bound_is_its_samples_weighted() -> None:
    """Burda et al. 2016, equation 14: each sample's gradient counts by its share of the weights."""
    torch.manual_seed(0)
    model = VAE(ModelConfig(architecture="mlp", widths=(9,), image_shape=(1, 3, 4), latent_dim=2)).double()
    x, eps = torch.rand(1, 1, 3, 4).double(), torch.randn(4, 1, 2).double()
    weights, gradients = [], []
    for e in eps:
        total = importance_weighted(model(x, e[None]), e[None], x, model.likelihood).total.sum()
        weights.append(-total.detach())
        gradients.append(torch.autograd.grad(total, [*model.parameters()]))
    share = torch.softmax(torch.stack(weights), 0)
    total = importance_weighted(model(x, eps), eps, x, model.likelihood).total.sum()
    for ours, *each in zip(torch.autograd.grad(total, [*model.parameters()]), *gradients, strict=True):
        torch.testing.assert_close(ours, sum(w * g for w, g in zip(share, each, strict=True)), rtol=1e-5, atol=1e-6)


def test_free_bits_by_hand() -> None:
    kl = torch.tensor([[0.1, 3.0, 0.6], [0.3, 1.0, 0.2]], requires_grad=True)
    mean = kl.detach().mean(0)  # 0.2, 2.0, 0.4
    free = free_rate(kl, mean, 0.5)
    torch.testing.assert_close(free, torch.tensor([0.5 + 3.0 + 0.5, 0.5 + 1.0 + 0.5]))
    torch.testing.assert_close(free.mean(), mean.clamp(min=0.5).sum())
    (gradient,) = torch.autograd.grad(free.mean(), kl)
    torch.testing.assert_close(gradient, torch.tensor([[0, 0.5, 0], [0, 0.5, 0]]))
    assert torch.equal(free_rate(kl, mean, 0.0), kl.sum(1))
    # of one part of a batch, by the mean of all
    torch.testing.assert_close(free_rate(kl[:1], mean, 0.5), free[:1])


def test_gated_layers_are_a_map_and_its_gate() -> None:
    torch.manual_seed(0)
    vae = VAE(ModelConfig(architecture="mlp", widths=(7, 4), activation="gated", image_shape=(1, 3, 5), latent_dim=2))
    x = torch.rand(6, 1, 3, 5)
    hidden = (2 * x - 1).flatten(1)
    for layer in [layer for layer in vae.encoder.features if isinstance(layer, nn.Linear)]:
        h, g = layer(hidden).chunk(2, 1)
        hidden = h * torch.sigmoid(g)
    torch.testing.assert_close(vae.encode(x).mean, vae.encoder.mean(hidden))
    size = sum(p.numel() for p in vae.decoder.parameters())
    assert size == 2 * (2 * 4 + 4) + 2 * (4 * 7 + 7) + (7 * 15 + 15)
    assert vae.sample(3).shape == (3, 1, 3, 5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pseudo_inputs": 20}, "pseudo_inputs must be 500 with prior standard_normal, which has none, got 20"),
        ({"prior": "vamp", "pseudo_inputs": 0}, "pseudo_inputs"),
        ({"prior": "vamp", "multi_rate": True}, "prior must be standard_normal with multi_rate, got vamp"),
        ({"prior": "mixture"}, "prior"),
        ({"activation": "gated"}, "activation must be silu.* or tanh with architecture convolutional, got gated"),
        ({"activation": "gated", "architecture": "linear"}, "activation must be silu with architecture linear"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**fields)


def test_kl_per_latent_sums_to_the_rate() -> None:
    posterior = drawn(4, 3)
    assert torch.equal(kl_per_latent(posterior).sum(1), StandardNormal(3).rate(posterior, noise(4, 3)))
    np.testing.assert_array_less(0, kl_per_latent(posterior).numpy())
