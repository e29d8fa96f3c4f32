from __future__ import annotations

from trainables.config import TrialConfig
from trainables.metrics import EPOCH, VALIDATION
from trainables.training.loop import fit
from trainables.training.trial import load_pixels
from vae_models import ModelConfig


def test_an_epoch_measures_what_the_registry_says() -> None:
    config = TrialConfig(model=ModelConfig(width=4, latent_dim=3), epochs=1, limit_train=64, limit_val=32)
    (epoch,) = fit(config, *load_pixels(config, None, "cpu"))
    measured = [metric for metric in EPOCH if metric.name != "val_relative_loss"]  # of multi-rate networks alone
    assert epoch.metrics.keys() == {metric.name for metric in measured}
    for metric in measured:
        value = epoch.metrics[metric.name]
        assert not metric.whole or value == round(value)
        assert metric.least is None or value >= metric.least


def test_what_is_missed_in_a_record_is_what_the_first_version_measured() -> None:
    assert {metric.name for metric in EPOCH if not metric.since} == {
        *("epoch", "train_loss", "train_distortion", "train_rate", "grad_norm", "images_per_second"),
        *("val_bits_per_dim", "val_nelbo", "val_rate", "val_distortion", "val_mse", "val_active_units"),
        *("sigma", "lr", "epoch_seconds"),
    }
    assert VALIDATION[:2] == ("val_bits_per_dim", "val_nelbo")
