"""What makes training fast must not change what is trained: curves against a plain loop and lone runs."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.commands import timeless
from support.turns import in_turns
from torch import Tensor, nn
from torch._dynamo import OptimizedModule

from trainables.config import TrialConfig
from trainables.data.datasets import load_dataset
from trainables.metrics import Metrics
from trainables.training.batches import Pixels
from trainables.training.loop import Run, epoch_seed, fit, seeded_vae
from trainables.training.optimization import trained_module
from trainables.training.process_group import ALONE, SharedClock, World
from trainables.training.step import Step
from vae_models import VAE, ModelConfig
from vae_models.blocks import UpConv
from vae_models.elbo import Loss

STEPS = 100
CURVE = TrialConfig(model=ModelConfig(width=8, latent_dim=4), batch_size=10, epochs=1, lr=3e-3)
BF16_BAND = 0.02
"""How far a step's loss in bfloat16 may be from that in float32, relative, over 100 steps."""


def digits(count: int = STEPS * CURVE.batch_size) -> np.ndarray:
    return load_dataset("digits", None, None).train.images[:count]


def losses_of(config: TrialConfig, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the loop's loss is at each step, in nats per image."""
    found: list[float] = []
    loss = Step._loss

    def noted(self: Step) -> Loss:
        value = loss(self)
        found.append(value.total.mean().item())
        return value

    with monkeypatch.context() as patch:
        patch.setattr(Step, "_loss", noted)
        list(fit(config, Pixels(digits()), Pixels(digits(20))))
    return found


def plain_decoder(model: VAE, z: Tensor) -> Tensor:
    for layer in model.decoder.layers:
        if isinstance(layer, UpConv):
            z = F.conv2d(F.interpolate(z, scale_factor=2), layer.weight, layer.bias, padding=1)
        else:
            z = layer(z)
    return torch.tanh(z)


def plain_losses(config: TrialConfig) -> list[float]:
    """The same training as a plain script writes it: float images, one eager pass, Adam, a cosine."""
    images = torch.tensor(digits()).float() / 255
    model = seeded_vae(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch_seed(config, 0)))
    noise = torch.Generator().manual_seed(epoch_seed(config, 0))
    found = []
    for step in range(STEPS):
        x = 2 * images[order[step * config.batch_size : (step + 1) * config.batch_size]] - 1
        features = model.encoder.features(x)
        mean, logvar = model.encoder.mean(features), 12 * torch.tanh(model.encoder.logvar(features) / 12)
        z = mean + (logvar / 2).exp() * torch.randn(mean.shape, generator=noise)
        squares = (plain_decoder(model, z) - x).square().flatten(1).sum(1)
        distortion = (squares + config.model.dimensions * math.log(2 * math.pi)) / 2
        nats = (mean**2 + logvar.exp() - logvar - 1).sum(1) / 2
        loss = (distortion + config.beta * nats).mean()
        optimizer.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * step / STEPS)) / 2
        optimizer.zero_grad()
        (loss / config.model.dimensions).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("depth", [0, 1])
def test_the_first_hundred_losses_are_those_of_a_plain_loop(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CURVE.replace({"model.depth": depth})
    ours, plain = losses_of(config, monkeypatch), plain_losses(config)
    assert len(ours) == STEPS
    assert plain[-1] < plain[0]
    np.testing.assert_allclose(ours, plain, rtol=1e-3)


def test_bfloat16_stays_within_its_band_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = losses_of(CURVE, monkeypatch)
    rough = losses_of(CURVE.replace({"precision": "bf16"}), monkeypatch)
    assert rough != exact
    np.testing.assert_allclose(rough, exact, rtol=BF16_BAND)


def some_digits() -> tuple[Pixels, Pixels]:
    return Pixels(digits(210)), Pixels(digits(60))


def curve(config: TrialConfig) -> list[Metrics]:
    return timeless(epoch.metrics for epoch in fit(config, *some_digits()))


PACK = TrialConfig(model=ModelConfig(width=8, latent_dim=4), batch_size=50, epochs=3)
VARIED = [
    PACK,
    PACK.replace({"beta": 4.0, "seed": 1, "kl_warmup": 0.5, "batch_size": 30}),
    PACK.replace({"lr": 5e-3, "seed": 2, "epochs": 2, "optimizer": "adam", "schedule": "constant", "model.depth": 1}),
    PACK.replace({"seed": 3, "schedule": "plateau", "grad_clip": 0.01, "weight_decay": 0.1, "precision": "bf16"}),
    PACK.replace({"seed": 4, "model.architecture": "mlp", "model.widths": (40,), "model.width": 32}),
    PACK.replace({"seed": 5, "model.prior": "vamp", "model.pseudo_inputs": 9}),
    PACK.replace({"seed": 6, "importance_samples": 4}),
]


def test_runs_in_turns_are_to_the_bit_what_they_are_alone() -> None:
    """Whatever they differ in: architecture, batches, how long they are."""
    shared = some_digits()
    runs = [Run(config, *shared) for config in VARIED]
    assert not in_turns(runs)
    for run, config in zip(runs, VARIED, strict=True):
        assert timeless(run.history) == curve(config), config


def test_a_run_that_diverges_leaves_those_beside_it_alone() -> None:
    shared = some_digits()
    good, bad = Run(PACK, *shared), Run(PACK.replace({"seed": 1}), *shared)
    nn.init.constant_(bad.model.encoder.mean.bias, math.nan)
    failed = in_turns([bad, good])
    assert failed.keys() == {0}
    assert failed[0].startswith("non-finite at epoch 1: train_loss = nan")
    assert timeless(good.history) == curve(PACK)


def test_a_shared_clock_counts_each_second_once() -> None:
    """A device that trainings share is held once: what each costs adds up to the time that has passed."""
    clock, shared = SharedClock(), some_digits()
    runs = [Run(PACK.replace({"seed": seed}), *shared, World(clock=clock)) for seed in range(3)]
    clock.share(len(runs))
    began = time.perf_counter()
    in_turns(runs)
    passed = time.perf_counter() - began
    cost = sum(row["cpu_seconds"] for run in runs for row in run.history) / torch.get_num_threads()
    assert 0.5 * passed < cost <= passed
    assert sum(row["epoch_seconds"] for run in runs for row in run.history) > 2 * cost


@pytest.mark.parametrize("wanted", [None, False, True])
def test_a_model_is_compiled_where_it_is_told_to(wanted: bool | None) -> None:
    config = PACK.replace({"compile": wanted})
    model = seeded_vae(config)
    assert isinstance(trained_module(config, model, ALONE), OptimizedModule) == bool(wanted)
