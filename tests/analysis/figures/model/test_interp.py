"""Interpolations, linear and spherical."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.figures.model.interp import Interpolations, compute_interp, draw_interp, lerp, slerp
from analysis.figures.registry import ModelContext
from trainables.data.datasets import Dataset
from vae_models import VAE

pytestmark = pytest.mark.usefixtures("one_thread")


def test_slerp_keeps_norms_and_angles() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 16))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    t = np.linspace(0, 1, 9)
    path = slerp(a, b, t)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), np.linalg.norm(a))
    np.testing.assert_allclose(path[[0, -1]], [a, b], atol=1e-12)
    steps = (path[:-1] * path[1:]).sum(1)
    np.testing.assert_allclose(steps, steps[0])
    assert np.linalg.norm(lerp(a, b, t)[4]) < np.linalg.norm(a)


@pytest.mark.parametrize("b", [[-2.0], [2.0], [0.0]])
def test_slerp_without_an_arc_is_the_line(b: list[float]) -> None:
    t = np.linspace(0, 1, 5)
    np.testing.assert_allclose(slerp(np.array([1.0]), np.array(b), t), lerp(np.array([1.0]), np.array(b), t))


def test_interpolations_end_at_the_reconstructions(model: VAE, digits: Dataset) -> None:
    interp = compute_interp(ModelContext(model, digits))
    assert isinstance(interp, Interpolations)
    with torch.no_grad():
        ends = model.reconstruct(torch.from_numpy(interp.ends[:, 0]))
    for path in (0, 1):
        np.testing.assert_allclose(interp.decoded[:, path, 0], ends, atol=1e-4)
    assert all(first != last for first, last in interp.names)
    assert draw_interp(interp).get_suptitle().startswith("Between two test images")
