"""All figures and charts of a study as a whole, by name."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure

from analysis.figures.charts import (
    history_chart,
    importance_chart,
    learning_curves_chart,
    parallel_chart,
    rate_distortion_chart,
    timeline_chart,
)
from analysis.figures.effect_charts import active_units_chart, bits_by_beta_chart, contour_chart
from analysis.figures.model.curves import LearningCurves, compute_learning_curves, draw_learning_curves
from analysis.figures.study.by_beta import ByBeta, compute_by_beta, draw_active_units, draw_bits_by_beta
from analysis.figures.study.contour import Contours, compute_contours, draw_contours
from analysis.figures.study.history import History, compute_history, draw_history
from analysis.figures.study.importance import draw_importance
from analysis.figures.study.parallel import Parallel, compute_parallel, draw_parallel
from analysis.figures.study.rate_distortion import RateDistortion, compute_rate_distortion, draw_rate_distortion
from analysis.figures.study.timeline import Timeline, compute_timeline, draw_timeline
from analysis.reading.best_runs import final_run
from analysis.reading.frames import epochs_frame
from analysis.reading.study_record import StudyRecord
from analysis.statistics.importance import IMPORTANCE_RESAMPLES, Importance, compute_importance


@dataclass(frozen=True)
class StudyArrays:
    """What the study's figures and charts are drawn from."""

    plane: RateDistortion
    by_beta: ByBeta
    importance: Importance
    contours: Contours
    parallel: Parallel
    history: History
    curves: LearningCurves
    timeline: Timeline


def compute_study(study: StudyRecord, trials: pd.DataFrame) -> StudyArrays:
    """From a study and its `analysis.reading.frames.trials_frame`."""
    importance = compute_importance(study.trials, study.columns, resamples=IMPORTANCE_RESAMPLES)
    return StudyArrays(
        compute_rate_distortion(trials, final_run(study.folder), study.base.model.dimensions),
        compute_by_beta(trials),
        importance,
        compute_contours(trials, study.searched, importance.names),
        compute_parallel(trials, study.searched),
        compute_history(trials),
        compute_learning_curves(epochs_frame(study), trials),
        compute_timeline(study.trials),
    )


def draw_study(arrays: StudyArrays) -> dict[str, Figure]:
    """Figures in the order in which they answer: the trade-off, what made it, how the search went."""
    return {
        "rate_distortion": draw_rate_distortion(arrays.plane),
        "bits_by_beta": draw_bits_by_beta(arrays.by_beta),
        "active_units": draw_active_units(arrays.by_beta),
        "importance": draw_importance(arrays.importance),
        "contour": draw_contours(arrays.contours),
        "parallel": draw_parallel(arrays.parallel),
        "history": draw_history(arrays.history),
        "learning_curves": draw_learning_curves(arrays.curves),
        "timeline": draw_timeline(arrays.timeline),
    }


def study_charts(arrays: StudyArrays) -> dict[str, go.Figure]:
    """The same to hover and zoom, those that have something to show."""
    charts = {}
    if arrays.plane.label:
        charts["rate_distortion"] = rate_distortion_chart(arrays.plane)
    if len(arrays.by_beta.number):
        charts["bits_by_beta"] = bits_by_beta_chart(arrays.by_beta)
        charts["active_units"] = active_units_chart(arrays.by_beta)
    if arrays.importance.names:
        charts["importance"] = importance_chart(arrays.importance)
    if arrays.contours.panels:
        charts["contour"] = contour_chart(arrays.contours)
    if arrays.parallel.complete.sum() > 1:
        charts["parallel"] = parallel_chart(arrays.parallel)
    if len(arrays.history.number):
        charts["history"] = history_chart(arrays.history)
    if arrays.curves.numbers:
        charts["learning_curves"] = learning_curves_chart(arrays.curves)
    if len(arrays.timeline.number):
        charts["timeline"] = timeline_chart(arrays.timeline)
    return charts
