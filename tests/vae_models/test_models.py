"""The networks, the likelihoods and the yardstick, against closed forms and other implementations."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import norm
from torch import nn

from vae_models import VAE, ModelConfig, VAE_Decoder, VAE_DecoderPP, VAE_Encoder, VAE_EncoderPP, build_vae
from vae_models.blocks import UpConv
from vae_models.elbo import active_units, bits_per_dim, discrete_gaussian_nll, loss
from vae_models.likelihoods import likelihood_of
from vae_models.priors import Posterior, StandardNormal
from vae_models.vae import LOGVAR_BOUND, parameter_count


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("config", "encoder", "decoder"),
    [
        (ModelConfig(latent_dim=32), 220e3, 122e3),
        (ModelConfig(latent_dim=32, depth=1), 386e3, 224e3),
        (ModelConfig(latent_dim=256, depth=2, width=64, image_shape=(3, 32, 32)), 18.6e6, 16.2e6),
    ],
    ids=["plain", "pp", "cifar"],
)
def test_parameter_counts_are_the_published_networks(config: ModelConfig, encoder: float, decoder: float) -> None:
    assert size(VAE_Encoder(config)) == pytest.approx(encoder, rel=0.05)
    assert size(VAE_Decoder(config)) == pytest.approx(decoder, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (5, 6), (8, 3)])
def test_the_upsampling_convolution_is_an_upsampling_and_a_convolution(shape: tuple[int, int]) -> None:
    """Values, and gradients of input, weight and bias, in float64 to its rounding."""
    torch.manual_seed(0)
    fused = UpConv(4, 3).double()
    plain = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(4, 3, 3, padding=1)).double()
    plain[1].load_state_dict(fused.state_dict())
    x = torch.randn(2, 4, *shape, dtype=torch.float64, requires_grad=True)
    results = []
    for module in (fused, plain):
        y = module(x)
        inputs = [x, *module.parameters()]
        results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_pp_means_depth_one() -> None:
    plain, deep = ModelConfig(), ModelConfig(depth=1)
    assert size(VAE_EncoderPP(plain)) == size(VAE_Encoder(deep))
    assert size(VAE_DecoderPP(plain)) == size(VAE_Decoder(deep))
    assert build_vae("pp", latent_dim=4).config == ModelConfig(depth=1, latent_dim=4)


def test_parameter_counts_of_dense_networks_are_those_by_hand() -> None:
    linear = VAE(ModelConfig(architecture="linear", image_shape=(3, 2, 2), latent_dim=5))
    assert size(linear.encoder) == 2 * (12 * 5 + 5)  # the mean's map and the log-variance's
    assert size(linear.decoder) == 5 * 12 + 12
    mlp = VAE(ModelConfig(architecture="mlp", widths=(7, 4), image_shape=(3, 2, 2), latent_dim=5))
    assert size(mlp.encoder) == (12 * 7 + 7) + (7 * 4 + 4) + 2 * (4 * 5 + 5)
    assert size(mlp.decoder) == (5 * 4 + 4) + (4 * 7 + 7) + (7 * 12 + 12)


HALVED = [(1, 28, 28), (3, 32, 32), (3, 8, 8), (1, 64, 96), (2, 12, 20)]
ANY = [(1, 1, 1), (3, 5, 7), (1, 28, 30)]
KINDS = [
    *({"image_shape": shape, "width": 4, "depth": depth} for shape in HALVED for depth in (0, 2)),
    *({"image_shape": shape, "architecture": "linear"} for shape in ANY),
    *({"image_shape": shape, "architecture": "mlp", "widths": (6, 4), "activation": "relu"} for shape in ANY),
]


@pytest.mark.parametrize("fields", KINDS, ids=lambda fields: "-".join(map(str, fields.values())))
def test_shapes_hold_for_every_architecture(fields: dict) -> None:
    vae = VAE(ModelConfig(**fields, latent_dim=3))
    shape = fields["image_shape"]
    x = torch.rand(2, *shape)
    mean, logvar = vae.encode(x)
    assert mean.shape == logvar.shape == (2, 3)
    assert vae.reconstruct(x).shape == x.shape
    samples = vae.sample(5)
    assert samples.shape == (5, *shape)
    assert 0 <= samples.min() <= samples.max() <= 1
    assert torch.equal(samples, vae.sample(5))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"depth": -1}, "depth"),
        ({"image_shape": (1, 30, 30)}, "multiples of 4.*30 x 30"),
        ({"image_shape": (1, 4, 4)}, "at least 8 pixels a side, got 4 x 4"),
        ({"image_shape": (0, 8, 8)}, "at least 1 channel"),
        ({"detph": 1}, "detph"),
        ({"architecture": "linear", "depth": 1}, "depth must be 0 with architecture linear, which has none, got 1"),
        (
            {"architecture": "linear", "activation": "relu"},
            "activation must be silu with architecture linear.*got relu",
        ),
        ({"architecture": "mlp", "width": 8}, "width must be 32 with architecture mlp, which has none, got 8"),
        ({"widths": (8,)}, r"widths must be \(500,\) with architecture convolutional, which has none, got \(8,\)"),
        ({"architecture": "mlp", "widths": ()}, "widths"),
        ({"architecture": "mlp", "widths": (8, 0)}, r"widths\.1"),
        ({"architecture": "linear", "image_shape": (1, 0, 3)}, "at least 1 pixels a side, got 0 x 3"),
        ({"architecture": "linaer"}, "architecture"),
    ],
)
def test_nonsense_is_refused_with_its_name(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**fields)


def test_build_vae_refuses_an_unknown_mode() -> None:
    with pytest.raises(ValueError, match="vae_mode must be one of plain, pp, got 'deep'"):
        build_vae("deep")


def test_config_round_trips_through_json() -> None:
    for config in (
        ModelConfig(image_shape=(3, 32, 32), depth=2, likelihood="laplace"),
        ModelConfig(image_shape=(3, 5, 7), architecture="mlp", widths=(20, 10), activation="tanh"),
    ):
        assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_layers_are_said_as_they_are() -> None:
    assert ModelConfig(depth=1, width=16).layers == "depth 1, width 16"
    assert ModelConfig(architecture="linear").layers == "linear"
    assert ModelConfig(architecture="mlp", widths=(500, 200)).layers == "mlp of widths 500, 200"


def test_a_network_without_blocks_has_no_pp_mode() -> None:
    with pytest.raises(ValidationError, match="depth must be 0 with architecture linear"):
        build_vae("pp", architecture="linear")
    with pytest.raises(ValidationError, match="depth must be 0 with architecture mlp"):
        VAE_EncoderPP(ModelConfig(architecture="mlp"))


def test_log_variance_stays_in_its_range_and_keeps_a_gradient() -> None:
    encoder = VAE_Encoder(ModelConfig(width=4, latent_dim=2))
    encoder.logvar.bias.data.fill_(3 * LOGVAR_BOUND)
    logvar = encoder(torch.rand(4, 1, 28, 28)).logvar
    assert logvar.abs().max() <= LOGVAR_BOUND
    logvar.sum().backward()
    assert encoder.logvar.bias.grad is not None
    assert (encoder.logvar.bias.grad > 0).all()


def test_rate_is_the_kl_divergence_of_torch_distributions() -> None:
    torch.manual_seed(0)
    posterior = Posterior(torch.randn(7, 5) * 3, torch.randn(7, 5) * 2)
    q = torch.distributions.Normal(posterior.mean, (0.5 * posterior.logvar).exp())
    p = torch.distributions.Normal(torch.zeros(5), torch.ones(5))
    expected = torch.distributions.kl_divergence(q, p).sum(1)
    torch.testing.assert_close(StandardNormal(5).rate(posterior, torch.zeros(7, 5)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sigma", [1e-3, 0.01, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("mean", [-0.2, 0.0, 0.31, 1.0, 1.7])
def test_discrete_likelihood_sums_to_one_over_the_256_values(mean: float, sigma: float) -> None:
    x = (torch.arange(256, dtype=torch.float64) / 255).reshape(256, 1)
    nll = discrete_gaussian_nll(torch.full_like(x, mean), x, sigma)
    assert torch.exp(-nll).sum().item() == pytest.approx(1, abs=1e-9)


def test_discrete_likelihood_is_scipys_in_float32() -> None:
    rng = np.random.default_rng(0)
    level, mean, sigma = rng.integers(0, 256, (50, 40)), rng.random((50, 40)), 0.08
    upper = np.where(level == 255, np.inf, (level + 0.5) / 255)
    lower = np.where(level == 0, -np.inf, (level - 0.5) / 255)
    # the survival function where both edges lie above the mean: there 1 - cdf has lost its digits
    above = lower > mean
    p = np.where(
        above,
        norm.sf(lower, mean, sigma) - norm.sf(upper, mean, sigma),
        norm.cdf(upper, mean, sigma) - norm.cdf(lower, mean, sigma),
    )
    x = torch.tensor(level / 255, dtype=torch.float32)
    ours = discrete_gaussian_nll(torch.tensor(mean, dtype=torch.float32), x, sigma)
    np.testing.assert_allclose(ours.numpy(), -np.log(p).sum(1), rtol=1e-4)


def test_discrete_likelihood_is_finite_however_far_off_the_mean_is() -> None:
    x = torch.tensor([[0.0, 1.0, 0.5]])
    assert discrete_gaussian_nll(torch.tensor([[1.0, 0.0, 1e3]]), x, 1e-3).isfinite().all()


def test_likelihoods_are_those_of_torch_distributions() -> None:
    torch.manual_seed(0)
    output, x = torch.randn(3, 1, 8, 8), torch.rand(3, 1, 8, 8)
    signed = 2 * x - 1
    expected = {
        "gaussian": torch.distributions.Normal(torch.tanh(output), 1.0).log_prob(signed),
        "laplace": torch.distributions.Laplace(torch.tanh(output), 1.0).log_prob(signed),
        "bernoulli": torch.distributions.Bernoulli(logits=output, validate_args=False).log_prob(x),
    }
    for name, log_prob in expected.items():
        distortion = likelihood_of(ModelConfig(likelihood=name)).distortion(output, x)
        torch.testing.assert_close(distortion, -log_prob.flatten(1).sum(1), rtol=1e-5, atol=1e-4)


def test_a_uniform_guess_costs_eight_bits() -> None:
    assert bits_per_dim(784 * math.log(256), 784) == pytest.approx(8)


def test_active_units_counts_latents_whose_mean_moves() -> None:
    assert active_units(torch.tensor([1.0, 0.0101, 0.0099, 0.0])) == 2


def test_a_linear_vae_is_affine_each_way() -> None:
    torch.manual_seed(0)
    vae = VAE(ModelConfig(architecture="linear", image_shape=(2, 3, 5), latent_dim=4)).double()
    a, b = torch.rand(2, 6, 2, 3, 5, dtype=torch.float64)
    u, v = 50 * torch.randn(2, 6, 4, dtype=torch.float64)  # codes far out, whose tanh would be flat
    for share in (0.25, -3.0):
        mixed = share * a + (1 - share) * b
        expected = share * vae.encode(a).mean + (1 - share) * vae.encode(b).mean
        torch.testing.assert_close(vae.encode(mixed).mean, expected, rtol=0, atol=1e-5)  # posteriors are float32
        expected = share * vae.decoder(u) + (1 - share) * vae.decoder(v)
        torch.testing.assert_close(vae.decoder(share * u + (1 - share) * v), expected, rtol=0, atol=1e-4)
    # against the maps written out
    signed = (2 * a - 1).flatten(1)
    head, layer = vae.encoder.logvar, vae.decoder.layers[0]
    logvar = LOGVAR_BOUND * torch.tanh((signed @ head.weight.T + head.bias) / LOGVAR_BOUND)
    torch.testing.assert_close(vae.encode(a).logvar, logvar.float())
    torch.testing.assert_close(vae.decoder(u).flatten(1), (u @ layer.weight.T + layer.bias).float())


def test_an_mlp_is_its_layers_in_order() -> None:
    torch.manual_seed(0)
    config = ModelConfig(architecture="mlp", widths=(7, 4), activation="tanh", image_shape=(1, 3, 5), latent_dim=2)
    vae, x, z = VAE(config), torch.rand(6, 1, 3, 5), torch.randn(6, 2)
    _, first, _, second, _ = vae.encoder.features
    hidden = torch.tanh(second(torch.tanh(first((2 * x - 1).flatten(1)))))
    torch.testing.assert_close(vae.encode(x).mean, vae.encoder.mean(hidden))
    first, _, second, _, last, _ = vae.decoder.layers
    output = last(torch.tanh(second(torch.tanh(first(z))))).view(6, 1, 3, 5)
    torch.testing.assert_close(vae.decode(z), (torch.tanh(output) + 1) / 2)


def test_the_loss_of_a_linear_vae_is_that_of_torch_distributions() -> None:
    """Its mean is the output itself, on the scale from -1 to 1: beyond it, too."""
    torch.manual_seed(0)
    x, noise = torch.rand(5, 1, 4, 4), torch.randn(5, 3)
    kinds = {
        "gaussian": lambda output: torch.distributions.Normal(output, 1.0).log_prob(2 * x - 1),
        "laplace": lambda output: torch.distributions.Laplace(output, 1.0).log_prob(2 * x - 1),
        "bernoulli": lambda output: torch.distributions.Bernoulli(logits=output, validate_args=False).log_prob(x),
    }
    for name, log_prob in kinds.items():
        vae = VAE(ModelConfig(architecture="linear", image_shape=(1, 4, 4), latent_dim=3, likelihood=name))
        vae.decoder.layers[0].weight.data *= 5
        passed = vae(x, noise)
        output, posterior, _ = passed
        assert output.abs().max() > 1.5
        q = torch.distributions.Normal(posterior.mean, (0.5 * posterior.logvar).exp())
        nats = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
        distortion = -log_prob(output).flatten(1).sum(1)
        parts = loss(passed, noise, x, vae.likelihood, 0.7)
        for ours, expected in zip(parts, (distortion + 0.7 * nats, distortion, nats), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-4)
        mean = torch.sigmoid(output) if name == "bernoulli" else (output + 1) / 2
        torch.testing.assert_close(vae.likelihood.mean(output), mean)
        # an image is what there is of it between black and white
        z = posterior.sample(noise)
        torch.testing.assert_close(vae.decode(z), mean.clamp(0, 1))


@pytest.mark.parametrize("fields", [{}, {"depth": 1}, {"architecture": "mlp"}, {"architecture": "linear"}])
def test_parameters_are_counted_without_making_them(fields: dict[str, Any]) -> None:
    config = ModelConfig(**fields)
    assert parameter_count(config) == sum(parameter.numel() for parameter in VAE(config).parameters())
