"""The declared yardsticks are the published protocols, as far as a number of them can be checked."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from studies.yardstick.declaration import SEEDS, Yardstick
from studies.yardsticks import YARDSTICKS
from trainables.config import TrialConfig
from trainables.data.datasets import image_shape
from vae_models import VAE

ALL = pytest.mark.parametrize("yardstick", YARDSTICKS.values(), ids=YARDSTICKS)


def configs(yardstick: Yardstick) -> list[TrialConfig]:
    return [variant.study.base for variant in yardstick.variants]


def linear(*widths: int) -> int:
    """Parameters of fully connected layers from each width to the next."""
    return sum((before + 1) * after for before, after in pairwise(widths))


GATED = 2 * linear(784, 300, 300) + 2 * linear(300, 40) + 2 * linear(40, 300, 300) + linear(300, 784)


def parameters(config: TrialConfig) -> int:
    with torch.device("meta"):
        return sum(each.numel() for each in VAE(config.model).parameters())


@ALL
def test_nothing_is_pruned_trained_longer_or_again(yardstick: Yardstick) -> None:
    for variant in yardstick.variants:
        study = variant.study
        assert (study.prune, study.finals, study.seeds) == (0, 0, 0)
        assert study.trials == (SEEDS if yardstick.has_seeds else 10)
        assert not study.space or not yardstick.has_seeds
        assert study.base.model.image_shape == image_shape(study.base.dataset)
        assert variant.figures


def test_names_of_studies_are_those_of_folders_and_unique() -> None:
    names = [variant.study.name for each in YARDSTICKS.values() for variant in each.variants]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


@ALL
def test_a_quick_version_is_another_study_of_few_images_and_epochs(yardstick: Yardstick) -> None:
    quick = yardstick.quick()
    assert quick.is_quick
    assert quick.name == f"{yardstick.name}_quick"
    for before, variant in zip(yardstick.variants, quick.variants, strict=True):
        base = variant.study.base
        assert base.limit_train == 2000
        assert base.epochs <= 8
        assert variant.study.trials <= 2
        assert base.model == before.study.base.model
    assert quick.samples <= 20
    assert quick.images == 200


def test_seeds_are_asked_for_where_trainings_are_seeds() -> None:
    assert [each.study.trials for each in YARDSTICKS["mnist_grey"].with_seeds(5).variants] == [5]
    with pytest.raises(ValueError, match="--seeds must be left out for linear_mnist, got 5\nlinear_mnist has 10"):
        YARDSTICKS["linear_mnist"].with_seeds(5)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("linear_mnist", [2 * linear(784, 32) + linear(32, 784)]),
        # BB-ANS has 1,000 more, of its batch normalisation
        ("mnist_grey", [linear(784, 200) + 2 * linear(200, 50) + linear(50, 200, 2 * 784)]),
        # a gated layer is two maps; 500 pseudo-inputs are images
        ("mnist_dynamic", [GATED, GATED + 500 * 784]),
        ("fashion_dynamic", [GATED, GATED + 500 * 784]),
        ("mnist_iwae", [linear(784, 200, 200) + 2 * linear(200, 50) + linear(50, 200, 200, 784)] * 2),
    ],
)
def test_networks_have_the_published_sizes(name: str, counts: list[int]) -> None:
    assert [parameters(config) for config in configs(YARDSTICKS[name])] == counts


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mnist_grey", {"epochs": 20, "batch_size": 100, "lr": 2e-3, "optimizer": "adam", "schedule": "cosine"}),
        ("linear_mnist", {"limit_train": 18_000, "beta": 1.0}),
        ("mnist_dynamic", {"epochs": 2000, "patience": 50, "batch_size": 100, "lr": 5e-4, "optimizer": "adam"}),
        ("mnist_iwae", {"epochs": 3280, "batch_size": 20, "schedule": "burda", "optimizer": "adam"}),
    ],
)
def test_trainings_go_by_the_published_protocol(name: str, fields: dict[str, Any]) -> None:
    for config in configs(YARDSTICKS[name]):
        assert {field: getattr(config, field) for field in fields} == fields


def test_kl_weights_rise_over_a_hundred_epochs_and_held_out_are_ten_thousand() -> None:
    for config in configs(YARDSTICKS["mnist_dynamic"]) + configs(YARDSTICKS["fashion_dynamic"]):
        assert [config.beta_at(epoch) for epoch in (50, 100, 1000)] == [0.5, 1.0, 1.0]
        assert round(config.held_out * 60_000) == 10_000
    assert [config.importance_samples for config in configs(YARDSTICKS["mnist_iwae"])] == [1, 50]
    assert {round(config.held_out * 60_000) for config in configs(YARDSTICKS["mnist_iwae"])} == {400}


def test_a_yardstick_is_a_value() -> None:
    with pytest.raises(AttributeError):
        YARDSTICKS["mnist_grey"].samples = 1  # type: ignore[misc]
    assert replace(YARDSTICKS["mnist_grey"]) == YARDSTICKS["mnist_grey"]
