"""One run's curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.analysis_fixture import BASE, metrics
from support.pictures import looks_drawn

from analysis.figures.files import save_figure
from analysis.figures.model.curves import compute_curves, draw_curves
from trainables.config import TrialConfig
from trainables.training.loop import fit
from trainables.training.trial import load_pixels
from vae_models import ModelConfig

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_validation_loss_has_the_weight_of_its_epoch() -> None:
    rows = [metrics(k, 3 - k / 10, BASE.replace({"beta": 4.0})) for k in (1, 2, 3)]
    curves = compute_curves(rows)
    expected = [row["val_distortion"] + 4 * row["val_rate"] for row in rows]
    np.testing.assert_allclose(curves["val_loss"], expected)


def test_curves_are_drawn_from_rows(tmp_path: Path) -> None:
    looks_drawn(
        save_figure(draw_curves(compute_curves([metrics(k, 3 - k / 10, BASE) for k in (1, 2, 3)])), tmp_path / "a.png"),
        least=400,
    )
    looks_drawn(save_figure(draw_curves(compute_curves([])), tmp_path / "b.png"), least=400)


def test_of_a_multi_rate_network_what_judges_it_and_its_ends_are_shown(tmp_path: Path) -> None:
    multi = TrialConfig(model=ModelConfig(width=4, multi_rate=True), dataset="digits", limit_train=96, epochs=3)
    rows = [epoch.history[-1] for epoch in fit(multi, *load_pixels(multi, None, "cpu"))]
    curves = compute_curves(rows)
    np.testing.assert_array_equal(curves["val_relative_loss"], [row["val_relative_loss"] for row in rows])
    assert "val_loss" not in curves
    figure = draw_curves(curves)
    drawn = [line for axes in figure.axes for line in axes.get_lines() if line.get_label() == "highest"]
    expected = [[row[f"val_{name}/8"] for row in rows] for name in ("distortion", "rate", "bits_per_dim")]
    np.testing.assert_array_equal([line.get_ydata() for line in drawn], expected)
    looks_drawn(save_figure(figure, tmp_path / "a.png"), least=400)
