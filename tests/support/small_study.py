"""A study of small trials, and an epoch's row, for tests of its parts."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution, FloatDistribution

from studies.study import Study
from trainables.config import TrialConfig
from trainables.metrics import Metrics
from vae_models import ModelConfig

CONFIG = TrialConfig(model=ModelConfig(width=4, latent_dim=3), epochs=3, limit_train=200, limit_val=50)


def study(**fields: object) -> Study:
    space = {"beta": FloatDistribution(0.1, 10, log=True), "model.latent_dim": CategoricalDistribution((2, 4))}
    return Study(**{"name": "small", "base": CONFIG, "space": space, "trials": 4} | fields)  # type: ignore[arg-type]


def row(epoch: int, value: float, rate: float = 9.0) -> Metrics:
    """What a driver reads of an epoch; ``value`` stands for the bits per dimension, and for the distortion."""
    return {"epoch": epoch, "val_bits_per_dim": value, "val_distortion": value, "val_rate": rate, "epoch_seconds": 0.0}
