"""Bits per dimension by the KL weight: the trials, the panels and their bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from support.analysis_fixture import BASE, SIX, SPACE, build_study
from support.study_cases import CASES, drawn, physics, synthetic

from analysis.figures.registry import StudyContext
from analysis.figures.study._by_beta import ByBeta, compute_by_beta
from analysis.figures.study.bits_by_beta import (
    FIGURE,
    BitsByBeta,
    Panel,
    bits_by_beta_chart,
    compute_bits_by_beta,
    draw_bits_by_beta,
    residual_beta,
)
from analysis.reading.frames import load_trials
from analysis.reading.study_record import StudyRecord, read_study


def panels_of(beta: np.ndarray, size: np.ndarray, depth: np.ndarray, bits: np.ndarray) -> list[Panel]:
    number = np.arange(len(beta))
    return compute_bits_by_beta(ByBeta(number, beta, size, depth, bits, number)).panels


def found_in(study: StudyRecord) -> BitsByBeta:
    return compute_bits_by_beta(compute_by_beta(load_trials(study)))


def test_by_beta_holds_the_complete_trials(sixty: StudyRecord) -> None:
    trials = load_trials(sixty)
    by_beta = compute_by_beta(trials)
    complete = trials[trials["state"] == "COMPLETE"]
    assert by_beta.number.tolist() == complete["number"].tolist()
    for n in range(len(by_beta.number)):
        _, _, active = physics(by_beta.beta[n], by_beta.latent_dim[n], by_beta.depth[n], 0)
        assert by_beta.active_units[n] == active
        assert by_beta.share[n] == active / by_beta.latent_dim[n]
    assert by_beta.logarithmic
    assert not by_beta.collapsed.any()


def test_the_bands_hold_the_truth_as_often_as_they_say() -> None:
    """Trials with noise around a known mean, over beta, latent size and depth: the share of the curves'
    points whose band holds that mean. Points along a curve hang together: many studies are averaged."""

    def truth(beta: np.ndarray, size: np.ndarray | int, depth: np.ndarray | int) -> np.ndarray:
        return 3 + 0.2 * np.log(beta) ** 2 - 0.1 * np.log(size) - 0.3 * np.asarray(depth)

    held, widths = [], {40: [], 160: []}  # type: ignore[var-annotated]
    for seed in range(12):
        for count in widths:
            rng = np.random.default_rng(seed)
            beta = np.exp(rng.uniform(-2, 2, count))
            size, depth = 2 ** rng.integers(2, 7, count), rng.integers(0, 2, count)
            bits = truth(beta, size, depth) + rng.normal(scale=0.1, size=count)
            for panel in panels_of(beta, size, depth, bits):
                assert [curve.latent_dim for curve in panel.curves] == [4, 16, 64]
                assert panel.chosen.tolist() == (depth == panel.depths[0]).tolist()
                for curve in panel.curves:
                    mean = truth(curve.beta, curve.latent_dim, panel.depths[0])
                    held.append(((curve.low <= mean) & (mean <= curve.high)).mean())
                    widths[count].append(np.median(curve.high - curve.low))
    assert 0.88 < np.mean(held) < 1
    assert np.mean(widths[160]) < 0.7 * np.mean(widths[40])


def test_each_panel_has_the_curves_and_the_bands_of_the_same_latent_sizes(sixty: StudyRecord) -> None:
    by_beta = found_in(sixty)
    sizes = [[curve.latent_dim for curve in panel.curves] for panel in by_beta.panels]
    assert sizes == [sizes[0]] * 2
    assert len(sizes[0]) == 3
    figure = draw_bits_by_beta(by_beta)
    lines = [line.get_xydata() for axes in figure.axes[:2] for line in axes.lines]
    charted = {trace.hovertemplate: trace for trace in bits_by_beta_chart(by_beta).data if trace.mode == "lines"}
    for panel in by_beta.panels:
        for curve in panel.curves:
            drawn = np.stack([curve.beta, curve.middle], 1)
            assert any(np.array_equal(line, drawn) for line in lines)
            assert f"latent size {curve.latent_dim}<br>%{{y:.4f}} expected<extra></extra>" in charted
    assert [text.get_text() for text in figure.legends[0].get_texts()][:3] == [
        f"latent size {size}" for size in sizes[0]
    ]


def test_many_depths_share_panels_and_a_panel_keeps_to_its_own_trials() -> None:
    beta = np.tile(np.geomspace(0.1, 10, 10), 9)
    depth = np.repeat(np.arange(9), 10)
    beta[depth == 8] *= 3
    panels = panels_of(beta, np.full(90, 16), depth, np.log(beta) ** 2 + depth)
    assert [depth for panel in panels for depth in panel.depths] == list(range(9))
    assert [panel.title for panel in panels][-3:] == ["depth 6", "depth 7", "depth 8"]
    assert panels[0].title == "depth 0 to 1"
    for panel in panels:
        (curve,) = panel.curves
        assert curve.beta[[0, -1]] == pytest.approx([beta[panel.chosen].min(), beta[panel.chosen].max()])


def test_few_trials_have_no_band_and_a_weight_of_0_a_linear_axis(tmp_path: Path) -> None:
    assert not any(panel.curves for panel in found_in(read_study(CASES["six"](tmp_path / "six"))).panels)
    zero = found_in(read_study(CASES["beta 0"](tmp_path / "zero")))
    assert zero.trials.beta.min() == 0
    assert not zero.trials.logarithmic
    assert bits_by_beta_chart(zero).layout.xaxis.type == "linear"


def test_the_chart_of_bits_tells_each_trial(sixty: StudyRecord) -> None:
    found = found_in(sixty)
    chart, by_beta = bits_by_beta_chart(found), found.trials
    dots = [trace for trace in chart.data if trace.mode == "markers"]
    assert sorted(np.concatenate([trace.y for trace in dots])) == sorted(by_beta.bits)
    assert sorted(np.concatenate([trace.x for trace in dots])) == sorted(by_beta.beta)
    texts = [text for trace in dots for text in trace.text]
    assert any(text.startswith(f"trial {by_beta.number[0]}: {by_beta.bits[0]:.4f}") for text in texts)
    assert chart.layout.xaxis.type == "log"


def test_where_a_gaussian_s_optimum_lies_is_where_its_own_loss_says() -> None:
    """-ELBO of a Gaussian of width s and any rate, of pixels in [0, 1], against the training loss of those in [-1, 1]:
    at that KL weight the one is the other divided by it, and so their minima are the same."""
    sigma, error, rate = 0.13, np.array([3.0, 5.0, 9.0]), np.array([40.0, 22.0, 7.0])
    beta = residual_beta(sigma)
    nelbo = error / (2 * sigma**2) + rate
    training = 0.5 * 4 * error + beta * rate
    np.testing.assert_allclose(training / beta, nelbo)


def test_the_optimum_is_marked_under_the_gaussian_likelihood_alone(tmp_path: Path) -> None:
    gaussian = StudyContext(read_study(build_study(tmp_path / "gaussian"))).of(FIGURE)
    assert gaussian.optimum == pytest.approx((2 * 0.15) ** 2)
    label = "β = σ² of the best residuals"
    assert label in [text.get_text() for text in draw_bits_by_beta(gaussian).legends[0].get_texts()]
    marks = [trace for trace in bits_by_beta_chart(gaussian).data if trace.name == label]
    assert [set(trace.x) for trace in marks] == [{gaussian.optimum}] * len(gaussian.panels)
    assert [trace.showlegend for trace in marks] == [True] + [False] * (len(marks) - 1)
    laplace = build_study(tmp_path / "laplace", base=BASE.replace({"model.likelihood": "laplace"}))
    searched = synthetic(
        tmp_path / "searched",
        6,
        SPACE | {"model.likelihood": CategoricalDistribution(["gaussian", "laplace"])},
        lambda rng: {**drawn(rng), "model.likelihood": "gaussian"},
    )
    for other in (laplace, searched, build_study(tmp_path / "none", []), build_study(tmp_path / "failed", [SIX[3]])):
        found = StudyContext(read_study(other)).of(FIGURE)
        assert found.optimum is None
        if len(found.trials.number):
            assert label not in [trace.name for trace in bits_by_beta_chart(found).data]
