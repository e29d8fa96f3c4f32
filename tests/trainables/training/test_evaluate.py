"""What an evaluation leaves alone: the model, and what its likelihood has learnt from training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.config import TrialConfig
from trainables.records.trial_folder import BEST
from trainables.training import evaluate as module
from trainables.training.checkpoint import load_weights, save_weights
from trainables.training.evaluate import calibrated_sigma, evaluate
from trainables.training.loop import fit, seeded_vae
from trainables.training.process_group import World
from trainables.training.trial import load_pixels

MLP: dict[str, Any] = {"architecture": "mlp", "widths": (16,), "latent_dim": 2}
BASE = TrialConfig(dataset="digits", limit_train=120, limit_val=60, epochs=3, batch_size=40)


def config(**fields: Any) -> TrialConfig:
    return BASE.replace({f"model.{name}": value for name, value in {**MLP, **fields}.items()})


def test_a_variance_that_training_keeps_learns_nothing_from_an_evaluation() -> None:
    """The sigma-VAE's is a batch's own in training, and afterwards the one that it has kept."""
    _, validation = load_pixels(config(likelihood="optimal_gaussian"), None, "cpu")
    model = seeded_vae(config(likelihood="optimal_gaussian"))
    measured = evaluate(model.eval(), validation, 0.2, World())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert evaluate(model.train(), validation, 0.2, World()) == measured
    calibrated_sigma(model, validation, World())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert not any(part.training for part in model.eval().modules())
    evaluate(model, validation, 0.2, World())
    assert not any(part.training for part in model.modules())


def test_an_epoch_s_metrics_are_those_of_its_weights_as_they_are_kept(tmp_path: Path) -> None:
    train, validation = load_pixels(config(likelihood="optimal_gaussian"), None, "cpu")
    for epoch in fit(config(likelihood="optimal_gaussian"), train, validation):
        kept = seeded_vae(config(likelihood="optimal_gaussian"))
        kept.load_state_dict(epoch.model.state_dict())
        found = evaluate(kept.eval(), validation, epoch.metrics["sigma"], World())
        assert {f"val_{name}": value for name, value in found.items()}.items() <= epoch.metrics.items()
        assert epoch.model.training
        save_weights(tmp_path / BEST, kept.config, epoch.model.state_dict(), epoch.metrics)
        read, _ = load_weights(tmp_path / BEST)
        assert not any(part.training for part in read.modules())
        assert evaluate(read, validation, epoch.metrics["sigma"], World()) == found


@pytest.mark.heavy
@pytest.mark.parametrize("likelihood", ["gaussian", "beta_binomial"])
def test_nothing_else_knows_the_mode(likelihood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit: of the likelihoods that learn nothing beside their weights."""

    def trained() -> list[dict[str, float]]:
        asked = config(likelihood=likelihood)
        return [dict(epoch.metrics) for epoch in fit(asked, *load_pixels(asked, None, "cpu"))]

    def untimed(rows: list[dict[str, float]]) -> list[dict[str, float]]:
        return [{k: v for k, v in row.items() if "second" not in k} for row in rows]

    ours = trained()
    monkeypatch.setattr(module, "_evaluating", lambda _: torch.no_grad())
    assert untimed(trained()) == untimed(ours)
