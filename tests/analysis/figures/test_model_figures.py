"""The figures of one model: their numbers against closed forms and brute force, and their ink."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import chi, kstest, norm
from torch import Tensor, nn

from analysis.figures import run_figures, save_figure
from analysis.figures.model.aggregate_posterior import compute_aggregate_posterior, draw_aggregate_posterior
from analysis.figures.model.batched import decode
from analysis.figures.model.class_means import compute_class_means, draw_class_means
from analysis.figures.model.extremes import compute_extremes
from analysis.figures.model.kl_latents import compute_kl_latents, draw_kl_latents
from analysis.figures.model.manifold import compute_manifold
from analysis.figures.model.neighbours import compute_neighbours, nearest
from analysis.figures.model.traversal import compute_traversal, draw_traversal
from analysis.figures.model.traversal_gif import draw_traversal_gif, save_gif
from analysis.figures.study.across_beta import compute_across_beta, draw_across_beta
from analysis.measures.codes import encode
from trainables.config import TrialConfig
from trainables.data.datasets import Dataset, Split
from trainables.training.loop import seeded_vae
from vae_models import VAE, ModelConfig
from vae_models.elbo import rate
from vae_models.vae import Posterior

NAMES = [
    "recon",
    "extremes",
    "noise",
    "neighbours",
    "interp",
    "traversal",
    "traversal_gif",
    "manifold",
    "kl_latents",
    "aggregate_posterior",
    "pca",
    "umap",
    "class_means",
]


pytestmark = pytest.mark.usefixtures("one_thread")


def vae(latent_dim: int, shape: tuple[int, int, int] = (1, 16, 16), seed: int = 0) -> VAE:
    config = ModelConfig(image_shape=shape, latent_dim=latent_dim, width=4)
    return seeded_vae(TrialConfig(model=config, seed=seed)).eval()


def dataset(count: int, shape: tuple[int, int, int] = (1, 16, 16), classes: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    splits = [
        Split(rng.integers(0, 256, (size, *shape), dtype=np.uint8), np.arange(size) % classes)
        for size in (2 * count, count)
    ]
    return Dataset("made", *splits, tuple(f"class ${k}_" for k in range(classes)))


class Echo(nn.Module):
    """Decodes a code to an image that holds its numbers, so that what was decoded can be read off."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.config = ModelConfig(image_shape=(1, 8, 8), latent_dim=latent_dim)
        self.scale = nn.Parameter(torch.ones(()))

    def encode(self, x: Tensor) -> Posterior:
        mean = 8 * x.flatten(1)[:, : self.config.latent_dim] - 4
        return Posterior(mean, torch.full_like(mean, -1.0))

    def decode(self, z: Tensor) -> Tensor:
        pixels = torch.zeros(len(z), 64)
        pixels[:, : z.shape[1]] = z / 8 + 0.5
        return pixels.view(-1, 1, 8, 8) * self.scale


def codes_of(images: np.ndarray, latent_dim: int) -> np.ndarray:
    """What `Echo` decoded: (..., 1, 8, 8) -> (..., Z)."""
    return 8 * images.reshape(*images.shape[:-3], 64)[..., :latent_dim] - 4


def echo(latent_dim: int) -> VAE:
    return Echo(latent_dim)  # type: ignore[return-value]


def posteriors(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Five latents whose KL rises in the order 3, 0, 4, 1, 2; number 3 is collapsed."""
    spread = np.array([0.5, 2.0, 3.0, 0.0, 1.0])
    mean = spread * np.random.default_rng(0).standard_normal((count, 5))
    return mean.astype(np.float32), np.broadcast_to(-0.5 * spread, mean.shape).astype(np.float32)


# ---- numbers


def test_codes_are_decoded_in_batches_as_they_are_at_once() -> None:
    model, z = vae(3), np.random.default_rng(0).standard_normal((1201, 3))
    with torch.no_grad():
        at_once = model.decode(torch.from_numpy(z).float()).numpy()
    np.testing.assert_allclose(decode(model, z), at_once, atol=1e-6)
    assert decode(model, z[:0]).shape == (0, 1, 16, 16)


def test_a_traversal_moves_one_latent_and_leaves_the_others() -> None:
    mean, logvar = posteriors()
    test = dataset(len(mean), (1, 8, 8)).test
    traversal = compute_traversal(echo(5), test, ("a", "b", "c"), mean, logvar)
    assert traversal.latents.tolist() == [2, 1, 4, 0, 3]
    assert (np.diff(traversal.kl) < 0).all()
    np.testing.assert_allclose(traversal.positions, np.linspace(-3, 3, 13))
    codes = codes_of(traversal.decoded, 5)
    (row,) = np.flatnonzero((mean[:, traversal.latents] == traversal.own).all(1))
    np.testing.assert_array_equal(traversal.image, test.images[row] / np.float32(255))
    assert traversal.name == "abc"[test.labels[row]]
    for k, latent in enumerate(traversal.latents):
        np.testing.assert_allclose(codes[k, :, latent], traversal.positions, atol=1e-5)
        others = np.delete(codes[k], latent, axis=1)
        np.testing.assert_allclose(others, np.tile(np.delete(mean[row], latent), (13, 1)), atol=1e-5)


def test_a_traversal_has_at_most_eight_rows() -> None:
    model, data = vae(20), dataset(10)
    traversal = compute_traversal(model, data.test, data.classes, *encode(model, data.test.images))
    assert traversal.decoded.shape == (8, 13, 1, 16, 16)


def test_the_moving_traversal_goes_there_and_back(tmp_path: Path) -> None:
    mean, logvar = posteriors()
    traversal = compute_traversal(echo(5), dataset(200, (1, 8, 8)).test, ("a", "b", "c"), mean, logvar)
    path = save_gif(draw_traversal_gif(traversal), tmp_path / "new" / "a.gif")
    assert [entry.name for entry in path.parent.iterdir()] == ["a.gif"]
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["loop"]) == (24, 0)  # type: ignore[attr-defined]
        frames = []
        for k in range(24):
            gif.seek(k)
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
    for k in range(1, 12):
        np.testing.assert_array_equal(frames[k], frames[24 - k])
    assert all((frames[k] != frames[k + 1]).any() for k in range(12))
    assert (frames[0][0, 0] == 255).all()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_the_gif_is_small_whatever_it_shows(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """Noise does not compress: no images give a larger file."""
    model, data = vae(8, shape), dataset(3, shape)
    traversal = compute_traversal(model, data.test, data.classes, *encode(model, data.test.images))
    rng = np.random.default_rng(0)
    object.__setattr__(traversal, "decoded", rng.random(traversal.decoded.shape, dtype=np.float32))
    assert save_gif(draw_traversal_gif(traversal), tmp_path / "a.gif").stat().st_size < 1_500_000


def test_the_manifold_lies_on_the_quantiles_of_the_prior() -> None:
    mean, logvar = posteriors()
    manifold = compute_manifold(echo(5), mean, logvar)
    assert manifold.latents.tolist() == [1, 2]
    np.testing.assert_allclose(norm.cdf(manifold.values), (np.arange(21) + 0.5) / 21)
    codes = codes_of(manifold.images, 5)
    np.testing.assert_allclose(codes[:, :, 1], np.tile(manifold.values, (21, 1)), atol=1e-5)
    np.testing.assert_allclose(codes[:, :, 2], np.tile(manifold.values[::-1, None], 21), atol=1e-5)
    np.testing.assert_allclose(codes[:, :, [0, 3, 4]], 0, atol=1e-5)
    single = compute_manifold(echo(1), mean[:, :1], logvar[:, :1])
    assert single.images.shape == (1, 21, 1, 8, 8)
    np.testing.assert_allclose(codes_of(single.images, 1)[0, :, 0], single.values, atol=1e-5)


def test_kl_per_latent_is_sorted_and_sums_to_the_rate() -> None:
    mean, logvar = posteriors()
    spread = compute_kl_latents(mean, logvar)
    assert spread.latents.tolist() == [2, 1, 4, 0, 3]
    total = rate(Posterior(torch.from_numpy(mean), torch.from_numpy(logvar.copy()))).mean().item()
    assert spread.rate == pytest.approx(total, rel=1e-5)
    np.testing.assert_allclose(spread.mean_variance, mean.var(0)[spread.latents], rtol=1e-4)
    assert spread.active.tolist() == [True, True, True, True, False]


def test_the_aggregate_of_the_prior_is_the_prior() -> None:
    """Where every posterior is N(m, s^2) with m ~ N(0, 1 - s^2), q(z) is N(0, I) and its norm is chi."""
    std = np.array([0.1, 0.5, 0.9, 1.0, 0.3, 0.7, 0.6, 0.4])
    mean = np.sqrt(1 - std**2) * np.random.default_rng(1).standard_normal((5000, 8))
    found = compute_aggregate_posterior(mean, np.broadcast_to(2 * np.log(std), mean.shape))
    assert found.latents.tolist() == [0, 4, 7, 1, 6, 3]  # the most informative, and the collapsed one last
    assert found.is_active.tolist() == [True] * 5 + [False]
    assert (found.active, found.latent_dim) == (7, 8)
    for k in range(6):
        assert kstest(found.samples[:, k], "norm").pvalue > 1e-3
    assert kstest(found.norms, chi(8).cdf).pvalue > 1e-3
    low, high = found.mean_range
    assert (low[5], high[5]) == (0, 0)
    assert high[0] == pytest.approx(norm.ppf(0.95) * math.sqrt(0.99), rel=0.06)
    wide = compute_aggregate_posterior(2 * mean, np.broadcast_to(2 * np.log(std), mean.shape))
    assert kstest(wide.norms, chi(8).cdf).pvalue < 1e-9


def test_class_means_are_those_of_the_codes() -> None:
    mean, _ = posteriors(300)
    labels = np.array([7, 2, 5] * 100)
    found = compute_class_means(echo(5), mean, labels, tuple("abcdefgh"))
    expected = np.stack([mean[labels == k].mean(0) for k in (2, 5, 7)])
    assert found.names == ["c", "f", "h"]
    np.testing.assert_allclose(codes_of(found.images, 5), expected, atol=1e-5)
    np.testing.assert_allclose(found.distances, cdist(expected, expected), atol=1e-5)


def test_class_means_of_one_class_and_of_many(tmp_path: Path) -> None:
    mean, _ = posteriors(60)
    one = compute_class_means(echo(5), mean, np.zeros(60, dtype=int), ("a",))
    assert "at least 2 classes, and there is 1" in one.note
    looks_drawn(save_figure(draw_class_means(one), tmp_path / "one.png"))
    many = compute_class_means(echo(5), mean, np.arange(60) % 30, tuple(f"$n_{k}" * 9 for k in range(30)))
    assert (len(many.names), many.of) == (20, 30)
    looks_drawn(save_figure(draw_class_means(many), tmp_path / "many.png"))


def test_neighbours_are_those_of_a_brute_force_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 3, 8, 8), dtype=np.uint8)
    queries = np.concatenate([rng.random((6, 3, 8, 8), dtype=np.float32), images[[17, 40]] / np.float32(255)])
    rows = np.arange(0, 300, 3)  # neither 17 nor 40 is searched
    far = cdist(queries.reshape(8, -1), images[rows].reshape(100, -1) / 255.0) / math.sqrt(192)
    monkeypatch.setattr("analysis.figures.model.neighbours.NUMBERS", 7 * 192)
    found, distances = nearest(queries, images, rows, 3)
    np.testing.assert_array_equal(found, rows[far.argsort(1)[:, :3]])
    np.testing.assert_allclose(distances, np.sort(far, 1)[:, :3], rtol=1e-5)
    found, distances = nearest(queries, images, np.arange(300), 1)
    assert found[6:, 0].tolist() == [17, 40]
    np.testing.assert_allclose(distances[6:], 0, atol=1e-7)


def test_a_memorised_image_is_found() -> None:
    """A decoder that repeats one training image is at distance 0 from it; test images are not."""
    data = dataset(40)

    class Parrot(Echo):
        def decode(self, z: Tensor) -> Tensor:
            return torch.from_numpy(data.train.images[[5] * len(z)]) / 255

    model = Parrot(2)
    model.config = ModelConfig(image_shape=(1, 16, 16), latent_dim=2)
    found = compute_neighbours(model, data)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.distances[0], 0, atol=1e-7)
    assert found.distances[1].min() > 0.2
    np.testing.assert_array_equal(found.nearest[0, 3], data.train.images[5] / np.float32(255))
    far = cdist(data.test.images.reshape(40, -1) / 255.0, data.train.images.reshape(80, -1) / 255.0)
    assert found.held_out == pytest.approx(np.median(far.min(1)) / 16, rel=1e-5)
    assert found.held_out_decoded == pytest.approx(0, abs=1e-7)
    assert (found.searched, found.of) == (80, 80)


def test_what_was_held_out_is_no_training_image() -> None:
    data = replace(dataset(40), validation_rows=np.arange(70))
    found = compute_neighbours(vae(2), data)
    assert (found.searched, found.of) == (10, 10)
    trained = data.train.images[70:] / np.float32(255)
    for image in found.nearest.reshape(-1, *trained.shape[1:]):
        assert (image == trained).all((1, 2, 3)).any()


def test_the_search_is_of_a_part_of_a_large_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.figures.model.neighbours.SEARCHED", 30)
    data = dataset(40)
    found = compute_neighbours(vae(2), data)
    assert (found.searched, found.of) == (30, 80)
    np.testing.assert_array_equal(compute_neighbours(vae(2), data).nearest, found.nearest)


def test_extremes_are_the_ends_of_the_sorted_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = vae(4), dataset(45)
    mean, _ = encode(model, data.test.images)
    monkeypatch.setattr("analysis.figures.model.extremes.BATCH", 7)
    found = compute_extremes(model, data.test, data.classes, mean)
    with torch.no_grad():
        decoded = model.reconstruct(torch.from_numpy(data.test.images).float() / 255).numpy()
    errors = ((data.test.images / 255 - decoded) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found.mse, errors, rtol=1e-4)
    assert found.rows[0].tolist() == errors.argsort()[:10].tolist()
    assert found.rows[1].tolist() == errors.argsort()[::-1][:10].tolist()
    np.testing.assert_allclose(found.decoded[1, 0], decoded[found.rows[1, 0]], atol=1e-5)
    assert found.names[1][0] == data.classes[data.test.labels[found.rows[1, 0]]]


def test_models_across_beta_see_the_same_images_and_noise(tmp_path: Path) -> None:
    data = dataset(30, (1, 8, 8))
    models = [(4.0, "trial 1", echo(3)), (0.5, "", echo(6)), (1.0, "trial $2_", echo(1))]
    across = compute_across_beta(models, data.test)
    assert across.beta.tolist() == [0.5, 1.0, 4.0]
    assert across.latent_dim.tolist() == [6, 1, 3]
    assert across.labels == ["", "trial $2_", "trial 1"]
    noise = codes_of(across.samples[0], 6)
    np.testing.assert_allclose(codes_of(across.samples[1], 1), noise[:, :1], atol=1e-5)
    np.testing.assert_allclose(codes_of(across.samples[2], 3), noise[:, :3], atol=1e-5)
    seen = across.originals.reshape(8, 64)  # echoes return the first pixels as they were
    np.testing.assert_allclose(across.decoded[0].reshape(8, 64)[:, :6], seen[:, :6], atol=1e-5)
    looks_drawn(save_figure(draw_across_beta(across), tmp_path / "a.png"))
    nothing = compute_across_beta([], data.test)
    looks_drawn(save_figure(draw_across_beta(nothing), tmp_path / "b.png"))


# ---- ink


def looks_drawn(path: Path, least: int = 200) -> None:
    with Image.open(path) as image:
        assert min(image.size) >= (least if path.suffix == ".png" else 80)
        low, high = image.convert("L").getextrema()
        assert high - low > 100, path  # type: ignore[operator]


@pytest.mark.parametrize(
    ("latent_dim", "shape", "count", "classes"),
    [
        (2, (1, 16, 16), 40, 3),
        (1, (3, 16, 24), 20, 1),  # one latent, one class, not square
        (9, (2, 16, 16), 1, 1),  # one image, of two channels
        (70, (1, 40, 8), 5, 30),  # a line instead of bars; most classes have no test image
    ],
)
def test_every_figure_of_what_there_is(
    latent_dim: int, shape: tuple[int, int, int], count: int, classes: int, tmp_path: Path
) -> None:
    model, data = vae(latent_dim, shape), dataset(count, shape, classes)
    paths = run_figures(model, data, tmp_path, "run", codes=encode(model, data.test.images))
    assert list(paths) == NAMES
    for name, path in paths.items():
        place = "traversal/run.gif" if name == "traversal_gif" else f"{name}/run.png"
        assert path == tmp_path / place
        looks_drawn(path)


def test_given_codes_are_the_ones_that_are_drawn(tmp_path: Path) -> None:
    model, data = vae(2), dataset(12)
    mean, logvar = encode(model, data.test.images)
    own = run_figures(model, data, tmp_path / "own", "run")
    moved = run_figures(model, data, tmp_path / "moved", "run", codes=(mean + 1, logvar))
    changed = {name for name in NAMES if own[name].read_bytes() != moved[name].read_bytes()}
    assert changed >= {"extremes", "kl_latents", "aggregate_posterior", "class_means", "traversal"}
    assert not changed & {"noise", "neighbours", "umap"}  # of 12 images, UMAP is a note


def test_collapsed_latents_are_drawn(tmp_path: Path) -> None:
    for count in (3, 100):
        zeros = np.zeros((50, count), dtype=np.float32)
        spread = compute_kl_latents(zeros, zeros)
        assert not spread.active.any()
        looks_drawn(save_figure(draw_kl_latents(spread), tmp_path / "kl.png"))
        aggregate = compute_aggregate_posterior(zeros, zeros)
        looks_drawn(save_figure(draw_aggregate_posterior(aggregate), tmp_path / "q.png"))
        data = dataset(50)
        traversal = compute_traversal(vae(count), data.test, data.classes, zeros, zeros)
        looks_drawn(save_figure(draw_traversal(traversal), tmp_path / "t.png"))
