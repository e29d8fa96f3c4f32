"""Shares of the variance against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial
from support.analysis_fixture import Made, build_study
from support.pictures import looks_drawn

from analysis.figures.files import save_figure
from analysis.figures.study.importance import REMAINDER, draw_importance
from analysis.reading.study_record import read_study
from analysis.report.mattered import importance_sentence
from analysis.statistics.importance import Importance, compute_importance, importance_intervals, main_effects
from analysis.statistics.resampling import Interval


def test_importance_intervals_are_the_quantiles_of_resamples() -> None:
    values = np.arange(30) / 29

    def shares(drawn: np.ndarray, left: np.ndarray, seed: int) -> np.ndarray:
        assert sorted({*drawn, *left}) == list(range(30))
        assert not {*drawn} & {*left}
        mean = values[drawn].mean()
        return np.array([mean, 1 - mean])

    found = importance_intervals(30, np.array([0.5, 0.5]), shares, resamples=400)
    assert found is not None
    half = 1.96 * values.std() / np.sqrt(30)
    assert found[0].low == pytest.approx(0.5 - half, abs=0.03)
    assert found[0].high == pytest.approx(0.5 + half, abs=0.03)
    assert found[1].low == pytest.approx(1 - found[0].high)
    assert importance_intervals(30, np.array([1.0]), lambda *_: None) is None
    outside = importance_intervals(30, np.array([0.9, 0.1]), shares, resamples=9)
    assert outside is not None
    assert outside[0].high == 0.9


def importance_of(trials: list[FrozenTrial], columns: dict[str, str], **options: Any) -> Importance:
    """Of the trials' own values."""
    values = [math.nan if trial.value is None else trial.value for trial in trials]
    return compute_importance(trials, columns, values, **options)


def valued(count: int, value: Callable[..., np.ndarray], seed: int = 0) -> Importance:
    """Of trials whose parameters are uniform in their search's scales: u and v in [0, 1], w either 0 or 1."""
    rng = np.random.default_rng(seed)
    u, v, w = rng.uniform(size=count), rng.uniform(size=count), rng.integers(0, 2, count)
    space = {
        "beta": FloatDistribution(0.1, 1000, log=True),
        "v": FloatDistribution(0, 1),
        "w": CategoricalDistribution(["adam", "adamw"]),
    }
    trials = [
        create_trial(params={"beta": 0.1 * 1e4**a, "v": b, "w": ["adam", "adamw"][c]}, distributions=space, value=told)
        for a, b, c, told in zip(u, v, w, value(u, v, w, rng), strict=True)
    ]
    return importance_of(trials, {name: name for name in space}, resamples=40)


def additive(u: np.ndarray, v: np.ndarray, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Variances 0.6, 0.3 and 0.1: a uniform's is 1/12, a fair coin's 1/4."""
    return math.sqrt(12 * 0.6) * u + math.sqrt(12 * 0.3) * v + math.sqrt(4 * 0.1) * w


def test_importance_of_a_sum_is_the_share_of_each_variance() -> None:
    few, many = valued(64, additive), valued(600, additive)
    assert many.names == ["beta", "v", "w"]
    np.testing.assert_allclose(many.shares, [0.6, 0.3, 0.1], atol=0.04)
    assert many.remainder < 0.05
    found = dict(zip(few.names, few.shares, strict=True))
    assert [found[name] for name in many.names] == pytest.approx([0.6, 0.3, 0.1], abs=0.15)
    assert few.separable
    assert "separable" not in importance_sentence(few)


def test_importance_of_a_sum_and_noise_leaves_the_noise_unexplained() -> None:
    noisy = valued(600, lambda u, v, w, rng: additive(u, v, w, rng) + rng.normal(size=len(u)))
    np.testing.assert_allclose(noisy.shares, [0.3, 0.15, 0.05], atol=0.08)
    assert noisy.shares.sum() < 0.55  # half is noise, and a forest must not claim it


def test_importance_of_an_exclusive_or_is_all_interaction() -> None:
    found = valued(150, lambda u, v, w, rng: ((u > 0.5) ^ (v > 0.5)).astype(float))
    assert found.shares.max() < 0.12
    assert found.remainder > 0.8
    assert found.separable is False
    sentence = importance_sentence(found)
    assert f"{REMAINDER}: {found.remainder:.0%}" in sentence
    assert "are not separable, as their intervals overlap" in sentence


def test_importance_of_noise_cannot_be_told() -> None:
    told = [valued(64, lambda u, v, w, rng: rng.normal(size=len(u)), seed) for seed in range(20)]
    refused = [found for found in told if "cannot be told from these 64 complete trials" in found.note]
    assert len(refused) >= 18  # by chance a twentieth looks like something
    assert importance_sentence(refused[0]) == f"{refused[0].note}."
    # and then its interval says that it may be nothing
    assert all(max(of.low for of in found.intervals or [Interval(0, 0, 0)]) < 0.02 for found in told)


def test_main_effects_of_a_product_are_its_closed_form() -> None:
    """u v of uniforms has the variance 7/144, of which each alone explains 1/48."""

    points = np.random.default_rng(0).uniform(size=(4000, 2))
    np.testing.assert_allclose(main_effects(lambda at: at[:, 0] * at[:, 1], points), [3 / 7, 3 / 7], atol=0.08)


@pytest.mark.parametrize(
    ("value", "count", "note"),
    [
        (lambda u, *_: u * 0, 9, "their values do not differ"),
        (additive, 4, "needs 5 complete trials; there are 4"),
        (lambda u, *_: np.where(u < u.max(), np.inf, u), 9, "needs 5 complete trials; there are 1"),
    ],
)
def test_importance_says_why_there_is_none(value: Callable[..., np.ndarray], count: int, note: str) -> None:
    assert note in valued(count, value).note
    same = [
        create_trial(params={"a": 1.0}, distributions={"a": FloatDistribution(0, 1)}, value=float(k)) for k in range(9)
    ]
    assert "their parameters do not differ" in importance_of(same, {"a": "a"}).note
    assert "their parameters do not differ" in importance_of([create_trial(value=1.0)] * 9, {}).note


def test_importance_finds_what_matters_and_says_when_it_cannot(tmp_path: Path) -> None:
    six = build_study(tmp_path / "six")
    few = importance_of(read_study(six).trials, read_study(six).columns)
    assert "needs 5 complete trials; there are 3" in few.note
    rng = np.random.default_rng(0)
    drawn = [
        {
            "beta": float(np.exp(rng.uniform(-2, 2))),
            "model.latent_dim": int(rng.integers(2, 33)),
            "model.depth": int(rng.integers(0, 2)),
        }
        for _ in range(30)
    ]
    build_study(tmp_path / "study", [Made("COMPLETE", p, [3 + np.log(p["beta"]) ** 2]) for p in drawn])
    study = read_study(tmp_path / "study")
    importance = importance_of(study.trials, study.columns)
    assert importance.names[0] == "beta"
    assert importance.shares[0] > 0.6  # all of it; 30 trials do not let a forest see as much
    assert importance.shares[1] < 0.15
    assert importance.shares.sum() + importance.remainder == pytest.approx(1)
    looks_drawn(save_figure(draw_importance(importance), tmp_path / "importance.png"))
