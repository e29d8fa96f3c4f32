"""Pictures that come or go while models of them are trained, measured and drawn: the split would be another, and of its
new test images many were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.analysis_fixture import build_study
from support.image_sets import write_pictures

from analysis.report.report import write_report
from trainables.config import TrialConfig
from trainables.data.datasets import load_dataset
from trainables.errors import UserError
from trainables.records.atomic_files import seal, unseal
from trainables.records.trial_folder import TrialFolder
from trainables.training.local import known_images, train_local
from trainables.training.trial import train
from vae_models import ModelConfig


@pytest.fixture
def config(tmp_path: Path) -> TrialConfig:
    write_pictures(tmp_path / "photos", {"cat": 20, "dog": 20})
    model = ModelConfig(image_shape=(3, 16, 16), width=4, latent_dim=2)
    return TrialConfig(dataset=f"imagefolder:{tmp_path}/photos", image_size=16, model=model, epochs=2)


def test_a_trial_of_a_study_is_trained_on_the_images_that_the_study_began_with(
    config: TrialConfig, tmp_path: Path
) -> None:
    images = load_dataset(config.dataset, None, 16).identity
    assert len(list(train(config, TrialFolder(tmp_path / "first"), images=images))) == 2
    (tmp_path / "photos/cat/000.png").unlink()
    with pytest.raises(UserError, match=r"has other images than when training began, 39 of them now\nput those back"):
        next(train(config, TrialFolder(tmp_path / "second"), images=images))


def test_a_training_goes_on_with_its_images_and_is_measured_on_no_others(config: TrialConfig, tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "a")
    training = train_local(config, folder, None, workers=1)
    next(training)
    training.close()
    assert len(list(train_local(config, folder, None, workers=1))) == 1
    (tmp_path / "photos/cat/000.png").unlink()
    for again in (
        lambda: next(train_local(config, folder, None, workers=1)),
        lambda: known_images(config, folder, None),
    ):
        with pytest.raises(UserError, match=r"a began with other images of imagefolder:.*\nput those back, or move it"):
            again()


def test_a_report_measures_no_model_on_other_images(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")
    info = unseal((folder / "study.json").read_text())
    (folder / "study.json").write_text(seal(info | {"images": {"count": 1, "digest": "another"}}))
    page = write_report(folder, quick=True)["report"].read_text()
    assert "digits has other images than when training began" in page
