"""UMAP, and what there is without it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from support.model_cases import dataset, vae
from support.pictures import looks_drawn

from analysis.figures.files import draw_model
from analysis.figures.model.umap import compute_umap
from analysis.figures.registry import ModelContext, model_figures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.heavy
def test_where_umap_is_not_installed_the_figure_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    found = compute_umap(np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 3, ("a", "b", "c"))
    assert isinstance(found, str)
    assert found.endswith("pip install 'vae-studies[umap]'")
    drawn = draw_model(ModelContext(vae(3), dataset(40)), tmp_path, "run")
    assert list(drawn) == [name for name in model_figures() if name != "curves"]
    looks_drawn(drawn["umap"], least=400)
