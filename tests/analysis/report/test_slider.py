"""The slider of the KL weight."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.analysis_fixture import SIX, Made, build_study

from analysis.figures.registry import StudyContext
from analysis.figures.study import importance, rate_distortion
from analysis.measures.sweep import sweep_weights
from analysis.reading.study_record import read_study
from analysis.report.embedded import still_uri
from analysis.report.findings import findings
from analysis.report.page import render
from analysis.report.slider import Curve, Slider, Sprite, Stop, compute_slider
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


def alike(beta: float) -> list[Made]:
    return [replace(made, params={**made.params, "beta": beta}) for made in SIX]


def test_there_is_none_where_no_kl_weight_turns(tmp_path: Path, data: Dataset) -> None:
    study = StudyContext(read_study(build_study(tmp_path / "one", alike(1.0), objective="rate_distortion")), data)
    assert study.trials["front"].sum() > 1
    assert compute_slider(study) is None
    waiting = build_study(tmp_path / "waiting", [Made("WAITING", {})] * 2, objective="rate_distortion")
    assert compute_slider(StudyContext(read_study(waiting), data)) is None


def test_it_says_how_many_of_the_front_it_has(tmp_path: Path, data: Dataset) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")

    def caption() -> str:
        study = StudyContext(read_study(folder), data)
        said = findings(study, study.of(importance.FIGURE), study.of(rate_distortion.FIGURE))
        page = render(study, said, [], {}, {}, [], compute_slider(study))
        return page[page.index("Blue: ") :].partition(" trials")[0]

    assert caption() == "Blue: the front's"
    (folder / "trials" / "0000" / "checkpoints" / "best.safetensors").unlink()
    assert caption() == "Blue: 2 of the front's 3"


def test_a_long_front_is_walked_in_some_of_its_trials(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.report.slider._MOST_STOPS", 2)
    slider = compute_slider(StudyContext(read_study(build_study(tmp_path / "s", objective="rate_distortion")), data))
    assert slider
    assert (len(slider.stops), slider.front_size) == (2, 3)


@pytest.mark.parametrize(
    ("low", "step", "labels"),
    [
        (2837.1200, 1e-3, {"2837.120", "2837.122", "2837.124"}),
        (0.1, 20.0, {"0", "25", "50", "75"}),
        (123456.0, 10.0, {"123460", "123475", "123490"}),
    ],
)
def test_ticks_are_told_apart_and_have_their_room(low: float, step: float, labels: set[str]) -> None:
    distortions = low + step * np.arange(5)
    curve = Curve(np.stack([np.arange(5.0), distortions]), None)
    _, ticks = curve.ticks
    texts = [text for _, text in ticks]
    assert len(set(texts)) == len(texts) > 1
    assert labels <= set(texts)
    left, _ = curve.corner
    assert left >= 32 + 7 * max(map(len, texts))
    assert all(left < x < 440 for x, _ in curve.dots)
    for place, text in ticks:  # where the value is that it names
        (_, top_y), (_, low_y) = curve.dots[0], curve.dots[-1]
        share = (float(text) - distortions[0]) / (distortions[-1] - distortions[0])
        assert place == pytest.approx(top_y + share * (low_y - top_y), abs=1)


def test_a_large_weight_has_no_exponent() -> None:
    assert Stop(316.2, 1, 2).text.startswith("KL weight 316: ")


@pytest.mark.heavy
def test_large_pictures_keep_a_sprite_small() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.random((2, 10, 3, 16, 16)).repeat(16, 3).repeat(16, 4)
    noisy = [frame_of(np.clip(coarse + rng.normal(0, 0.05, coarse.shape), 0, 1)) for _ in range(17)]
    assert max(noisy[0].shape) <= 10 * 98
    large = np.concatenate(noisy)
    assert len(still_uri(Image.fromarray(large), 650_000, (80, 60, 40, 20))) < 1e6
    flat = Image.new("RGB", (64, 64), "white")
    assert np.array_equal(pixels(still_uri(flat)), np.asarray(flat))
