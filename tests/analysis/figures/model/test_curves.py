"""One run's curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.analysis_fixture import BASE, metrics
from support.pictures import looks_drawn

from analysis.figures.files import save_figure
from analysis.figures.model.curves import compute_curves, draw_curves

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
