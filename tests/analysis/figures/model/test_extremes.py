"""Best and worst reconstructions against the sorted errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.model_cases import dataset, vae

from analysis.figures.model.extremes import compute_extremes
from analysis.figures.registry import ModelContext
from analysis.measures.codes import PIXELS

pytestmark = pytest.mark.usefixtures("one_thread")


def test_extremes_are_the_ends_of_the_sorted_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = vae(4), dataset(45)
    monkeypatch.setitem(PIXELS, "cpu", 7 * 16 * 16)  # 7 images at once
    found = compute_extremes(ModelContext(model, data))
    with torch.no_grad():
        decoded = model.reconstruct(torch.from_numpy(data.test.images).float() / 255).numpy()
    errors = ((data.test.images / 255 - decoded) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found.mse, errors, rtol=1e-4)
    assert found.rows[0].tolist() == errors.argsort()[:10].tolist()
    assert found.rows[1].tolist() == errors.argsort()[::-1][:10].tolist()
    np.testing.assert_allclose(found.decoded[1, 0], decoded[found.rows[1, 0]], atol=1e-5)
    assert found.names[1][0] == data.classes[data.test.labels[found.rows[1, 0]]]
