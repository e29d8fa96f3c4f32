"""One network for every KL weight: what it begins as, what is left of it at one weight, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from trainables.data.water_filling import water_filling
from vae_models import VAE, ModelConfig
from vae_models.multi_rate import sites

KINDS: list[dict[str, Any]] = [
    {},
    {"depth": 1, "width": 8, "latent_dim": 3},
    {"depth": 2, "width": 8, "image_shape": (3, 32, 32)},
    {"architecture": "mlp", "widths": (9, 5), "image_shape": (1, 5, 7)},
    {"architecture": "mlp", "image_shape": (1, 5, 7), "widths": (20, 10), "activation": "gated"},
    {"architecture": "linear", "image_shape": (3, 5, 7)},
]


def pair(fields: dict[str, Any]) -> tuple[VAE, VAE, torch.Tensor, torch.Tensor]:
    """A plain and a multi-rate network of one seed, five images, and noise."""
    made = []
    for more in ({}, {"multi_rate": True}):
        torch.manual_seed(3)
        made.append(VAE(ModelConfig(**fields, **more)))
    config = made[0].config
    return made[0], made[1], torch.rand(5, *config.image_shape), torch.randn(5, config.latent_dim)


def conditioned(vae: VAE) -> VAE:
    """The network after its conditioning has moved."""
    assert vae.conditioning
    with torch.no_grad():
        for parameter in vae.conditioning.films.parameters():
            parameter.normal_(std=0.01, generator=torch.Generator().manual_seed(1))
    return vae


@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_before_training_it_is_the_plain_network_to_the_bit(fields: dict[str, Any]) -> None:
    plain, multi, x, noise = pair(fields)
    output, posterior, _ = multi(x, noise, torch.tensor([0.1, 0.5, 1.0, 3.0, 10.0]))
    expected, of_plain, _ = plain(x, noise)
    assert torch.equal(output, expected)
    assert torch.equal(posterior.mean, of_plain.mean)
    assert torch.equal(posterior.logvar, of_plain.logvar)


@pytest.mark.parametrize("fields", KINDS, ids=str)
@pytest.mark.parametrize("beta", [0.1, 0.7, 10.0])
def test_at_one_weight_it_is_a_plain_network(fields: dict[str, Any], beta: float) -> None:
    _, multi, x, noise = pair(fields)
    before = {name: weight.clone() for name, weight in conditioned(multi).state_dict().items()}
    view = multi.at(beta)
    assert view.config == ModelConfig(**fields)
    assert not any(parameter.requires_grad for parameter in view.parameters())
    output, posterior, _ = multi(x, noise, torch.full((5,), beta))
    torch.testing.assert_close(view(x, noise)[0], output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(view.encode(x).mean, posterior.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(view.encode(x).logvar, posterior.logvar, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(weight, before[name]) for name, weight in multi.state_dict().items())  # and changes nothing


def test_each_image_has_its_own_weight() -> None:
    _, multi, x, noise = pair({"depth": 1, "width": 8})
    betas = torch.tensor([0.1, 0.4, 1.0, 2.0, 10.0])
    together = conditioned(multi)(x, noise, betas).output
    alone = [multi(x[[at]], noise[[at]], betas[[at]])[0] for at in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
    other = multi(x, noise, betas.flip(0)).output
    assert [torch.allclose(*both, atol=1e-3) for both in zip(together, other, strict=True)] == [
        False,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"latent_dim": 2, "width": 16},
        {"latent_dim": 2, "width": 16, "depth": 1},
        {"latent_dim": 4},
        {"latent_dim": 64},
        {"latent_dim": 4, "depth": 1},
        {"latent_dim": 256, "depth": 2, "width": 64, "image_shape": (3, 32, 32)},
    ],
    ids=str,
)
def test_it_has_few_more_parameters(fields: dict[str, Any]) -> None:
    plain, multi = (
        sum(each.numel() for each in VAE(ModelConfig(**fields, multi_rate=kind)).parameters()) for kind in (False, True)
    )
    assert plain < multi < 1.05 * plain


def test_every_normalisation_head_and_the_decoders_input_are_conditioned() -> None:
    vae = VAE(ModelConfig(depth=1, latent_dim=6))
    found = sites(vae.encoder, vae.decoder)
    norms = [module for module in vae.modules() if isinstance(module, torch.nn.GroupNorm)]
    layers = [site.layer for site in found if not site.is_input]
    assert set(norms) | {vae.encoder.mean, vae.encoder.logvar} == set(layers)
    assert len(layers) == len(set(layers))
    assert [(site.layer, site.channels) for site in found if site.is_input] == [(vae.decoder.layers[0], 6)]


def test_a_linear_network_at_the_closed_form_gates_is_water_filling() -> None:
    """Posterior and decoder of the optimum at each weight differ by a scale for each latent alone, sqrt(1 - beta / l)
    times those of a weight near 0: what the conditioning has to learn."""
    rng = np.random.default_rng(0)
    eigenvalues = np.sort(rng.gamma(2.0, 2.0, 6))[::-1].copy()
    axes, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    covariance = axes @ np.diag(eigenvalues) @ axes.T
    for beta in np.geomspace(0.05, 0.9 * eigenvalues[0], 7):
        gate = np.sqrt(np.clip(1 - np.exp(np.log(beta) - np.log(eigenvalues)), 0, None))
        encoder = (gate / np.sqrt(eigenvalues))[:, None] * axes.T
        decoder = axes * (gate * np.sqrt(eigenvalues))
        variance = np.minimum(beta / eigenvalues, 1.0)
        left = np.eye(6) - decoder @ encoder
        distortion = 0.5 * (np.trace(left @ covariance @ left.T) + np.sum(decoder**2 * variance))
        means = np.diag(encoder @ covariance @ encoder.T)
        rate = 0.5 * np.sum(means + variance - 1 - np.log(variance))
        least = water_filling(eigenvalues, 6, np.array([beta]))
        assert distortion + beta * rate == pytest.approx(float((least.distortion + beta * least.rate)[0]), rel=1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"beta_range": (1.0, 1.0)}, "from 0.000001 to 1,000,000, the lower first, got 1 and 1"),
        ({"beta_range": (3.0, 0.5)}, "the lower first, got 3 and 0.5"),
        ({"beta_range": (0.0, 1.0)}, "the lower first, got 0 and 1"),
        ({"beta_range": (-1.0, 1.0)}, "got -1 and 1"),
        ({"beta_range": (1.0, math.inf)}, "got 1 and inf"),
        ({"beta_range": (1e-50, 1.0)}, "got 1e-50 and 1"),
        ({"beta_range": (True, 2.0)}, "beta_range.0"),
        ({"beta_range": ("0.1", 2.0)}, "beta_range.0"),
        ({"likelihood": "bernoulli", "binarise": "fixed"}, "binarise must be none with multi_rate, got fixed"),
        ({"likelihood": "bernoulli"}, "likelihood must be gaussian with multi_rate, got bernoulli"),
        (
            {"multi_rate": False, "beta_range": (0.5, 2.0)},
            "beta_range must be left out without multi_rate, got 0.5 and 2",
        ),
    ],
)
def test_a_wrong_range_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        ModelConfig(**{"multi_rate": True} | fields)


def test_a_weight_beyond_the_range_is_refused_and_none_at_all() -> None:
    _, multi, x, noise = pair({"width": 4})
    for beta in (0.09, 10.1, math.nan, "0.3", True):
        rule = "beta must be a number within the network's beta_range, 0.1 to 10"
        with pytest.raises(ValueError, match=f"{rule}, got {beta!r}"):
            multi.at(beta)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"take model.at\(beta\)"):
        multi.encode(x)
    with pytest.raises(ValueError, match=r"take model.at\(beta\)"):
        multi.decode(noise)
    with pytest.raises(ValueError, match=r"take model.at\(beta\)"):
        multi(x, noise)
    plain = VAE(ModelConfig(width=4))
    with pytest.raises(ValueError, match="this one was trained at its own"):
        plain.at(1.0)
    with pytest.raises(ValueError, match="a network for one KL weight is given none"):
        plain(x, noise, torch.ones(5))
