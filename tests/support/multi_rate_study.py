"""A folder of a study of multi-rate networks, each trained for real, though hardly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution
from support.analysis_fixture import Made, best_of, write_ledger

from trainables.config import TrialConfig
from trainables.data.datasets import training_images
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder
from trainables.training.batches import Pixels
from trainables.training.checkpoint import save_weights
from trainables.training.loop import fit
from vae_models import ModelConfig

MODEL = ModelConfig(width=8, latent_dim=6, multi_rate=True, beta_range=(0.1, 10.0))
BASE = TrialConfig(model=MODEL, dataset="digits", epochs=2, limit_train=192, limit_val=64, lr=3e-3)
SPACE = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "model.latent_dim": IntDistribution(2, 32, log=True),
    "model.depth": IntDistribution(0, 1),
}
EPOCHS = {"FAIL": 0, "WAITING": 0, "PRUNED": 1, "RUNNING": 1}  # of what is not complete


def drawn(latent_dim: int, depth: int = 0, lr: float = 3e-3) -> dict[str, Any]:
    return {"lr": lr, "model.latent_dim": latent_dim, "model.depth": depth}


TWO = [Made("COMPLETE", drawn(6)), Made("COMPLETE", drawn(3))]


def trained(record: TrialFolder, config: TrialConfig, epochs: int) -> list[Metrics]:
    """The first epochs of a training, which ``record`` keeps as a study does."""
    images, rows, _, held_out = training_images(config)
    record.checkpoints.mkdir(exist_ok=True)
    told: list[Metrics] = []
    for epoch in islice(fit(config, *(Pixels(images, each) for each in (rows, held_out))), epochs):
        told.append(epoch.metrics)
        record.append(epoch.metrics)
        if best_of(told, config) is epoch.metrics:
            save_weights(record.best, epoch.model.config, epoch.model.state_dict(), epoch.metrics)
    return told


def multi_rate_study(
    folder: Path, made: Sequence[Made] = TWO, base: TrialConfig = BASE, name: str = "digits_vae_multi_rate"
) -> Path:
    """Trials that ended in their order; those that failed trained nothing, and those that were pruned an epoch."""
    configs = [base.of_trial(number, each.params) for number, each in enumerate(made)]
    best: list[Metrics] = []
    aside = folder.with_name(f"{folder.name}.trials")  # the ledger makes the folder
    aside.mkdir(parents=True)
    for number, (each, config) in enumerate(zip(made, configs, strict=True)):
        record = TrialFolder(aside / f"{number:04d}")
        record.create(config)
        told = trained(record, config, EPOCHS.get(each.state, config.epochs))
        best.append(best_of(told, config) if told else {})
    write_ledger(folder, made, name=name, base=base, space=SPACE, objective="multi_rate", best=best)
    aside.rename(folder / "trials")
    return folder
