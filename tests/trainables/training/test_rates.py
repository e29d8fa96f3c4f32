"""Trainings at many KL weights: what is drawn, what an epoch measures, and what a linear one comes to."""

from typing import Any

import numpy as np
import pytest
import torch

from trainables.config import TrialConfig
from trainables.data.water_filling import water_filling
from trainables.errors import explain
from trainables.metrics import AT_EACH_RATE, EPOCH, RATES, at_rate
from trainables.training.batches import Pixels
from trainables.training.evaluate import calibrated_sigma, evaluate
from trainables.training.loop import fit
from trainables.training.process_group import World
from trainables.training.rates import ManyRates
from vae_models import ModelConfig

CONFIG = TrialConfig(model=ModelConfig(width=4, latent_dim=3, multi_rate=True), epochs=3, batch_size=32)


def gaussian_images(count: int, eigenvalues: np.ndarray) -> tuple[Pixels, np.ndarray]:
    """Images (N, 1, 8, 8) of a Gaussian whose covariance has about these eigenvalues, (64,), on pixels in [-1, 1], and
    the eigenvalues that they have."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.standard_normal((64, 64)))
    x = (rng.standard_normal((count, 64)) * np.sqrt(eigenvalues)) @ axes.T
    images = np.clip(np.round((x + 1) / 2 * 255), 0, 255).astype(np.uint8)
    found = np.linalg.eigvalsh(np.cov(images.T.astype(float) * 2 / 255 - 1, bias=True))[::-1]
    return Pixels(images.reshape(-1, 1, 8, 8)), found


IMAGES, EIGENVALUES = gaussian_images(2000, 1.5 * 0.7 ** np.arange(64))


def test_an_epoch_is_measured_at_weights_that_divide_the_range_evenly() -> None:
    config = CONFIG.replace({"model.beta_range": (0.02, 8.0)})
    assert config.betas == pytest.approx(np.geomspace(0.02, 8.0, RATES))
    assert (config.betas[0], config.betas[-1]) == (0.02, 8.0)
    assert config.main_beta == pytest.approx(0.4)
    assert TrialConfig(beta=3.0).betas == (3.0,)
    assert TrialConfig(beta=3.0).main_beta == 3.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"beta": 2.0}, "beta must be 1 with model.multi_rate, which is trained at every KL weight"),
        ({"kl_warmup": 0.5}, "kl_warmup must be 0 with model.multi_rate"),
        ({"definitions": 1}, "definitions must be 2 with model.multi_rate"),
    ],
)
def test_what_a_range_of_weights_leaves_no_room_for_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        CONFIG.replace(fields)
    assert "\n" not in explain(error.value)  # type: ignore[arg-type]


def test_each_batch_has_the_whole_range_and_a_loss_counts_by_what_is_to_be_had() -> None:
    rates = ManyRates(CONFIG, IMAGES)
    betas, weights = rates.draw(2, 400, 32, torch.Generator().manual_seed(5))
    assert betas.shape == weights.shape == (400, 32)
    assert float(betas.min()) == pytest.approx(0.1)
    assert float(betas.max()) == pytest.approx(10.0)
    inside = betas.log10()[(betas > 0.1001) & (betas < 9.999)]
    # uniform in the logarithm: its mean and variance, to 5 standard errors
    assert float(inside.mean()) == pytest.approx(0.0, abs=5 * 2 / np.sqrt(12 * len(inside)))
    assert float(inside.var()) == pytest.approx(4 / 12, rel=0.05)
    for batch in betas.log10():  # a stratum each: none is left out
        assert np.diff(np.sort(batch.numpy())).max() < 2 * 2 * 2.5 / 32 + 1e-6
    again = rates.draw(2, 400, 32, torch.Generator().manual_seed(5))
    assert torch.equal(again.betas, betas)
    found = water_filling(EIGENVALUES, 64, betas.flatten().double().numpy())
    optimum = found.distortion + betas.flatten().double().numpy() * found.rate
    products = weights.flatten().double().numpy() * optimum**1.75
    assert products == pytest.approx(np.full(products.shape, products[0]), rel=5e-3)


def test_training_begins_with_the_high_weights_and_comes_to_all() -> None:
    rates = ManyRates(CONFIG.replace({"epochs": 10}), IMAGES)
    drawn = [rates.draw(epoch, 50, 32, torch.Generator().manual_seed(5)).betas for epoch in range(10)]
    lowest = torch.cat(drawn).amin(1)
    least = 0.1 ** (1 - 2 * 0.3)  # 0.3 of the way from 0.1 to 10
    assert least < float(lowest[0]) < 1.2 * least
    assert [float(betas.max()) for betas in drawn] == pytest.approx([10.0] * 10)
    falls = lowest[:40].view(4, 10).mean(1)
    assert (falls[1:] < falls[:-1]).all()
    assert lowest[200:].numpy() == pytest.approx(np.full(300, 0.1))  # of ten epochs the first four are done


def test_an_epochs_row_has_each_weights_numbers_and_their_mean_over_the_optimum() -> None:
    validation = Pixels(np.random.default_rng(1).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8))
    config = CONFIG.replace({"model.image_shape": (1, 8, 8)})
    rows = [(epoch.metrics, epoch.model.state_dict()) for epoch in fit(config, IMAGES, validation)]
    (*_, epoch) = fit(config, IMAGES, validation)
    row = epoch.metrics
    assert row["val_relative_loss"] == rows[-1][0]["val_relative_loss"]
    assert row.keys() == {metric.name for metric in EPOCH} | {
        at_rate(name, place) for name in AT_EACH_RATE for place in range(RATES)
    }
    losses = []
    for place, beta in enumerate(config.betas):
        view = epoch.model.at(beta)
        sigma = calibrated_sigma(view, IMAGES.spread(100), World())
        found = evaluate(view, validation, sigma, World())
        assert row[at_rate("sigma", place)] == sigma
        for name in ("rate", "distortion", "mse", "bits_per_dim", "active_units"):
            assert row[at_rate(f"val_{name}", place)] == pytest.approx(found[name], rel=1e-5), name
        losses.append(found["distortion"] - config.model.distortion_constant + beta * found["rate"])
    assert row["val_rate"] == row[at_rate("val_rate", RATES // 2)]
    least = water_filling(EIGENVALUES, 64, np.array(config.betas))
    expected = np.mean(losses / (least.distortion + np.array(config.betas) * least.rate))
    assert row["val_relative_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("count", "shape"), [(12, (1, 80, 80)), (4, (3, 40, 40)), (200, (3, 40, 40)), (1, (1, 28, 28))], ids=str
)
def test_large_and_few_images_are_trained_too(count: int, shape: tuple[int, int, int]) -> None:
    images = Pixels(np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8))
    config = CONFIG.replace({"model.image_shape": shape, "epochs": 1})
    (epoch,) = fit(config, images, images)
    assert 0 < epoch.metrics["val_relative_loss"] < 1e9


def test_images_that_are_all_the_same_are_trained_too() -> None:
    (*_, epoch) = fit(CONFIG, *2 * [Pixels(np.zeros((40, 1, 28, 28), np.uint8))])
    assert np.isfinite(list(epoch.metrics.values())).all()


def test_the_optimum_of_large_images_is_of_the_latents_that_are_known() -> None:
    """A power-law spectrum of 4,900 numbers: what is beyond the known components is left as it is."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((4900, 40)))[0]
    scales = 40.0 / np.arange(1, 41)
    x = (rng.standard_normal((600, 40)) * np.sqrt(scales)) @ axes.T
    images = np.clip(np.round((x * 0.5 + 1) / 2 * 255), 0, 255).astype(np.uint8).reshape(-1, 1, 70, 70)
    rates = ManyRates(CONFIG.replace({"model.image_shape": (1, 80, 80)}), Pixels(images))
    signed = images.reshape(600, -1).astype(float) * 2 / 255 - 1
    centred = signed - signed.mean(0)
    eigenvalues = np.linalg.eigvalsh(centred @ centred.T / 600)  # all that are not 0
    betas = np.array([0.1, 1.0, 10.0])
    found = water_filling(eigenvalues[::-1], 60, betas)
    assert rates.optimum(betas) == pytest.approx(found.distortion + betas * found.rate, rel=0.02)


def test_the_best_epoch_is_that_of_the_lowest_mean() -> None:
    history = [
        {"epoch": 1.0, "val_relative_loss": 1.2, "val_distortion": 1.0, "val_rate": 1.0},
        {"epoch": 2.0, "val_relative_loss": 1.1, "val_distortion": 9.0, "val_rate": 9.0},
        {"epoch": 3.0, "val_relative_loss": 1.3, "val_distortion": 0.5, "val_rate": 0.5},
    ]
    assert CONFIG.best_row(history)["epoch"] == 2.0


@pytest.mark.heavy
@pytest.mark.usefixtures("one_thread")
def test_a_linear_network_on_linear_data_is_near_water_filling_at_every_weight() -> None:
    """Within 2 % of the lowest D + beta R; the smaller latents go off one after the other as the weight rises."""
    model = ModelConfig(
        architecture="linear", image_shape=(1, 8, 8), latent_dim=8, multi_rate=True, beta_range=(0.03, 0.8)
    )
    config = TrialConfig(model=model, epochs=120, batch_size=32, lr=0.003)
    (*_, epoch) = fit(config, IMAGES, IMAGES.spread(20))
    betas = np.array(config.betas)
    least = water_filling(EIGENVALUES, 8, betas)
    repeated = Pixels(IMAGES.images(), np.tile(np.arange(len(IMAGES)), 10))  # each time with noise of its own
    found = [evaluate(epoch.model.at(beta), repeated, 0.1, World()) for beta in config.betas]
    losses = np.array([row["distortion"] for row in found]) - model.distortion_constant
    losses += betas * np.array([row["rate"] for row in found])
    excess = losses / (least.distortion + betas * least.rate) - 1
    assert excess.max() < 0.02, excess
    assert excess.min() > -0.005, excess
    rates = [row["rate"] for row in found]
    assert rates == sorted(rates, reverse=True)
    units = [row["active_units"] for row in found]
    assert units == sorted(units, reverse=True)
    assert units[-1] < units[0]
    assert (np.array(units) >= least.active_units).all()  # none is lost that pays
