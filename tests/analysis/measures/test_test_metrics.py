"""All metrics of a model of digits: that they are there, agree, and are declared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.analysis_fixture import BASE

from analysis.figures.files import draw_model
from analysis.figures.registry import ModelContext
from analysis.measures.codes import Codes, encode, posteriors
from analysis.measures.importance_weighted import iwae
from analysis.measures.test_metrics import PARTS, measure, tables, warnings
from trainables.data.datasets import Dataset, Split
from trainables.metrics import VALIDATION
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.loop import fit
from trainables.training.process_group import World
from vae_models import VAE, ModelConfig

KEYS = {
    "distortion",
    "rate",
    "nelbo",
    "bits_per_dim",
    "mse",
    "active_units",
    "probe_accuracy",
    "knn_accuracy",
    "silhouette",
    "mutual_information",
    "mutual_information_error",
    "marginal_kl",
    "marginal_kl_error",
    "mutual_information_cap",
    "kl_largest",
    "kl_median",
    "log_likelihood",
    "log_likelihood_error",
    "log_likelihood_images",
    "log_likelihood_samples",
    "effective_samples",
    "lost_nats",
    "amortisation_gap",
    "amortisation_gap_error",
    "approximation_gap",
    "approximation_gap_error",
    "decoder_part",
    "decoder_part_error",
    "gap_images",
    "gap_effective_samples",
    "gap_last_gain",
    "psnr_db",
    "ssim",
    "mmd",
    "sliced_wasserstein",
    "precision",
    "recall",
    "density",
    "coverage",
}
SHOWN = {metric.name for part in PARTS for metric in part.metrics}
MEASURED = SHOWN - {"fid"} | {name.removeprefix("val_") for name in VALIDATION}
MEASURED -= {"relative_loss"}  # of a training at several KL weights
BESIDE = KEYS - SHOWN
"""Errors, and what labels need."""
OF_CLASSES = {"probe_accuracy", "knn_accuracy", "silhouette"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Without this machine's Inception weights, and with few samples of the likelihood."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("analysis.measures.importance_weighted.LIKELIHOOD_SAMPLES", 20)
    monkeypatch.setattr("analysis.measures.inference_gap._IMAGES", 20)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.heavy
def test_every_metric_of_a_model_is_there_and_they_agree(model: VAE, digits: Dataset) -> None:
    parts: list[str] = []
    found = measure(model, digits, 0.2, progress=parts.append)
    assert len(parts) == len(PARTS)
    assert found.keys() >= KEYS
    assert found.keys() == MEASURED | BESIDE
    labels = [label for rows in tables(found).values() for label, _, _ in rows]
    assert len(set(labels)) == len(labels) == len(SHOWN) - 1
    assert "log-likelihood, bound of 20 samples" in labels
    assert all(math.isfinite(value) for value in found.values())
    assert found["mutual_information"] + found["marginal_kl"] == pytest.approx(found["rate"], rel=1e-5)
    assert found["mutual_information"] < found["mutual_information_cap"]
    assert found["mutual_information_cap"] == pytest.approx(math.log(len(digits.test.images)))
    assert 0 < found["log_likelihood_error"] < found["log_likelihood"] + found["nelbo"]
    assert (found["log_likelihood_images"], found["log_likelihood_samples"]) == (100, 20)
    assert 1 <= found["effective_samples"] <= 20
    assert found["knn_accuracy"] > 0.7
    assert found == measure(model, digits, 0.2)
    assert found["mmd"] != measure(model, digits, 0.2, seed=1)["mmd"]


def test_every_metric_of_a_model_with_a_vamp_prior_is_there(digits: Dataset) -> None:
    """But for the rates of latents, which it has none of."""
    config = BASE.replace({"epochs": 2, "batch_size": 32, "model.prior": "vamp", "model.pseudo_inputs": 20})
    pixels = Pixels(digits.train.images[:512])
    model = list(fit(config, pixels, pixels))[-1].model.eval()
    found = measure(model, digits, 0.2)
    assert found.keys() == (MEASURED | BESIDE) - {"kl_largest", "kl_median"}
    assert all(math.isfinite(value) for value in found.values())
    assert 0 < found["rate_error"] < 1
    assert found["mutual_information"] + found["marginal_kl"] == pytest.approx(found["rate"], abs=1.0)
    assert found["log_likelihood"] + found["nelbo"] > 0
    rows = {label: value for label, value, _ in tables(found)["The trade-off"]}
    assert rows["rate"] == f"{found['rate']:.2f} ± {found['rate_error']:.2f}"
    assert "largest rate of a latent" not in {label for label, _, _ in tables(found)["The code"]}


def test_a_rate_in_closed_form_is_shown_without_an_error() -> None:
    assert tables({"rate": 12.0, "rate_error": 0.0}) == {"The trade-off": [("rate", "12.00", "nats per image")]}


@pytest.mark.parametrize(("effective", "shown"), [(1.4, "≥ -2990.15"), (9.9, "≥ -2990.15"), (12.0, "-2990.15 ± 1.52")])
def test_a_likelihood_that_few_samples_carry_is_said_to_be_a_bound(effective: float, shown: str) -> None:
    measured = {"log_likelihood": -2990.15, "log_likelihood_error": 1.52, "log_likelihood_images": 100}
    measured |= {"log_likelihood_samples": 50, "effective_samples": effective}
    assert tables(measured)["The trade-off"][0][1] == shown


@pytest.mark.parametrize("effective", [1.4, 12.0])
def test_a_bound_that_few_samples_carry_is_warned_of(effective: float) -> None:
    said = warnings({"effective_samples": effective, "log_likelihood_samples": 50.0})
    assert said == (
        [
            "≥ marks a bound that may lie far from the truth: 1.4 of the 50 samples carry that on the log-likelihood, "
            "in the median."
        ]
        if effective < 10
        else []
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ["negative ELBO, calibrated", "distortion, Gaussian", ""]),
        ({"likelihood": "optimal_gaussian"}, ["negative ELBO, calibrated", "distortion, optimal Gaussian", ""]),
        ({"likelihood": "beta_binomial"}, ["negative ELBO, exact", "distortion, beta binomial", ""]),
        (
            {"likelihood": "bernoulli", "binarise": "dynamic"},
            ["negative ELBO, exact", "distortion, Bernoulli", "of binary pixels"],
        ),
    ],
)
def test_a_table_says_under_which_likelihood_its_numbers_are(fields: dict, words: list[str]) -> None:
    measured = {"bits_per_dim": 0.2, "nelbo": 100.0, "distortion": 80.0}
    (rows,) = tables(measured, ModelConfig(**fields)).values()
    assert [rows[1][0], rows[2][0], rows[0][2]] == words


def test_test_metrics_are_the_loop_s_own_and_the_probe_reads_digits(model: VAE, digits: Dataset) -> None:
    measured = measure(model, digits, sigma=0.2)
    expected = evaluate(model, Pixels(digits.test.images), 0.2, World())
    assert {name: measured[name] for name in expected} == expected
    assert measured["probe_accuracy"] > 0.7


def test_the_test_set_is_encoded_once(model: VAE, digits: Dataset, tmp_path: Path) -> None:
    seen: list[int] = []
    counter = model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    found = measure(model, digits, 0.2)
    train, test = len(digits.training_rows()), len(digits.test.images)
    assert sum(seen) == train + test
    codes = encode(model, digits.test.images)
    seen.clear()
    assert measure(model, digits, 0.2, codes) == found
    assert sum(seen) == train  # the classifiers learn from these
    counter.remove()
    other = Codes(codes.mean_NZ[:-1], codes.logvar_NZ[:-1])
    with pytest.raises(ValueError, match=f"codes must be those of the {test} test images, got {test - 1}"):
        measure(model, digits, 0.2, other)


@pytest.mark.heavy
def test_figures_are_drawn_from_given_codes(
    model: VAE, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(digits, test=Split(digits.test.images[:12], digits.test.labels[:12]))
    codes = encode(model, few.test.images)
    monkeypatch.setattr("analysis.figures.registry.encode", None)
    assert draw_model(ModelContext(model, few, codes), tmp_path, "a").keys() >= {"pca", "umap"}


def test_codes_are_the_model_s_and_serve_the_bound(model: VAE, digits: Dataset) -> None:
    images = digits.test.images[:70]
    codes = encode(model, images)
    assert codes.mean_NZ.dtype == codes.logvar_NZ.dtype == np.float32
    with torch.no_grad():
        direct = model.encode(torch.from_numpy(images.copy()).float() / 255)
    np.testing.assert_allclose(codes.mean_NZ, direct.mean, atol=1e-5)
    np.testing.assert_allclose(codes.logvar_NZ, direct.logvar, atol=1e-5)
    known = iwae(model, images, 0.2, 5, known=posteriors(codes))
    np.testing.assert_allclose(known.log_likelihood, iwae(model, images, 0.2, 5).log_likelihood, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_what_few_images_of_one_class_allow_is_measured(count: int, digits: Dataset) -> None:
    images = digits.test.images[:count]
    same = Split(images, np.zeros(count, dtype=np.int64))
    vae = VAE(ModelConfig(image_shape=digits.image_shape, latent_dim=1, width=4)).eval()
    found = measure(vae, Dataset("few", same, same, ("only",)), 0.2)
    assert found.keys() == MEASURED | BESIDE
    unknown = {name for name, value in found.items() if math.isnan(value)}
    expected = set(OF_CLASSES)
    expected |= {"mmd", *(name for name in KEYS if name.endswith("_error"))} if count < 2 else set()
    expected |= {"precision", "recall"} if count <= 3 else set()
    expected |= {"density", "coverage"} if count <= 5 else set()
    assert unknown == expected
