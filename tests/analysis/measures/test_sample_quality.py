"""Samples against images: closed forms of Gaussians, definitions written out in loops, the FID's formula."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist
from support.analysis_fixture import BASE
from support.model_cases import subject

from analysis.measures.sample_quality import (
    INCEPTION,
    density_coverage,
    distances,
    fid,
    inception_distance,
    median_distance,
    mmd,
    precision_recall,
    prior_samples,
    sample_quality,
    sliced_wasserstein,
)
from analysis.measures.test_metrics import measure
from trainables.config import TrialConfig
from trainables.data.datasets import Dataset, Split
from trainables.errors import UserError
from trainables.training.loop import seeded_vae
from vae_models import VAE, ModelConfig


def normal(count: int, dimensions: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, dimensions)))


@pytest.fixture
def model() -> VAE:
    return seeded_vae(BASE).eval()


def test_mmd_of_gaussians_is_its_closed_form() -> None:
    """The kernel's mean over differences N(m, v I) is (1 + v/b^2)^(-D/2) exp(-|m|^2 / 2(b^2 + v))."""
    shift, scale, bandwidth = torch.tensor([0.8, 0.0, -0.4]), 1.5, 1.3

    def mean_kernel(shift_square: float, variance: float) -> float:
        wide = bandwidth**2 + variance
        return (wide / bandwidth**2) ** -1.5 * math.exp(-shift_square / (2 * wide))

    expected = mean_kernel(0, 2) + mean_kernel(0, 2 * scale**2) - 2 * mean_kernel(0.8, 1 + scale**2)
    found = [
        mmd(distances(normal(800, 3, seed), shift + scale * normal(700, 3, seed + 99)), bandwidth) for seed in range(8)
    ]
    error = np.std(found, ddof=1) / math.sqrt(8)
    assert error < 0.05 * expected
    assert np.mean(found) == pytest.approx(expected, abs=5 * error)


def test_mmd_of_one_distribution_is_unbiased() -> None:
    found = [mmd(distances(normal(20, 4, seed), normal(30, 4, seed + 1000))) for seed in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(300)
    assert 0.3 < np.mean(np.array(found) < 0) < 0.8


def test_the_median_heuristic_takes_all_pairs() -> None:
    x, y = normal(20, 3, 0), 2 * normal(15, 3, 1) + 1
    assert median_distance(distances(x, y)) == pytest.approx(np.median(pdist(torch.cat([x, y]))), rel=1e-9)
    assert math.isnan(mmd(distances(torch.ones(4, 2), torch.ones(4, 2))))
    assert math.isnan(mmd(distances(x[:1], y)))


def test_sliced_wasserstein_of_gaussians_is_its_closed_form() -> None:
    """Of N(0, I) and N(m, s^2 I), each projection's squared W2 is (m theta)^2 + (s - 1)^2."""
    shift = torch.full((5,), 0.6)
    found = sliced_wasserstein(normal(4_000, 5, 0), 1.7 * normal(4_000, 5, 1) + shift)
    assert found == pytest.approx(math.sqrt(shift.square().sum() / 5 + 0.7**2), rel=0.05)
    assert sliced_wasserstein(normal(100, 5, 0), normal(100, 5, 0)) == 0


def test_sliced_wasserstein_on_a_line_is_the_best_transport() -> None:
    x, y = normal(40, 1, 0), normal(40, 1, 1).exp()
    cost = (x - y.T).square().numpy()
    assert sliced_wasserstein(x, y) == pytest.approx(math.sqrt(cost[linear_sum_assignment(cost)].mean()))


def written_out(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage as their papers define them, in loops."""

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return math.sqrt(sum((a - b) ** 2))

    def reach(points: np.ndarray, index: int) -> float:
        return sorted(apart(points[index], p) for j, p in enumerate(points) if j != index)[k - 1]

    def within(point: np.ndarray, points: np.ndarray) -> bool:
        return any(apart(point, other) <= reach(points, i) for i, other in enumerate(points))

    precision = sum(within(y, real) for y in fake) / len(fake)
    recall = sum(within(x, fake) for x in real) / len(real)
    density = sum(apart(y, x) < reach(real, i) for y in fake for i, x in enumerate(real)) / (k * len(fake))
    covered = sum(any(apart(y, x) < reach(real, i) for y in fake) for i, x in enumerate(real))
    return precision, recall, density, covered / len(real)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_recall_density_coverage_are_their_definitions(k: int) -> None:
    real, fake = normal(24, 2, k), 0.9 * normal(17, 2, k + 10) + 1.5
    apart = distances(real, fake)
    found = precision_recall(apart, k) + density_coverage(apart, k)
    expected = written_out(real.numpy(), fake.numpy(), k)
    assert found == pytest.approx(expected)
    assert 0 < expected[0] < 1
    assert 0 < expected[3] < 1


def test_identical_and_disjoint_sets_are_told() -> None:
    grid = torch.from_numpy(np.random.default_rng(0).permutation(2000)[:60].reshape(30, 2))  # exact distances
    same, other = distances(grid, grid), distances(grid, grid + 10_000)
    assert precision_recall(same) == (1, 1)
    assert density_coverage(same) == pytest.approx((1, 1))
    assert precision_recall(other) == density_coverage(other) == (0, 0)
    assert mmd(same, 500.0) <= 0 < mmd(other, 500.0)
    # all samples are one real image: faithful, and of no variety
    collapsed = distances(grid, grid[:1].expand(30, 2))
    assert precision_recall(collapsed) == (1, 1 / 30)


def test_samples_of_the_data_itself_are_as_good_as_they_get(model: VAE) -> None:
    drawn = (torch.cat([*prior_samples(model, 600)]) * 255).round().byte().numpy()
    assert torch.equal(torch.cat([*prior_samples(model, 7, 3)]), model.sample(7, 3))
    alike = sample_quality(subject(model, drawn, seed=5))
    unlike = sample_quality(subject(model, drawn // 4, seed=5))
    assert abs(alike["mmd"]) < 0.01 < 0.5 < unlike["mmd"]
    assert alike["sliced_wasserstein"] < 0.1 * unlike["sliced_wasserstein"]
    for name in ("precision", "recall", "density", "coverage"):
        assert alike[name] > 0.8
        assert unlike[name] == 0


# ---- FID


def test_binary_samples_are_drawn_to_the_last_pixel() -> None:
    """Probabilities would be within every ball around a binary image."""
    fields = {"architecture": "mlp", "widths": (8,), "likelihood": "bernoulli", "binarise": "fixed"}
    vae = seeded_vae(TrialConfig(model=ModelConfig(latent_dim=2, **fields))).eval()
    drawn = torch.cat([*prior_samples(vae, 3000)])
    assert drawn.unique().tolist() == [0.0, 1.0]
    assert torch.equal(drawn, torch.cat([*prior_samples(vae, 3000)]))
    assert drawn.mean().item() == pytest.approx(vae.sample(3000).mean().item(), abs=0.002)
    # images from the model itself are as near to samples as to each other
    images = (torch.bernoulli(vae.sample(400, seed=9)) * 255).byte().numpy()
    found = sample_quality(subject(vae, images))
    assert found["density"] == pytest.approx(1, abs=0.4)
    assert found["recall"] > 0.5


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Inception network's random weights, as torch-fidelity stores them."""
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Blank(extractor.FeatureExtractorInceptionV3):  # type: ignore[misc, name-defined]
        def load_state_dict(self, *_: object, **__: object) -> None:
            pass

    path = tmp_path_factory.mktemp("inception") / INCEPTION
    assert extractor.URL_INCEPTION_V3.endswith(f"/{INCEPTION}")
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor, "load_state_dict_from_url", lambda *_, **__: {})
        torch.save(Blank("inception", ["2048"]).state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch-fidelity looks for weights: an empty folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("analysis.measures.sample_quality.FID_FEATURES", 64)
    return tmp_path / "hub" / "checkpoints"


def test_the_fid_is_the_distance_of_inception_s_gaussians(weights: Path, model: VAE) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 28, 28), dtype=np.uint8)
    metric = inception_distance(weights)
    assert metric is not None
    found = fid(model, images, metric)
    fake = (torch.cat([*prior_samples(model, 12)]) * 255).round().byte()
    with torch.no_grad():
        real_ND, fake_ND = (
            metric.inception(x.repeat(1, 3, 1, 1)).double().numpy() for x in (torch.from_numpy(images), fake)
        )
    first, second = np.cov(real_ND.T), np.cov(fake_ND.T)
    root = sqrtm(first)
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum().real
    expected = ((real_ND.mean(0) - fake_ND.mean(0)) ** 2).sum() + np.trace(first + second) - 2 * cross
    assert expected > 1e-3
    assert found == pytest.approx(expected, rel=1e-2)
    assert math.isnan(fid(model, images[:1], metric))
    assert math.isnan(fid(model, images.repeat(2, 1), metric))


def test_measure_has_a_fid_only_where_there_are_weights(weights: Path, model: VAE, home: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 28, 28), dtype=np.uint8)
    split = Split(images, np.arange(6) % 2)
    data = Dataset("noise", split, split, ("a", "b"))
    assert "fid" not in measure(model, data, 0.2)
    assert measure(model, data, 0.2, inception=weights)["fid"] > 0
    home.mkdir(parents=True)
    (home / INCEPTION).write_bytes(b"torn")
    assert inception_distance() is None
    (home / INCEPTION).unlink()
    os.link(weights, home / INCEPTION)
    assert inception_distance() is not None


class Bomb:
    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._canary,)


def test_weights_that_are_none_are_refused_and_never_run(weights: Path, tmp_path: Path) -> None:
    torch.save({"other.weight": torch.zeros(2)}, tmp_path / "other")
    torch.save(Bomb(tmp_path / "canary"), tmp_path / "bomb")
    (tmp_path / "torn").write_bytes(weights.read_bytes()[:9000])
    with pytest.raises(UserError, match="nothing cannot be read: No such file"):
        inception_distance(tmp_path / "nothing")
    for name in ("other", "bomb", "torn"):
        with pytest.raises(UserError, match=f"{name} must hold torch-fidelity's Inception weights"):
            inception_distance(tmp_path / name)
    assert not (tmp_path / "canary").exists()


def test_a_fid_that_is_asked_for_needs_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.measures.sample_quality.find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install torch-fidelity"):
        inception_distance(tmp_path / "weights")
    assert inception_distance() is None
