"""The slider of the KL weight."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.analysis_fixture import SIX, build_study

from analysis.figures.registry import StudyContext
from analysis.measures.sweep import sweep_weights
from analysis.reading.study_record import read_study
from analysis.report.embedded import still_uri
from analysis.report.slider import Slider, Sprite, compute_slider
from analysis.report.slider import frame as frame_of
from trainables.data.datasets import Dataset, load_dataset
from vae_models import VAE

pytestmark = pytest.mark.usefixtures("one_thread")
GAP, SIDE = 2, 28  # pixels


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def study(networks: Path, data: Dataset) -> StudyContext:
    return StudyContext(read_study(networks), data)


@pytest.fixture(scope="module")
def slider(study: StudyContext) -> Slider:
    found = compute_slider(study)
    assert found
    return found


def pixels(uri: str) -> np.ndarray:
    _, _, content = uri.partition("base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def frame(sprite: Sprite, k: int) -> np.ndarray:
    """(R, K, H, W) grey levels of a stop's tiles, as a page's reader sees them."""
    whole = pixels(sprite.uri)
    width, height = sprite.size
    assert whole.shape[1] == width
    picture = whole[k * height : (k + 1) * height]
    assert (picture[-GAP:] == 255).all()  # so that no stop bleeds into the next
    rows, columns = height // (SIDE + GAP), (width + GAP) // (SIDE + GAP)
    padded = np.pad(picture[..., 0], ((0, 0), (0, GAP)))
    tiles = padded.reshape(rows, SIDE + GAP, columns, SIDE + GAP)[:, :SIDE, :, :SIDE]
    return tiles.transpose(0, 2, 1, 3).astype(int)


def grey(images: torch.Tensor) -> np.ndarray:
    return (255 * images[:, 0].numpy()).round().astype(int)


@torch.no_grad()
def test_its_pictures_are_the_networks_own_at_each_weight(slider: Slider, study: StudyContext, data: Dataset) -> None:
    whole = study.runs[0].load_whole()
    weights = sweep_weights(whole)
    sprites = {sprite.name: sprite for sprite in slider.sprites}
    assert list(sprites) == ["recon", "noise", "interp"]
    all_grey = {int(image.astype(int).sum()): image for image in data.test.images[:, 0]}
    for k in (0, 7, 16):
        model: VAE = whole.at(float(weights[k]))
        originals, decoded = frame(sprites["recon"], k)
        assert all((all_grey[int(tile.sum())] == tile).all() for tile in originals)
        images = torch.from_numpy(originals[:, None]).float() / 255
        np.testing.assert_allclose(decoded, grey(model.reconstruct(images)), atol=1)
        noise = np.random.default_rng(0).standard_normal((max(study.trials["latent_dim"]), 20)).T
        samples = model.decode(torch.from_numpy(noise[:, : whole.config.latent_dim]).float())
        np.testing.assert_allclose(frame(sprites["noise"], k).reshape(20, SIDE, SIDE), grey(samples), atol=1)
        for first, *between, last in frame(sprites["interp"], k):
            ends = torch.from_numpy(np.stack([first, last])[:, None]).float() / 255
            a, b = model.encode(ends).mean
            path = torch.stack([a + (b - a) * t / 8 for t in range(9)])
            np.testing.assert_allclose(np.array(between), grey(model.decode(path)), atol=1)


def test_its_stops_are_said_and_drawn(slider: Slider, study: StudyContext) -> None:
    assert len(slider.stops) == len(slider.told) == 17
    assert slider.strip == [0, 4, 8, 12, 16]
    assert slider.label == study.runs[0].label
    stop = slider.stops[8]
    assert stop.beta == pytest.approx(1.0)
    assert stop.text == f"KL weight 1: rate {stop.rate:.1f} nats, distortion {stop.distortion:.1f} nats"
    rates, places = [stop.rate for stop in slider.stops], [x for x, _ in slider.curve.dots]
    assert np.argsort(rates).tolist() == np.argsort(places).tolist()
    assert all(0 < x < 440 and 0 < y < 300 for x, y in slider.curve.dots)
    assert sum(len(sprite.uri) for sprite in slider.sprites) < 3e6


def test_of_plain_trials_it_walks_along_their_front(tmp_path: Path, data: Dataset) -> None:
    study = StudyContext(read_study(build_study(tmp_path / "study", objective="rate_distortion")), data)
    slider = compute_slider(study)
    assert slider
    front = study.trials[study.trials["front"]].sort_values("beta")
    assert [stop.label for stop in slider.stops] == [f"trial {number}" for number in front["number"]]
    assert [stop.rate for stop in slider.stops] == front["val_rate"].tolist()
    assert slider.label == ""
    assert slider.told[0]["text"] == slider.stops[0].text
    assert slider.stops[0].text.startswith(f"KL weight {front['beta'].iloc[0]:.2g}, trial {front['number'].iloc[0]}: ")


def test_there_is_none_of_one_stop_or_without_images(tmp_path: Path, data: Dataset, networks: Path) -> None:
    one = build_study(tmp_path / "one", SIX[:1], objective="rate_distortion")
    assert compute_slider(StudyContext(read_study(one), data)) is None
    assert compute_slider(StudyContext(read_study(networks))) is None
    empty = build_study(tmp_path / "empty", [], objective="rate_distortion")
    assert compute_slider(StudyContext(read_study(empty), data)) is None


def test_large_pictures_keep_a_sprite_small() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.random((2, 10, 3, 16, 16)).repeat(16, 3).repeat(16, 4)
    noisy = [frame_of(np.clip(coarse + rng.normal(0, 0.05, coarse.shape), 0, 1)) for _ in range(17)]
    assert max(noisy[0].shape) <= 10 * 98
    large = np.concatenate(noisy)
    assert len(still_uri(Image.fromarray(large), 650_000, (80, 60, 40, 20))) < 1e6
    flat = Image.new("RGB", (64, 64), "white")
    assert np.array_equal(pixels(still_uri(flat)), np.asarray(flat))
