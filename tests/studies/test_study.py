"""A study as a declaration."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution
from support.small_study import CONFIG, study


def test_a_space_is_checked_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="no field of ModelConfig"):
        study(space={"model.detph": CategoricalDistribution((1,))})
    with pytest.raises(ValueError, match="latent_dim"):
        study(space={"model.latent_dim": CategoricalDistribution((0, 1))})
    with pytest.raises(ValueError, match="seed cannot be searched"):
        study(space={"seed": CategoricalDistribution((0, 1))})


def test_a_study_of_ones_own_images_has_a_name_that_ray_takes() -> None:
    assert study().with_overrides({"dataset": "imagefolder:/x/my photos é"}).name == "my_photos_vae"
    assert study().with_overrides({"dataset": "imagefolder:/x/写真"}).name == "images_vae"


def test_differences_are_named() -> None:
    other = study(base=CONFIG.replace({"lr": 0.5}))
    assert study().differences(study().question()) == []
    assert other.differences(study().question()) == ["base.lr: 0.001 in the folder, 0.5 now"]
