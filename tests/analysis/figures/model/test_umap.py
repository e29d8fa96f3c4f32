"""UMAP, and what there is without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.commands import ROOT
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


_COMPUTE = """
import numpy as np
from analysis.figures.model.umap import compute_umap
found = compute_umap(np.random.default_rng(0).normal(size=(20, 4)), np.zeros(20, int), ("a",))
print(found if isinstance(found, str) else "an embedding")
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("variables", "found"),
    [
        # as where neither the home nor the packages' folder can be written
        ({"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}, "an embedding"),
        ({"NUMBA_NUM_THREADS": "0"}, "UMAP could not be computed here: Number of threads specified must be > 0"),
    ],
    ids=["nowhere to write", "no threads"],
)
def test_what_its_compiler_finds_here_ends_no_report(variables: dict[str, str], found: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)} | variables
    command = [sys.executable, "-c", _COMPUTE]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{found}\n"
