"""What makes training fast must not change what is trained: curves against a plain loop and lone runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.commands import TIMES
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.datasets import load_dataset
from trainables.metrics import Metrics
from trainables.training import loop, optimization
from trainables.training.batches import Pixels
from trainables.training.loop import Epoch, NonFiniteError, Run, alike, fit, generator, next_epochs, seeded_vae
from trainables.training.process_group import World
from vae_models import VAE, ModelConfig
from vae_models.blocks import UpConv

STEPS = 100
CURVE = TrialConfig(model=ModelConfig(width=8, latent_dim=4), batch_size=10, epochs=1, lr=3e-3)
BF16_BAND = 0.02
"""How far a step's loss in bfloat16 may be from that in float32, relative, over 100 steps."""


def digits(count: int = STEPS * CURVE.batch_size) -> np.ndarray:
    return load_dataset("digits", None, None).train.images[:count]


def losses_of(config: TrialConfig, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the loop's loss is at each step, in nats per image."""
    found: list[float] = []
    loss = loop.Pass.loss

    def noted(self: loop.Pass, *args: object) -> torch.Tensor:
        value = loss(self, *args)  # type: ignore[arg-type]
        found.append(value.item() * config.model.dimensions)
        return value

    with monkeypatch.context() as patch:
        patch.setattr(loop.Pass, "loss", noted)
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
    order = torch.randperm(len(images), generator=generator(config, 0, torch.device("cpu")))
    noise = generator(config, 0, torch.device("cpu"))
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


def curve(config: TrialConfig) -> list[Metrics]:
    return [epoch.metrics for epoch in fit(config, Pixels(digits(210)), Pixels(digits(60)))]


def run(config: TrialConfig) -> Run:
    return Run(config, Pixels(digits(210)), Pixels(digits(60)))


PACK = TrialConfig(model=ModelConfig(width=8, latent_dim=4), batch_size=50, epochs=3)


@pytest.mark.parametrize("depth", [0, 1])
def test_runs_trained_together_have_the_curves_they_have_alone(depth: int) -> None:
    """Whatever they differ in, and when one has ended before the others."""
    base = PACK.replace({"model.depth": depth})
    configs = [
        base,
        base.replace({"beta": 4.0, "seed": 1, "kl_warmup": 0.5}),
        base.replace({"lr": 5e-3, "seed": 2, "epochs": 2, "optimizer": "adam", "schedule": "constant"}),
        base.replace({"beta": 0.1, "seed": 3, "schedule": "plateau", "grad_clip": 0.01, "weight_decay": 0.1}),
    ]
    assert len(set(map(alike, configs))) == 1
    runs = [run(config) for config in configs]
    while left := [each for each in runs if not each.is_done]:
        next_epochs(left)
    for each, config in zip(runs, configs, strict=True):
        alone = curve(config)
        assert len(each.history) == len(alone) == config.epochs
        for ours, theirs in zip(each.history, alone, strict=True):
            for name in ours.keys() - TIMES:
                assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-6), name


def test_runs_in_bfloat16_can_be_trained_together() -> None:
    configs = [PACK.replace({"precision": "bf16", "seed": seed}) for seed in (0, 1)]
    runs = [run(config) for config in configs]
    while not runs[0].is_done:
        next_epochs(runs)
    for each, config in zip(runs, configs, strict=True):
        ours, alone = ([row["val_nelbo"] for row in rows] for rows in (each.history, curve(config)))
        np.testing.assert_allclose(ours, alone, rtol=BF16_BAND)


def test_a_run_that_diverges_leaves_those_beside_it_alone() -> None:
    good, bad = run(PACK), run(PACK.replace({"seed": 1}))
    nn.init.constant_(bad.model.encoder.mean.bias, math.nan)
    first, second = next_epochs([good, bad])
    assert isinstance(first, Epoch)
    assert isinstance(second, NonFiniteError)
    assert (len(good.history), len(bad.history)) == (1, 0)
    assert first.metrics["val_nelbo"] == pytest.approx(curve(PACK)[0]["val_nelbo"], rel=1e-3)


@pytest.mark.parametrize(
    "field", ["model.latent_dim", "model.depth", "batch_size", "limit_train", "precision", "model.likelihood"]
)
def test_what_shapes_a_step_keeps_runs_apart(field: str) -> None:
    other = {"precision": "bf16", "model.likelihood": "laplace"}.get(field, 2)
    assert alike(PACK) != alike(PACK.replace({field: other}))


@pytest.mark.parametrize(
    ("device", "steps", "wanted", "compiles"),
    [
        ("cpu", 10**9, None, False),
        ("cpu", 1, True, True),
        ("cuda", 10**9, None, True),
        ("cuda", 100, None, False),
        ("cuda", 10**9, False, False),
    ],
)
def test_a_model_is_compiled_where_that_pays_or_it_is_told_to(
    device: str, steps: int, wanted: bool | None, compiles: bool
) -> None:
    world = World(device=torch.device(device))
    assert optimization.pays_to_compile(PACK.replace({"compile": wanted}), world, steps) == compiles
