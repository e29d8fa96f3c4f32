"""Latent traversals in motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.model_cases import dataset, echo, posteriors, vae

from analysis.figures.files import save_gif
from analysis.figures.model.traversal import compute_traversal
from analysis.figures.model.traversal_gif import draw_traversal_gif
from analysis.figures.registry import ModelContext
from analysis.measures.codes import Codes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_moving_traversal_goes_there_and_back(tmp_path: Path) -> None:
    traversal = compute_traversal(ModelContext(echo(5), dataset(200, (1, 8, 8)), Codes(*posteriors())))
    path = save_gif(draw_traversal_gif(traversal), tmp_path / "new" / "a.gif")
    assert [entry.name for entry in path.parent.iterdir()] == ["a.gif"]
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["loop"]) == (24, 0)  # type: ignore[attr-defined]
        frames = []
        for k in range(24):
            gif.seek(k)
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
    for k in range(1, 12):
        np.testing.assert_array_equal(frames[k], frames[24 - k])
    assert all((frames[k] != frames[k + 1]).any() for k in range(12))
    assert (frames[0][0, 0] == 255).all()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_the_gif_is_small_whatever_it_shows(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """Noise does not compress: no images give a larger file."""
    traversal = compute_traversal(ModelContext(vae(8, shape), dataset(3, shape)))
    rng = np.random.default_rng(0)
    object.__setattr__(traversal, "decoded", rng.random(traversal.decoded.shape, dtype=np.float32))
    assert save_gif(draw_traversal_gif(traversal), tmp_path / "a.gif").stat().st_size < 1_500_000
