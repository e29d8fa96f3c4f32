"""Every module of a figure is found, once and in the order of the page."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType

import pytest

from analysis.figures import model, study
from analysis.figures.registry import ModelFigure, StudyFigure, model_figures, study_figures

STUDY = (
    "rate_distortion bits_by_beta active_units importance contour parallel history search_quality learning_curves "
    "timeline across_beta"
)
MODEL = (
    "recon extremes noise neighbours interp traversal traversal_gif manifold kl_latents aggregate_posterior pca umap "
    "class_means curves"
)


@pytest.mark.parametrize(("found", "package", "known"), [(study_figures, study, STUDY), (model_figures, model, MODEL)])
def test_each_module_is_one_figure_named_as_its_file(
    found: Callable[[], Mapping[str, StudyFigure | ModelFigure]], package: ModuleType, known: str
) -> None:
    figures = found()
    modules = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}
    assert set(figures) == modules
    orders = [figure.order for figure in figures.values()]
    assert orders == sorted(set(orders))
    assert all(figure.caption.endswith(".") for figure in figures.values())
    assert [name for name in figures if name in known.split()] == known.split()


def test_no_figure_of_a_study_has_the_name_of_one_of_a_model() -> None:
    assert not study_figures().keys() & model_figures().keys()
