"""The training loop against an uninterrupted run, one process, and probabilistic PCA."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import TIMES, timeless
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.datasets import load_dataset
from trainables.errors import UserError, explain
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder
from trainables.training import checkpoint, loop, rates
from trainables.training.batches import Pixels
from trainables.training.local import train_local
from trainables.training.loop import NonFiniteError, fit
from trainables.training.optimization import Schedule
from trainables.training.process_group import Turns
from trainables.training.trial import train
from vae_models import VAE, ModelConfig
from vae_models.blocks import Layers
from vae_models.likelihoods import Likelihood
from vae_models.priors import Posterior

SMALL = ModelConfig(width=4, latent_dim=3)
CONFIG = TrialConfig(model=SMALL, epochs=4, batch_size=50, limit_train=210, limit_val=60)
VAMP = {"model.prior": "vamp", "model.pseudo_inputs": 7}
BOUND = {"importance_samples": 3}


def some_images(count: int = 96) -> Pixels:
    return Pixels(np.random.default_rng(0).integers(0, 256, (count, 1, 28, 28), dtype=np.uint8))


def weights(folder: TrialFolder) -> dict[str, Tensor]:
    return checkpoint.load_weights(folder.best)[0].state_dict()


@pytest.mark.heavy
@pytest.mark.parametrize(
    "fields",
    [
        *({"schedule": schedule, "kl_warmup": 0.5} for schedule in ("cosine", "plateau", "constant", "burda")),
        {"model.multi_rate": True},
        VAMP | {"kl_warmup": 0.5},
        BOUND,
        VAMP | BOUND,
        {"free_bits": 0.5, "beta": 2.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, fields: dict[str, Any], stop: int) -> None:
    config = CONFIG.replace(fields)
    whole, cut = TrialFolder(tmp_path / "whole"), TrialFolder(tmp_path / "cut")
    expected = timeless(train(config, whole))
    first = train(config, cut)
    rows = timeless(next(first) for _ in range(stop))
    first.close()
    torch.randn(17)  # the global generator is nobody's
    rows += timeless(train(config, cut, recorded=stop))
    assert rows == expected
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(cut)[name])


def test_a_torn_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    expected = timeless(train(CONFIG, folder))
    newest, before = checkpoint.states(folder.checkpoints)
    content = newest.read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], b"", b"\0" + content[1:]):
        newest.write_bytes(damaged)
        state = checkpoint.load_latest(folder.checkpoints, CONFIG, "cpu")
        assert state is not None
        assert len(state["history"]) == 3
    before.write_bytes(b"junk")
    assert checkpoint.load_latest(folder.checkpoints, CONFIG, "cpu") is None
    assert timeless(train(CONFIG, folder)) == expected


def test_epochs_in_the_checkpoint_that_nobody_recorded_are_told_again(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    expected = list(train(CONFIG, folder))
    assert list(train(CONFIG, folder, recorded=2)) == expected[2:]
    assert list(train(CONFIG, folder, recorded=4)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 50},
        {"batch_size": 51, "model.multi_rate": True},
        {"batch_size": 51} | VAMP,
        {"batch_size": 51} | BOUND,
        # about half of the latents' rates begin below it, in the mean over a batch; few in the mean over a part of one
        {"batch_size": 51, "free_bits": 0.02},
    ],
    ids=str,
)
@pytest.mark.slow
def test_two_workers_equal_one_on_the_same_global_batch(tmp_path: Path, fields: dict[str, Any]) -> None:
    config = CONFIG.replace({"epochs": 2} | fields)
    one, two = TrialFolder(tmp_path / "one"), TrialFolder(tmp_path / "two")
    alone = list(train_local(config, one, None, workers=1))
    together = list(train_local(config, two, None, workers=2))
    assert len(alone) == len(together) == 2
    for a, b in zip(alone, together, strict=True):
        for name in a.keys() - TIMES:
            assert b[name] == pytest.approx(a[name], rel=2e-3, abs=1e-6), name
    for name, tensor in weights(one).items():
        torch.testing.assert_close(tensor, weights(two)[name], rtol=1e-2, atol=2e-3)


def test_training_depends_on_its_seed_alone() -> None:
    config = TrialConfig(model=SMALL, epochs=1, batch_size=32)

    def run(seed: int, noise: int) -> list[Metrics]:
        torch.manual_seed(noise)
        (epoch,) = fit(config.replace({"seed": seed}), some_images(), some_images(32))
        return timeless([epoch.metrics])

    assert run(0, 1) == run(0, 2)
    assert run(0, 1) != run(1, 1)


def test_bf16_and_every_likelihood_train() -> None:
    for fields in ({"precision": "bf16"}, {"model.likelihood": "bernoulli"}, {"model.likelihood": "laplace"}):
        config = TrialConfig(model=SMALL, epochs=3, batch_size=32, lr=3e-3).replace(fields)
        losses = [epoch.metrics["train_loss"] for epoch in fit(config, some_images(), some_images(32))]
        assert losses[-1] < losses[0], fields


def test_a_nan_ends_the_trial_at_its_first_epoch_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: TrialConfig) -> VAE:
        vae = VAE(config.model)
        nn.init.constant_(vae.decoder.layers[-1].bias, math.nan)  # type: ignore[arg-type]
        return vae

    monkeypatch.setattr(loop, "seeded_vae", broken)
    with pytest.raises(NonFiniteError, match="non-finite at epoch 1: train_loss = nan"):
        next(fit(TrialConfig(model=SMALL, batch_size=32), some_images(), some_images(32)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["weight", "gradient", "metric"])
def test_a_non_finite_number_ends_a_trial_in_the_epoch_that_has_it(
    where: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = fit(TrialConfig(model=SMALL, batch_size=32, epochs=3), some_images(), some_images(32))
    model = next(epochs).model
    bias = model.decoder.layers[-1].bias
    if where == "weight":
        nn.init.constant_(next(model.encoder.parameters()), value)
    elif where == "gradient":
        bias.register_hook(lambda gradient: gradient * value)  # type: ignore[operator]
    else:
        whole = rates.validated

        def spoilt(*arguments: Any) -> Turns[Metrics]:
            return (yield from whole(*arguments)) | {"val_mse": value}

        monkeypatch.setattr(rates, "validated", spoilt)
    cause = {"weight": "train_loss", "gradient": "grad_norm", "metric": f"val_mse = {value}"}[where]
    with pytest.raises(NonFiniteError, match=f"non-finite at epoch 2: .*{cause}"):
        next(epochs)


def test_kl_warmup_is_linear_over_its_share_of_the_epochs() -> None:
    config = TrialConfig(beta=4.0, epochs=10, kl_warmup=0.5)
    assert [config.beta_at(e) for e in (0, 2.5, 5, 10)] == [0, 2, 4, 4]
    assert TrialConfig(beta=4.0).beta_at(0) == 4


def test_a_latent_below_its_free_bits_has_no_gradient_of_the_rate() -> None:
    """All of them free: the rate that is reported is the real one, and the loss counts what is free."""
    (free,) = fit(TrialConfig(model=SMALL, epochs=1, batch_size=32, free_bits=9.0), some_images(), some_images(32))
    (plain,) = fit(TrialConfig(model=SMALL, epochs=1, batch_size=32, beta=0), some_images(), some_images(32))
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(free.model.state_dict()[name], tensor)
    assert free.metrics["train_rate"] == plain.metrics["train_rate"] < 9
    assert free.metrics["val_rate"] == plain.metrics["val_rate"]
    expected = free.metrics["train_distortion"] + 9.0 * SMALL.latent_dim
    assert free.metrics["train_loss"] == pytest.approx(expected, rel=1e-6)


def test_free_bits_keep_latents_from_collapsing() -> None:
    images = Pixels(load_dataset("digits").train.images[:320])
    config = TrialConfig(model=SMALL, epochs=8, batch_size=32, beta=50.0, lr=3e-3, schedule="constant")
    *_, plain = fit(config, images, images)
    *_, free = fit(config.replace({"free_bits": 1.0}), images, images)
    assert plain.metrics["train_rate"] < 0.5
    assert free.metrics["train_rate"] == pytest.approx(SMALL.latent_dim, rel=0.2)


def test_the_bound_s_loss_is_below_its_parts_and_falls() -> None:
    config = TrialConfig(model=SMALL, epochs=5, batch_size=32, lr=3e-3, importance_samples=5)
    rows = [epoch.metrics for epoch in fit(config, some_images(), some_images(32))]
    for row in rows:
        assert row["train_loss"] < row["train_distortion"] + row["train_rate"]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


@pytest.mark.parametrize("fields", [{}, {"model.activation": "gated", "model.architecture": "mlp", "model.width": 32}])
def test_a_vamp_prior_trains_and_says_how_sure_its_rate_is(fields: dict[str, Any]) -> None:
    config = TrialConfig(model=SMALL, epochs=5, batch_size=32, lr=3e-3).replace(VAMP | fields)
    epochs = list(fit(config, some_images(), some_images(32)))
    assert epochs[-1].metrics["train_loss"] < epochs[0].metrics["train_loss"]
    row, model = epochs[-1].metrics, epochs[-1].model
    x = some_images(32).at(torch.arange(32))
    with torch.no_grad():
        noise = torch.randn(2000, 32, SMALL.latent_dim, generator=torch.Generator().manual_seed(0))
        rates = model.prior().rate(model.encode(x), noise).double()
    error = float(rates.var(0).mean() / 32) ** 0.5  # of a mean over 32 images of one sample each
    assert row["val_rate_error"] == pytest.approx(error, rel=0.5)
    assert abs(row["val_rate"] - float(rates.mean())) < 4 * error


def test_a_rate_in_closed_form_has_no_error() -> None:
    (epoch,) = fit(TrialConfig(model=SMALL, epochs=1, batch_size=32), some_images(), some_images(32))
    assert epoch.metrics["val_rate_error"] == 0


def test_the_learning_rate_of_burda_falls_in_eight_stages() -> None:
    """Burda et al. 2016, arXiv:1509.00519, section 5: 3^i epochs at 0.001 10^(-i/7)."""
    config = TrialConfig(schedule="burda", epochs=3280, lr=1e-3)
    schedule = Schedule(config, 2, ())
    expected = [1e-3 * 10 ** (-stage / 7) for stage in range(8) for _ in range(3**stage)]
    for epoch, rate in enumerate(expected):
        assert schedule.rates(epoch) == [pytest.approx(rate, rel=1e-12)] * 2
    assert schedule.rates(3279)[-1] == pytest.approx(1e-4)
    # of another length in proportion: stages end after shares 1/3280, 4/3280, ..., 1093/3280 of all steps
    ten = Schedule(config.replace({"epochs": 10}), 328, ())
    rates = [rate for epoch in range(10) for rate in ten.rates(epoch)]
    np.testing.assert_allclose(rates, expected)


class LinearEncoder(nn.Module):
    """The exact form of a linear Gaussian model's posterior: a linear mean, one covariance for all."""

    def __init__(self, dimensions: int, latents: int) -> None:
        super().__init__()
        self.mean = nn.Linear(dimensions, latents)
        self.logvar = nn.Parameter(torch.zeros(latents))

    def forward(self, x: Tensor, films: None = None) -> Posterior:
        mean = self.mean(4 * (x.flatten(1) - 0.5))
        return Posterior(mean, self.logvar.expand_as(mean))


class FixedGaussian(Likelihood):
    """N(0.5 + output / 4, sigma^2) on pixels in [0, 1]."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def mean(self, output: Tensor) -> Tensor:
        return 0.5 + output / 4

    def distortion(self, output: Tensor, x: Tensor) -> Tensor:
        return -torch.distributions.Normal(self.mean(output), self.sigma).log_prob(x).flatten(1).sum(1)


@pytest.mark.heavy
def test_a_linear_vae_reaches_the_likelihood_of_probabilistic_pca(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its optimum a linear VAE's ELBO is the marginal likelihood of pPCA (Lucas et al. 2019,
    arXiv:1911.02469), which Tipping & Bishop 1999 give in closed form from the covariance's eigenvalues."""
    rng = np.random.default_rng(1)
    latents, dimensions, sigma = 3, 64, 20 / 255
    factors = rng.normal(size=(2000, latents)) * [60, 40, 25]
    basis = np.linalg.qr(rng.normal(size=(dimensions, latents)))[0]
    pixels = 127.5 + factors @ basis.T + rng.normal(size=(2000, dimensions)) * 20
    images = np.clip(np.rint(pixels), 0, 255).astype(np.uint8).reshape(-1, 1, 8, 8)

    eigenvalues = np.linalg.eigvalsh(np.cov(images.reshape(2000, -1).T / 255, bias=True))[::-1]
    kept, rest = eigenvalues[:latents], eigenvalues[latents:]
    expected = 0.5 * (
        dimensions * math.log(2 * math.pi)
        + (np.log(kept) + 1).sum()
        + (dimensions - latents) * math.log(sigma**2)
        + rest.sum() / sigma**2
    )

    def linear(config: TrialConfig) -> VAE:
        torch.manual_seed(config.seed)
        vae = VAE(config.model)
        vae.encoder = LinearEncoder(dimensions, latents)  # type: ignore[assignment]
        vae.decoder = Layers(nn.Linear(latents, dimensions), nn.Unflatten(1, (1, 8, 8)))  # type: ignore[assignment]
        vae.likelihood = FixedGaussian(sigma)
        return vae

    monkeypatch.setattr(loop, "seeded_vae", linear)
    model = ModelConfig(image_shape=(1, 8, 8), width=4, latent_dim=latents)
    config = TrialConfig(model=model, epochs=120, batch_size=200, lr=0.06, grad_clip=1e3)
    *_, last = fit(config, Pixels(images), Pixels(images))
    elbo = last.metrics["val_distortion"] + last.metrics["val_rate"]
    assert elbo == pytest.approx(expected, abs=0.15)  # of some -50 nats; the noise sample's error is 0.1


@pytest.mark.slow
@pytest.mark.real_data
def test_a_deep_network_does_not_paint_all_black_at_a_high_learning_rate() -> None:
    """Of digits, that are black but for their strokes. These draws did without the decoder's last norm: 46
    steps took every pixel to black (mse 0.111; the mean image has 0.067), where tanh has no gradient left."""
    try:
        images = load_dataset("mnist", may_download=False).train.images
    except UserError as error:
        pytest.skip(str(error))
    rows = np.random.default_rng(0).permutation(len(images))
    training, validation = Pixels(images, rows[:5888]), Pixels(images, rows[-500:])
    for latent_dim, beta, seed in ((8, 0.7, 3), (64, 0.4, 9)):
        model = ModelConfig(latent_dim=latent_dim, depth=1)
        (epoch,) = fit(TrialConfig(model=model, beta=beta, lr=2e-3, epochs=1, seed=seed), training, validation)
        assert epoch.metrics["val_mse"] < 0.068


def test_overrides_are_checked_paths() -> None:
    config = TrialConfig()
    assert config.replace({"model.depth": 1, "beta": 2}).model.depth == 1
    with pytest.raises(
        ValueError, match=r"'model\.detph' is no field of ModelConfig\ndid you mean model\.depth\? its fields: .*depth"
    ):
        config.replace({"model.detph": 1})
    with pytest.raises(ValueError, match="'optimiser' is no field of TrialConfig"):
        config.replace({"optimiser": "adam"})
    with pytest.raises(ValueError, match=r"model\.latent_dim") as refused:
        config.replace({"model.latent_dim": 0})
    assert explain(refused.value) == "model.latent_dim must be at least 1, got 0"  # type: ignore[arg-type]
