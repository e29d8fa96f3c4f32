"""The same images and noise through models of several KL weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.model_cases import codes_of, dataset, echo
from support.pictures import looks_drawn

from analysis.figures.files import save_figure
from analysis.figures.study.across_beta import FIGURE, compute_across_beta, draw_across_beta

pytestmark = pytest.mark.usefixtures("one_thread")


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
    assert FIGURE.shown(across)
    assert not FIGURE.shown(compute_across_beta([], data.test))
