"""The rate's two parts against those of Gaussians."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from analysis.measures.codes import latent_rates
from analysis.measures.information import information, log_mixture
from analysis.measures.test_metrics import tables
from vae_models.priors import Posterior, StandardNormal, VampPrior


def test_the_two_parts_of_the_rate_are_those_of_gaussians() -> None:
    """With q(z | x) = N(m, s^2) and m ~ N(0, t^2), q(z) is N(0, t^2 + s^2): both parts are known."""
    count, spread, width = 4000, np.array([1.5, 0.5]), np.array([0.5, 0.9])
    mean = spread * np.random.default_rng(1).standard_normal((count, 2))
    logvar = np.broadcast_to(2 * np.log(width), mean.shape)
    found = information(mean, logvar)
    total = spread**2 + width**2
    assert found["mutual_information"] == pytest.approx(0.5 * np.log(total / width**2).sum(), abs=0.06)
    assert found["marginal_kl"] == pytest.approx(0.5 * (total - 1 - np.log(total)).sum(), abs=0.08)
    rate = latent_rates(mean, logvar).sum()
    assert found["mutual_information"] + found["marginal_kl"] == pytest.approx(rate, rel=1e-12)


def test_the_mixture_of_posteriors_is_that_of_torch_s_distributions() -> None:
    rng = np.random.default_rng(2)
    z, mean, logvar = (torch.from_numpy(rng.standard_normal((7, 3))) for _ in range(3))
    each = Independent(Normal(mean, (0.5 * logvar).exp()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(7)), each)
    expected = mixture.log_prob(z) + 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log_mixture(z, mean, logvar), expected)


def test_the_errors_of_the_two_parts_are_their_spread_over_seeds_and_images() -> None:
    def draw(seed: int) -> dict[str, float]:
        mean = np.random.default_rng([3, seed]).standard_normal((400, 2)) * [0.8, 0.3]
        return information(mean, np.log([[0.36, 0.9]] * 400), seed)

    draws = [draw(seed) for seed in range(200)]
    for name in ("mutual_information", "marginal_kl"):
        spread = np.std([found[name] for found in draws])
        assert np.mean([found[f"{name}_error"] for found in draws]) == pytest.approx(spread, rel=0.2)


def test_the_marginal_kl_is_to_the_prior_that_the_model_has() -> None:
    """To the aggregate posterior itself it is 0, of every image; the mutual information does not depend on it."""
    rng = np.random.default_rng(4)
    mean, logvar = rng.standard_normal((300, 3)), -rng.random((300, 3))
    own = VampPrior(Posterior(torch.from_numpy(mean), torch.from_numpy(logvar)))
    found, standard = information(mean, logvar, prior=own), information(mean, logvar, prior=StandardNormal(3))
    assert found["marginal_kl"] == pytest.approx(0, abs=1e-9)
    assert found["marginal_kl_error"] == pytest.approx(0, abs=1e-9)
    assert found["mutual_information"] == standard["mutual_information"]
    assert standard == information(mean, logvar)
    # of one component it is that of Gaussians, with q(z) = N(0, t^2 + s^2)
    mean = rng.standard_normal((4000, 1))
    shifted = VampPrior(Posterior(torch.tensor([[0.5]]).double(), torch.tensor([[math.log(3.0)]]).double()))
    found = information(mean, np.full((4000, 1), math.log(0.5)), prior=shifted)
    expected = kl_divergence(Normal(0.0, math.sqrt(1.5)), Normal(0.5, math.sqrt(3.0)))
    assert found["marginal_kl"] == pytest.approx(float(expected), abs=5 * found["marginal_kl_error"] + 0.02)


def test_too_few_images_bound_the_two_parts_which_the_page_says() -> None:
    """q(z) is N(0, I) exactly, so that all the rate is mutual information: more of it than log N."""
    spread = 0.95
    mean = spread * np.random.default_rng(0).standard_normal((500, 20))
    found = information(mean, np.full(mean.shape, np.log(1 - spread**2)))
    truth = -0.5 * 20 * np.log(1 - spread**2)
    assert truth > 20
    assert found["mutual_information"] == pytest.approx(found["mutual_information_cap"])
    assert found["marginal_kl"] > 15
    assert shown(found) == (f"≥ {found['mutual_information']:.2f}", f"≤ {found['marginal_kl']:.2f}")
    far = found | {"mutual_information": found["mutual_information_cap"] - 1.01}
    assert re.fullmatch(r"\d+\.\d\d ± 0\.\d\d", shown(far)[0])


def shown(measured: dict[str, float]) -> tuple[str, str]:
    """The mutual information and the marginal KL on the page."""
    rows = {label: value for label, value, _ in tables(measured)["The code"]}
    return rows["mutual information of image and code"], rows["aggregate posterior to the prior, KL"]


def test_the_information_of_images_told_apart_is_the_log_of_their_number() -> None:
    mean = 1000 * np.arange(500.0)[:, None]
    found = information(mean, np.zeros((500, 1)))
    assert found["mutual_information"] == pytest.approx(found["mutual_information_cap"])
    assert found["mutual_information_cap"] == pytest.approx(math.log(500))
    collapsed = information(np.zeros((500, 3)), np.zeros((500, 3)))
    assert collapsed["mutual_information"] == pytest.approx(0, abs=1e-9)
    assert collapsed["marginal_kl"] == pytest.approx(0, abs=1e-9)
