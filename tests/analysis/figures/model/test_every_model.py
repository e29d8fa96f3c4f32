"""Every figure of every kind of model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.analysis_fixture import BASE, metrics
from support.model_cases import dataset, vae
from support.pictures import looks_drawn

from analysis.figures.files import draw_model, save_figure
from analysis.figures.model.aggregate_posterior import compute_aggregate_posterior, draw_aggregate_posterior
from analysis.figures.model.interp import compute_interp, draw_interp
from analysis.figures.model.kl_latents import compute_kl_latents, draw_kl_latents
from analysis.figures.model.noise import compute_noise, draw_noise
from analysis.figures.model.pca import compute_pca, draw_pca
from analysis.figures.model.recon import compute_recon, draw_recon
from analysis.figures.model.traversal import compute_traversal, draw_traversal
from analysis.figures.model.umap import compute_umap, draw_umap
from analysis.figures.registry import ModelContext, model_figures
from analysis.measures.codes import Codes, encode
from trainables.data.datasets import Dataset, Split
from vae_models import VAE, ModelConfig

pytestmark = pytest.mark.usefixtures("one_thread", "pixels_alone")


@pytest.mark.heavy
@pytest.mark.parametrize("channels", [1, 3])
def test_run_figures_of_grey_and_colour_images(channels: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    test = Split(rng.integers(0, 256, (12, channels, 16, 24), dtype=np.uint8), np.arange(12) % 12)
    classes = tuple(f"class {k}" for k in range(12))
    vae = VAE(ModelConfig(image_shape=(channels, 16, 24), latent_dim=1, width=4)).eval()
    context = ModelContext(vae, Dataset("made", test, test, classes))
    means = context.codes.mean_NZ
    figures = [
        draw_recon(compute_recon(context)),
        draw_interp(compute_interp(context)),
        draw_noise(compute_noise(context)),
        draw_pca(compute_pca(means, test.labels, classes)),
    ]
    for k, figure in enumerate(figures):
        looks_drawn(save_figure(figure, tmp_path / f"{k}.png"), least=250)
    umap = compute_umap(means, test.labels, classes)
    assert isinstance(umap, str)
    assert "needs at least 15 images" in umap
    looks_drawn(save_figure(draw_umap(umap), tmp_path / "umap.png"), least=400)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("latent_dim", "shape", "count", "classes", "fields"),
    [
        (2, (1, 16, 16), 40, 3, {}),
        (1, (3, 16, 24), 20, 1, {}),  # one latent, one class, not square
        (9, (2, 16, 16), 1, 1, {}),  # one image, of two channels
        (70, (1, 40, 8), 5, 30, {}),  # a line instead of bars; most classes have no test image
        (3, (3, 9, 13), 40, 3, {"architecture": "linear"}),
        (3, (1, 9, 13), 40, 3, {"architecture": "mlp", "widths": (8,)}),
        (3, (1, 9, 13), 40, 3, {"architecture": "mlp", "widths": (8,), "prior": "vamp", "pseudo_inputs": 4}),
    ],
)
def test_every_figure_of_what_there_is(
    latent_dim: int, shape: tuple[int, int, int], count: int, classes: int, fields: dict, tmp_path: Path
) -> None:
    model, data = vae(latent_dim, shape, **fields), dataset(count, shape, classes)
    given = ModelContext(model, data, encode(model, data.test.images), rows=[metrics(1, 3.0, BASE)])
    paths = draw_model(given, tmp_path, "run")
    lacking = ["class_means"] * (classes == 1) + ["manifold"] * ("prior" in fields)
    assert list(paths) == [name for name in model_figures() if name not in lacking]
    for name, path in paths.items():
        place = "traversal/run.gif" if name == "traversal_gif" else f"{name}/run.png"
        assert path == tmp_path / place
        looks_drawn(path)


@pytest.mark.heavy
def test_given_codes_are_the_ones_that_are_drawn(tmp_path: Path) -> None:
    model, data = vae(2), dataset(12)
    mean, logvar = encode(model, data.test.images)
    own = draw_model(ModelContext(model, data), tmp_path / "own", "run")
    moved = draw_model(ModelContext(model, data, Codes(mean + 1, logvar)), tmp_path / "moved", "run")
    changed = {name for name in own if own[name].read_bytes() != moved[name].read_bytes()}
    assert changed >= {"extremes", "kl_latents", "aggregate_posterior", "class_means", "traversal"}
    assert not changed & {"noise", "neighbours", "umap"}  # of 12 images, UMAP is a note


def test_without_images_what_was_recorded_is_drawn(tmp_path: Path) -> None:
    drawn = draw_model(ModelContext(vae(2), None, rows=[metrics(1, 3.0, BASE)]), tmp_path, "run")
    assert list(drawn) == ["curves"]
    assert draw_model(ModelContext(vae(2), None), tmp_path, "run") == {}


def test_collapsed_latents_are_drawn(tmp_path: Path) -> None:
    for count in (3, 100):
        zeros = np.zeros((50, count), dtype=np.float32)
        spread = compute_kl_latents(zeros, zeros)
        assert not spread.active.any()
        looks_drawn(save_figure(draw_kl_latents(spread), tmp_path / "kl.png"))
        aggregate = compute_aggregate_posterior(zeros, zeros)
        looks_drawn(save_figure(draw_aggregate_posterior(aggregate), tmp_path / "q.png"))
        traversal = compute_traversal(ModelContext(vae(count), dataset(50), Codes(zeros, zeros)))
        looks_drawn(save_figure(draw_traversal(traversal), tmp_path / "t.png"))
