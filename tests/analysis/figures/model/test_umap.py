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

pytestmark = pytest.mark.usefixtures("one_thread", "pixels_alone")


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
import sys
import numpy as np
from analysis.figures.model.umap import compute_umap
found = compute_umap(np.random.default_rng(0).normal(size=(20, 4)), np.zeros(20, int), ("a",))
print(found if isinstance(found, str) else "an embedding")
modules = [module for name, module in sys.modules.items() if name.startswith("umap.")]
functions = [it for module in modules for it in vars(module).values() if hasattr(it, "enable_caching")]
print(*{it.__name__ for it in functions if it.stats.cache_misses})
"""


def _computed(folder: Path, variables: dict[str, str]) -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)} | variables
    command = [sys.executable, "-c", _COMPUTE]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.heavy
def test_where_its_compiler_can_write_nowhere_a_temporary_folder_keeps_all_that_it_makes(tmp_path: Path) -> None:
    # as where neither the home nor the packages' folder can be written
    variables = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    first, again = _computed(tmp_path, variables), _computed(tmp_path, variables)
    assert first[0] == again[0] == "an embedding"
    assert {"fast_knn_indices", "smooth_knn_dist", "compute_membership_strengths"} < set(first[1].split())
    assert set(again[1].split()) == {"tau_rand", "tau_rand_int"}  # which UMAP has compiled when it is imported


@pytest.mark.heavy
def test_what_its_compiler_finds_wrong_here_ends_no_report(tmp_path: Path) -> None:
    found = _computed(tmp_path, {"NUMBA_NUM_THREADS": "0"})[0]
    assert found == "UMAP could not be computed here: Number of threads specified must be > 0"
