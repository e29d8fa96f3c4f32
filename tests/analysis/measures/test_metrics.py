"""Metrics against closed forms, definitions written out, and each other: a linear VAE, Gaussians, digits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import log_ndtr
from support.analysis_fixture import BASE
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence

from analysis.figures import run_figures
from analysis.measures.importance_weighted import PIXELS, iwae
from analysis.measures.information import Information, information, log_mixture
from analysis.measures.test_metrics import (
    PARTS,
    Codes,
    code_metrics,
    encode,
    kl_per_latent,
    knn_accuracy,
    likelihood,
    measure,
    posteriors,
    probe_accuracy,
    reconstruction_quality,
    silhouette,
)
from analysis.report.page import RunSection
from trainables.config import TrialConfig
from trainables.data.datasets import Dataset, Split, load_dataset
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.loop import fit, seeded_vae
from trainables.training.process_group import World
from vae_models import VAE, ModelConfig
from vae_models.vae import Posterior

SIGMA = 0.2


class LinearVAE(nn.Module):
    """x = W z + 1/2 + noise of SIGMA: 2 x 2 pixels, 2 latents; ``spread`` widens its posteriors' variance."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.1, 0.0], [0.05, 0.1], [0.0, -0.1], [0.1, 0.1]]))
        self._spread = spread

    def encode(self, x: Tensor) -> Posterior:
        weight = self.weight.double()
        precision = torch.eye(2, dtype=torch.float64) + weight.T @ weight / SIGMA**2
        mean = (x.flatten(1).double() - 0.5) @ weight @ torch.linalg.inv(precision) / SIGMA**2
        # the posterior's covariance is not diagonal: its diagonal part is a near miss, as a VAE's is
        variance = self._spread / torch.diagonal(precision)
        return Posterior(mean.float(), variance.log().float().expand(len(x), 2))

    def decode(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T + 0.5).view(-1, 1, 2, 2)


def true_log_likelihood(images: np.ndarray, weight: np.ndarray, draws: int = 400_000) -> np.ndarray:
    """log P(x) of the linear model with discretised pixels, by plain Monte Carlo over the prior."""
    z = np.random.default_rng(9).standard_normal((draws, 2))
    mean = z @ weight.T + 0.5
    found = []
    for image in images.reshape(len(images), 4):
        upper = np.where(image == 255, np.inf, ((image + 0.5) / 255 - mean) / SIGMA)
        lower = np.where(image == 0, -np.inf, ((image - 0.5) / 255 - mean) / SIGMA)
        log_p = log_ndtr(upper) + np.log1p(-np.exp(log_ndtr(lower) - log_ndtr(upper)))
        found.append(np.logaddexp.reduce(log_p.sum(1)) - math.log(draws))
    return np.array(found)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((12, 2))
    weight = LinearVAE().weight.detach().numpy()
    x = z @ weight.T + 0.5 + SIGMA * rng.standard_normal((12, 4))
    return (x.clip(0, 1) * 255).round().astype(np.uint8).reshape(12, 1, 2, 2)


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_the_bound_reaches_the_likelihood_of_a_linear_vae(pixels: np.ndarray, spread: float) -> None:
    model = LinearVAE(spread)
    expected = true_log_likelihood(pixels, model.weight.detach().numpy())
    many = iwae(model, pixels, SIGMA, 20_000)  # type: ignore[arg-type]
    np.testing.assert_allclose(many.log_likelihood, expected, atol=0.03)
    assert many.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(12), rel=0.05)
    assert (many.effective_samples > 1000).all()
    assert (many.effective_samples <= 20_000).all()
    # on average a bound, and a tighter one with more samples
    few = [
        np.mean([iwae(model, pixels, SIGMA, samples, seed).mean for seed in range(100)])  # type: ignore[arg-type]
        for samples in (1, 10)
    ]
    assert few[0] < few[1] < many.mean


def test_the_likelihood_is_the_elbo_of_all_images_and_the_gain_of_some(
    pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 images by the gain of 6, which differ in it less than in their likelihood."""
    model = LinearVAE(3.0)
    truth = true_log_likelihood(pixels, model.weight.detach().numpy(), 100_000)
    bound = iwae(model, pixels, SIGMA, 5_000)  # type: ignore[arg-type]
    assert (bound.elbo < bound.log_likelihood).all()
    # log p(x) - ELBO = KL(q(z | x), p(z | x)): both are Gaussian around one mean, q without correlations
    mean, logvar = (part.detach() for part in model.encode(torch.from_numpy(pixels).float() / 255))
    weight, zero = model.weight.detach(), torch.zeros(2)
    posterior = MultivariateNormal(zero, precision_matrix=torch.eye(2) + weight.T @ weight / SIGMA**2)
    gap = kl_divergence(MultivariateNormal(zero, torch.diag(logvar[0].exp())), posterior)
    np.testing.assert_allclose((truth - bound.elbo).mean(), gap, atol=0.03)
    monkeypatch.setattr("analysis.measures.test_metrics.LIKELIHOOD_IMAGES", 6)
    monkeypatch.setattr("analysis.measures.test_metrics.LIKELIHOOD_SAMPLES", 5_000)
    codes = Codes(mean.numpy(), logvar.numpy())
    found = likelihood(model, pixels, codes, SIGMA, -bound.elbo.mean())  # type: ignore[arg-type]
    error = found["log_likelihood_error"]
    assert found["log_likelihood"] == pytest.approx(truth.mean(), abs=4 * error + 0.03)
    assert error < 0.2 * bound.log_likelihood.std() / math.sqrt(6)
    assert (found["log_likelihood_images"], found["log_likelihood_samples"]) == (6, 5_000)


def test_the_bound_of_one_sample_is_the_elbo_and_chunks_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 28, 28), dtype=np.uint8)
    model = seeded_vae(TrialConfig(model=ModelConfig(width=4, latent_dim=3))).eval()
    elbo = -evaluate(model, Pixels(images), 0.3, World())["nelbo"]
    one = iwae(model, images, 0.3, 1)
    assert one.mean == pytest.approx(elbo, abs=4 * one.standard_error)
    monkeypatch.setattr("analysis.measures.importance_weighted.IMAGES", 7)
    few = iwae(model, images[:20], 0.3, 50)
    monkeypatch.setitem(PIXELS, "cpu", 7 * 784)  # one sample at a time
    assert iwae(model, images[:20], 0.3, 50).log_likelihood == pytest.approx(few.log_likelihood, rel=1e-6)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        iwae(model, images, 0.3, 0)


def test_the_two_parts_of_the_rate_are_those_of_gaussians() -> None:
    """With q(z | x) = N(m, s^2) and m ~ N(0, t^2), q(z) is N(0, t^2 + s^2): both parts are known."""
    count, spread, width = 4000, np.array([1.5, 0.5]), np.array([0.5, 0.9])
    mean = spread * np.random.default_rng(1).standard_normal((count, 2))
    logvar = np.broadcast_to(2 * np.log(width), mean.shape)
    found = information(mean, logvar)
    total = spread**2 + width**2
    assert found.mutual_information == pytest.approx(0.5 * np.log(total / width**2).sum(), abs=0.06)
    assert found.marginal_kl == pytest.approx(0.5 * (total - 1 - np.log(total)).sum(), abs=0.08)
    rate = kl_per_latent(mean, logvar).sum()
    assert found.mutual_information + found.marginal_kl == pytest.approx(rate, rel=1e-12)


def test_the_mixture_of_posteriors_is_that_of_torch_s_distributions() -> None:
    rng = np.random.default_rng(2)
    z, mean, logvar = (torch.from_numpy(rng.standard_normal((7, 3))) for _ in range(3))
    each = Independent(Normal(mean, (0.5 * logvar).exp()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(7)), each)
    expected = mixture.log_prob(z) + 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log_mixture(z, mean, logvar), expected)


def test_the_errors_of_the_two_parts_are_their_spread_over_seeds_and_images() -> None:
    def draw(seed: int) -> Information:
        mean = np.random.default_rng([3, seed]).standard_normal((400, 2)) * [0.8, 0.3]
        return information(mean, np.log([[0.36, 0.9]] * 400), seed)

    draws = [draw(seed) for seed in range(200)]
    for name in ("mutual_information", "marginal_kl"):
        spread = np.std([getattr(found, name) for found in draws])
        assert np.mean([getattr(found, f"{name}_error") for found in draws]) == pytest.approx(spread, rel=0.2)


def test_too_few_images_bound_the_two_parts_which_the_page_says() -> None:
    """q(z) is N(0, I) exactly, so that all the rate is mutual information: more of it than log N."""
    spread = 0.95
    mean = spread * np.random.default_rng(0).standard_normal((500, 20))
    found = code_metrics(Codes(mean, np.full(mean.shape, np.log(1 - spread**2))))
    truth = -0.5 * 20 * np.log(1 - spread**2)
    assert truth > 20
    assert found["mutual_information"] == pytest.approx(found["mutual_information_cap"])
    assert found["marginal_kl"] > 15
    assert shown(found) == (f"≥ {found['mutual_information']:.2f}", f"≤ {found['marginal_kl']:.2f}")
    far = found | {"mutual_information": found["mutual_information_cap"] - 1.01}
    assert re.fullmatch(r"\d+\.\d\d ± 0\.\d\d", shown(far)[0])


def shown(measured: dict[str, float]) -> tuple[str, str]:
    """The mutual information and the marginal KL on the page."""
    section = RunSection(None, {}, measured)  # type: ignore[arg-type]
    rows = {label: value for label, value, _ in section.tables["The code"]}
    return rows["mutual information of image and code"], rows["aggregate posterior to the prior, KL"]


def test_the_information_of_images_told_apart_is_the_log_of_their_number() -> None:
    mean = 1000 * np.arange(500.0)[:, None]
    found = information(mean, np.zeros((500, 1)))
    assert found.mutual_information == pytest.approx(found.cap)
    assert found.cap == pytest.approx(math.log(500))
    collapsed = information(np.zeros((500, 3)), np.zeros((500, 3)))
    assert collapsed.mutual_information == pytest.approx(0, abs=1e-9)
    assert collapsed.marginal_kl == pytest.approx(0, abs=1e-9)


# ---- reconstructions and classes


class Mirror(nn.Module):
    """Decodes a latent a pixel into that pixel."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self._shape = shape

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, *self._shape)


def mirrored(images: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
    codes = Codes(decoded.reshape(len(images), -1).astype(np.float32), np.zeros((len(images), 1)))
    return reconstruction_quality(Mirror(images.shape[1:]), images, codes)  # type: ignore[arg-type]


def written_out_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, equation 13, of one channel, its windows' means by scipy's Gaussian filter."""

    def smooth(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=3.5, mode="mirror")

    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    return float((top / ((mean_x**2 + mean_y**2 + 0.01**2) * (variance_x + variance_y + 0.03**2))).mean())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 24), (1, 8, 8)])
def test_psnr_and_ssim_are_their_definitions(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (130, *shape), dtype=np.uint8)
    x = images / 255
    decoded = (x + rng.uniform(0.05, 0.3, (130, 1, 1, 1)) * rng.standard_normal(x.shape)).clip(0, 1)
    found = mirrored(images, decoded)
    psnr = -10 * np.log10(((x - decoded) ** 2).mean((1, 2, 3)))
    assert found["psnr_db"] == pytest.approx(psnr.mean(), rel=1e-5)
    ssim = [
        written_out_ssim(a, b) for one, other in zip(x, decoded, strict=True) for a, b in zip(one, other, strict=True)
    ]
    assert found["ssim"] == pytest.approx(np.mean(ssim), abs=2e-5)


def test_a_perfect_reconstruction_and_one_too_small_for_a_window() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 1, 6, 6), dtype=np.uint8)
    perfect = mirrored(images, images / np.float32(255))
    assert perfect["psnr_db"] == 100
    assert perfect["ssim"] == pytest.approx(1)
    small = mirrored(images[..., :5], images[..., :5] / 255 * 0.9)
    assert math.isnan(small["ssim"])
    assert 0 < small["psnr_db"] < 100


def test_neighbours_vote_and_silhouettes_are_as_written() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.standard_normal((80, 3)), rng.standard_normal((60, 3))
    labels = (train[:, 0] + rng.standard_normal(80) > 0).astype(int)
    asked = (test[:, 0] > 0).astype(int)
    nearest = np.argsort(((test[:, None] - train) ** 2).sum(2), axis=1)[:, :5]
    votes = (labels[nearest].sum(1) > 2.5).astype(int)
    assert knn_accuracy(train, labels, test, asked) == pytest.approx((votes == asked).mean())

    apart = np.sqrt(((test[:, None] - test) ** 2).sum(2))
    scores = []
    for k, label in enumerate(asked):
        own = apart[k, (asked == label) & (np.arange(60) != k)].mean()
        other = apart[k, asked != label].mean()
        scores.append((other - own) / max(own, other))
    assert silhouette(test, asked) == pytest.approx(np.mean(scores))

    far = np.repeat([0.0, 1e3], 20)[:, None] + rng.standard_normal((40, 2))
    two = np.repeat([0, 1], 20)
    assert knn_accuracy(far, two, far, two) == probe_accuracy(far, two, far, two) == 1
    assert silhouette(far, two) > 0.99


def test_classes_that_cannot_be_told_have_no_accuracy() -> None:
    codes, same = np.random.default_rng(0).standard_normal((9, 2)), np.zeros(9, dtype=int)
    for accuracy in (probe_accuracy, knn_accuracy):
        assert math.isnan(accuracy(codes, same, codes, same))
    assert math.isnan(silhouette(codes, same))
    assert math.isnan(silhouette(codes, np.arange(9)))
    assert math.isnan(knn_accuracy(codes[:4], np.arange(4) % 2, codes, same))


# ---- all of it

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
    "psnr_db",
    "ssim",
    "mmd",
    "sliced_wasserstein",
    "precision",
    "recall",
    "density",
    "coverage",
}
OF_CLASSES = {"probe_accuracy", "knn_accuracy", "silhouette"}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def model(digits: Dataset) -> VAE:
    config = BASE.replace({"epochs": 2, "batch_size": 32})
    train = Pixels(digits.train.images[:512])
    return list(fit(config, train, train))[-1].model.eval()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Without this machine's Inception weights, and with few samples of the likelihood."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("analysis.measures.test_metrics.LIKELIHOOD_SAMPLES", 20)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_metric_of_a_model_is_there_and_they_agree(model: VAE, digits: Dataset) -> None:
    told: list[str] = []
    found = measure(model, digits, 0.2, progress=told.append)
    assert len(told) == PARTS
    assert found.keys() == KEYS
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


def test_figures_are_drawn_from_given_codes(
    model: VAE, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(digits, test=Split(digits.test.images[:12], digits.test.labels[:12]))
    codes = encode(model, few.test.images)
    monkeypatch.setattr("analysis.figures.encode", None)
    assert run_figures(model, few, tmp_path, "a", codes=codes).keys() >= {"pca", "umap"}


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
    assert found.keys() == KEYS
    unknown = {name for name, value in found.items() if math.isnan(value)}
    expected = set(OF_CLASSES)
    expected |= {"mmd", *(name for name in KEYS if name.endswith("_error"))} if count < 2 else set()
    expected |= {"precision", "recall"} if count <= 3 else set()
    expected |= {"density", "coverage"} if count <= 5 else set()
    assert unknown == expected
