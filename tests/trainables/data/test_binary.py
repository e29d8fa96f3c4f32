"""Binary images: what is drawn once is drawn with the right probability, once for all, and lies on disk."""

import numpy as np
import pytest
import torch

from trainables.config import TrialConfig
from trainables.data import dataset_of, load_dataset, training_images
from trainables.data.binary import binary_blocks
from trainables.training.batches import Pixels
from trainables.training.loop import Run, fit
from trainables.training.trial import load_pixels

BASE = TrialConfig(dataset="digits", limit_train=120, limit_val=40, epochs=2, batch_size=40)
MLP = {"model.architecture": "mlp", "model.widths": (16,), "model.latent_dim": 2, "model.likelihood": "bernoulli"}


def config(binarise: str) -> TrialConfig:
    return BASE.replace({**MLP, "model.binarise": binarise})


def made(images: np.ndarray, how: str, part: int = 0) -> np.ndarray:
    return np.concatenate(list(binary_blocks(images, how, part).blocks))


def test_a_pixel_is_white_as_often_as_it_is_light() -> None:
    levels = np.array([0, 1, 64, 128, 250, 254, 255], dtype=np.uint8)
    images = np.tile(levels, (40_000, 1)).reshape(-1, 1, 1, len(levels))
    drawn = made(images, "fixed")
    assert set(np.unique(drawn)) == {0, 255}
    share, expected = drawn.reshape(-1, len(levels)).mean(0) / 255, levels / 255
    np.testing.assert_array_less(np.abs(share - expected), 4.5 * np.sqrt(expected * (1 - expected) / 40_000) + 1e-9)
    assert (drawn[:256] != drawn[256:512]).any()  # every image has draws of its own
    assert np.array_equal(drawn, made(images, "fixed"))
    assert not np.array_equal(drawn, made(images, "fixed", 1))


def test_a_threshold_lies_at_half() -> None:
    images = np.array([0, 127, 128, 255], dtype=np.uint8).reshape(1, 1, 2, 2)
    assert made(images, "threshold").ravel().tolist() == [0, 0, 255, 255]


def test_a_set_is_made_binary_once() -> None:
    fixed, again, grey = dataset_of(config("fixed")), dataset_of(config("dynamic")), load_dataset("digits")
    assert fixed is again
    assert isinstance(fixed.train.images, np.memmap)
    for ours, theirs in ((fixed.train, grey.train), (fixed.test, grey.test)):
        assert set(np.unique(ours.images)) == {0, 255}
        assert (ours.images[theirs.images == 0] == 0).all()
        assert (ours.images[theirs.images == 255] == 255).all()
        assert np.array_equal(ours.labels, theirs.labels)
    assert np.array_equal(dataset_of(config("threshold")).test.images > 0, grey.test.images > 127)
    assert dataset_of(BASE) is grey


def test_a_dynamic_training_sees_grey_images_and_is_judged_by_one_draw() -> None:
    found, grey = training_images(config("dynamic")), load_dataset("digits")
    assert found.images is grey.train.images
    assert found.validation_images is dataset_of(config("fixed")).train.images
    fixed = training_images(config("fixed"))
    assert fixed.images is fixed.validation_images is found.validation_images
    for ours, theirs in zip(found, fixed, strict=True):
        assert ours.shape == theirs.shape


def test_dynamic_pixels_are_drawn_anew_at_each_step_and_the_same_when_repeated() -> None:
    dynamic = config("dynamic")
    train, validation = load_pixels(dynamic, None, "cpu")

    def seen() -> list[torch.Tensor]:
        run, found = Run(dynamic, train, validation), []
        step = run._step
        images = step._images
        step._images = lambda: found.append(images()) or found[-1]  # type: ignore[method-assign, func-returns-value]
        list(run.epochs())
        return found

    first, second = seen(), seen()
    assert all(set(x.unique().tolist()) == {0.0, 1.0} for x in first)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))
    # the mean of many draws of the same images is the grey image
    grey = torch.cat([train.batch(np.arange(len(train)))])
    assert torch.cat(first).mean() == pytest.approx(grey.mean().item(), abs=0.01)
    assert len({x.sum().item() for x in first}) == len(first)


@pytest.mark.parametrize("binarise", ["dynamic", "fixed", "threshold"])
def test_the_elbo_of_binary_pixels_is_distortion_and_rate(binarise: str) -> None:
    rows = [epoch.metrics for epoch in fit(config(binarise), *load_pixels(config(binarise), None, "cpu"))]
    for row in rows:
        assert row["val_nelbo"] == pytest.approx(row["val_distortion"] + row["val_rate"], rel=1e-12)
    assert rows[-1]["val_nelbo"] < rows[0]["val_nelbo"]


def test_grey_pixels_are_none_of_a_set_that_is_binary() -> None:
    _, validation = load_pixels(config("dynamic"), None, "cpu")
    assert isinstance(validation, Pixels)
    assert set(np.unique(validation.images())) == {0, 255}
