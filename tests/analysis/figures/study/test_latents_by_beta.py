"""Which latents a KL weight switches off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.figures.registry import StudyContext
from analysis.figures.study.latents_by_beta import FIGURE, compute_latents_by_beta
from analysis.measures.linear import linear_model
from analysis.reading.study_record import read_study
from trainables.data.datasets import load_dataset
from trainables.data.water_filling import water_filling

pytestmark = pytest.mark.usefixtures("one_thread")


def test_components_share_out_the_rate_of_the_best_linear_model(networks: Path) -> None:
    data = load_dataset("digits").limited(192)
    study = StudyContext(read_study(networks), data)
    found = compute_latents_by_beta(study)
    latents = study.runs[0].config.model.latent_dim
    eigenvalues = linear_model(data, study.record.base.model, latents).eigenvalues
    optimum = water_filling(eigenvalues, latents, found.beta)
    np.testing.assert_allclose(found.components.sum(1), optimum.rate, rtol=1e-9, atol=1e-9)
    assert found.active.tolist() == optimum.active_units.tolist()
    is_on = found.components > 0
    assert (is_on == (eigenvalues[:latents] > found.beta[:, None])).all()
    assert (np.diff(found.sweep.latent_rates[0]) <= 0).all()  # the largest first, at the lowest weight
    assert found.label == study.runs[0].label
    assert (found.beta[0], found.beta[-1]) == pytest.approx((0.1, 10.0))


def test_it_says_what_it_lacks(networks: Path) -> None:
    found = compute_latents_by_beta(StudyContext(read_study(networks)))
    assert FIGURE.note(found) == "Which latents a KL weight switches off takes the test images, which cannot be had"
