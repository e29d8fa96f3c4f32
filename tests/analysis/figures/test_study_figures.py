"""A study's figures and charts: their numbers against what the study was made of, and their ink."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image
from support.analysis_fixture import BASE, SIX, SPACE, Made, build_study, write_ledger

from analysis.figures import save_figure
from analysis.figures.charts import (
    importance_chart,
    learning_curves_chart,
    parallel_chart,
    rate_distortion_chart,
    timeline_chart,
    to_html,
)
from analysis.figures.effect_charts import active_units_chart, bits_by_beta_chart, contour_chart
from analysis.figures.model.curves import compute_learning_curves, draw_learning_curves
from analysis.figures.study.by_beta import ByBeta, compute_by_beta, draw_active_units, draw_bits_by_beta, panels_of
from analysis.figures.study.contour import compute_contours, draw_contours
from analysis.figures.study.importance import REMAINDER, draw_importance
from analysis.figures.study.parallel import compute_parallel, draw_parallel
from analysis.figures.study.rate_distortion import compute_rate_distortion, draw_rate_distortion
from analysis.figures.study.timeline import compute_timeline, draw_timeline, packed
from analysis.reading.best_runs import final_run
from analysis.reading.frames import epochs_frame, trials_frame
from analysis.reading.study_record import StudyRecord, read_study
from analysis.report.findings import what_mattered
from analysis.statistics.gaussian_process import gaussian_process
from analysis.statistics.importance import Importance, compute_importance, main_effects
from analysis.statistics.pareto import hypervolume
from analysis.statistics.resampling import Interval
from trainables.records.trial_folder import TrialFolder

DIMENSIONS = 784
FLOOR = 2000.0


def physics(beta: float, latent_dim: int, depth: int, noise: float) -> tuple[float, float, int]:
    """Rate, calibrated distortion (nats) and active units, as of a VAE of 24 useful latents whose variances
    fall geometrically: probabilistic PCA with a KL weight keeps those above it (Lucas et al. 2019)."""
    variance = 40 * 0.8 ** np.arange(24)
    kept = variance[:latent_dim][variance[:latent_dim] > 2 * beta]
    rate = 0.5 * float(np.log(kept / max(beta, 0.02)).sum()) * (1 + 0.1 * depth)
    lost = 4 * float(variance.sum() - kept.sum() + beta * len(kept))
    return rate, FLOOR + lost - 25 * depth + noise, len(kept)


def synthetic(
    folder: Path,
    count: int,
    space: dict[str, BaseDistribution] = SPACE,
    draw: Callable[[np.random.Generator], dict[str, Any]] | None = None,
    states: Sequence[str] = ("COMPLETE", "COMPLETE", "COMPLETE", "PRUNED"),
    epochs: int = 12,
    seed: int = 0,
) -> Path:
    """A study of ``count`` trials whose numbers follow `physics`, through the ledger and the records."""
    rng = np.random.default_rng(seed)
    made, rows = [], []
    for number in range(count):
        params = draw(rng) if draw else drawn(rng)
        config = BASE.replace({**params, "epochs": epochs})
        rate, distortion, active = physics(
            config.beta, config.model.latent_dim, config.model.depth, rng.normal(scale=6)
        )
        state = states[number % len(states)]
        seen = 0 if state == "FAIL" else 4 if state in ("PRUNED", "RUNNING") else epochs
        told = [row(k, epochs, rate, distortion, active) for k in range(1, seen + 1)]
        rows.append(told)
        made.append(Made(state, params, [each["val_bits_per_dim"] for each in told]))
    base = BASE.replace({"epochs": epochs})
    write_ledger(folder, made, base=base, space=space)
    for number, (each, told) in enumerate(zip(made, rows, strict=True)):
        record = TrialFolder(folder / "trials" / f"{number:04d}")
        record.create(base.of_trial(number, each.params))
        for line in told:
            record.append(line)
    return folder


def drawn(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "beta": float(np.exp(rng.uniform(math.log(0.1), math.log(10)))),
        "model.latent_dim": round(2 ** rng.uniform(1, 5)),
        "model.depth": int(rng.integers(0, 2)),
    }


def row(epoch: int, epochs: int, rate: float, distortion: float, active: int) -> dict[str, float]:
    late = 1 + 0.4 * (math.exp(-epoch / 3) - math.exp(-epochs / 3))
    nelbo = rate + distortion * late
    return {
        "epoch": epoch,
        "train_loss": nelbo,
        "train_distortion": 90 * late,
        "train_rate": rate,
        "grad_norm": 0.1,
        "images_per_second": 1000.0,
        "val_distortion": 95 * late,
        "val_rate": rate,
        "val_nelbo": nelbo,
        "val_bits_per_dim": nelbo / (DIMENSIONS * math.log(2)),
        "val_mse": 0.01 * late,
        "val_active_units": active,
        "sigma": 0.15,
        "lr": 1e-3,
        "epoch_seconds": 1.5,
    }


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return read_study(synthetic(tmp_path_factory.mktemp("sixty") / "study", 60))


WIDE: dict[str, BaseDistribution] = {
    **SPACE,
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "optimizer": CategoricalDistribution(["adam", "adamw"]),
}
CASES: dict[str, Callable[[Path], Path]] = {
    "six": lambda folder: build_study(folder, SIX, final_bits=[2.6, 2.4, 2.35, 2.37]),
    "empty": lambda folder: build_study(folder, []),
    "one": lambda folder: build_study(folder, SIX[:1]),
    "failed": lambda folder: build_study(folder, [SIX[3]] * 4),
    "waiting": lambda folder: build_study(folder, [Made("WAITING", {})]),
    "running": lambda folder: synthetic(folder, 8, states=("RUNNING", "FAIL")),
    "beta 0": lambda folder: synthetic(
        folder, 18, {"beta": FloatDistribution(0, 8)}, lambda rng: {"beta": max(0.0, rng.uniform(-1, 8))}
    ),
    "one beta": lambda folder: synthetic(
        folder, 16, {"model.depth": IntDistribution(0, 1)}, lambda rng: {"model.depth": int(rng.integers(2))}
    ),
    "five parameters": lambda folder: synthetic(
        folder,
        10,
        WIDE,
        lambda rng: {**drawn(rng), "lr": 10 ** rng.uniform(-4, -2), "optimizer": str(rng.choice(["adam", "adamw"]))},
    ),
}


def figures_of(study: StudyRecord) -> dict[str, Figure]:
    trials, epochs = trials_frame(study), epochs_frame(study)
    by_beta = compute_by_beta(trials)
    return {
        "rate_distortion": draw_rate_distortion(compute_rate_distortion(trials, final_run(study.folder), DIMENSIONS)),
        "bits_by_beta": draw_bits_by_beta(by_beta),
        "active_units": draw_active_units(by_beta),
        "contour": draw_contours(compute_contours(trials, study.searched)),
        "timeline": draw_timeline(compute_timeline(study.trials)),
        "learning_curves": draw_learning_curves(compute_learning_curves(epochs, trials)),
        "parallel": draw_parallel(compute_parallel(trials, study.searched)),
    }


@pytest.mark.parametrize("case", CASES)
def test_every_study_has_every_figure(case: str, tmp_path: Path) -> None:
    study = read_study(CASES[case](tmp_path / "study"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = figures_of(study)
    for name, figure in figures.items():
        path = save_figure(figure, tmp_path / f"{name}.png")
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5, f"{name} is blank"


@pytest.mark.parametrize("case", CASES)
def test_every_study_has_its_charts(case: str, tmp_path: Path) -> None:
    study = read_study(CASES[case](tmp_path / "study"))
    trials, epochs = trials_frame(study), epochs_frame(study)
    by_beta, contours = compute_by_beta(trials), compute_contours(trials, study.searched)
    curves = compute_learning_curves(epochs, trials)
    charts = {"timeline": timeline_chart(compute_timeline(study.trials)), "contour": contour_chart(contours)}
    if len(by_beta.number):
        charts |= {
            "bits_by_beta": bits_by_beta_chart(by_beta),
            "active_units": active_units_chart(by_beta),
            "plane": rate_distortion_chart(compute_rate_distortion(trials, None, DIMENSIONS)),
        }
    if curves.numbers:
        charts["learning_curves"] = learning_curves_chart(curves)
    assert len(contour_chart(contours).data) == 2 * len(contours.panels)
    for name, chart in charts.items():
        html = to_html(chart, name)
        assert f'id="{name}"' in html
        assert "rgba(0,0,0,0)" in html
        assert "NaN" not in html


# ---- the plane


def test_the_plane_s_hypervolume_and_knee_are_the_trials_and_not_the_final_s(tmp_path: Path) -> None:
    study = read_study(CASES["six"](tmp_path / "study"))
    trials = trials_frame(study)
    plane = compute_rate_distortion(trials, final_run(study.folder), DIMENSIONS)
    alone = compute_rate_distortion(trials, None, DIMENSIONS)
    assert plane.hypervolume == alone.hypervolume
    assert plane.knee == alone.knee
    assert plane.hypervolume is not None
    assert plane.hypervolume.estimate == hypervolume(plane.rate[:3], plane.distortion[:3], plane.reference)  # type: ignore[arg-type]
    shared = compute_rate_distortion(trials, None, DIMENSIONS, reference=(1e4, 1e4)).hypervolume
    assert shared is not None
    assert shared.estimate > 1e7
    chart = rate_distortion_chart(plane)
    named = {trace.name: trace for trace in chart.data}
    assert (named["hypervolume's reference"].x[0], named["hypervolume's reference"].y[0]) == plane.reference
    assert "hypervolume" in named["hypervolume's reference"].hovertemplate
    assert named["knee of the front"].x[0] == plane.rate[plane.knee]


# ---- the KL weight


def test_by_beta_holds_the_complete_trials(sixty: StudyRecord) -> None:
    trials = trials_frame(sixty)
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
    by_beta = compute_by_beta(trials_frame(sixty))
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
    trials = trials_frame(read_study(CASES["six"](tmp_path / "six")))
    assert not any(panel.curves for panel in compute_by_beta(trials).panels)
    zero = compute_by_beta(trials_frame(read_study(CASES["beta 0"](tmp_path / "zero"))))
    assert zero.beta.min() == 0
    assert not zero.logarithmic
    assert bits_by_beta_chart(zero).layout.xaxis.type == "linear"


def test_collapse_is_counted_and_marked() -> None:
    none, some = np.array([0, 3]), np.array([8, 4])
    by_beta = ByBeta(np.arange(2), np.array([9.0, 1.0]), some, np.zeros(2, dtype=int), np.array([3.0, 2.0]), none, [])
    assert by_beta.collapsed.tolist() == [True, False]
    assert by_beta.share.tolist() == [0, 0.75]
    axes = draw_active_units(by_beta).axes[0]
    crosses = [line for line in axes.lines if str(line.get_label()).startswith("collapsed: 1 of 2")]
    assert [list(line.get_xdata()) for line in crosses] == [[9.0]]  # type: ignore[arg-type]
    crossed = [trace for trace in active_units_chart(by_beta).data if trace.name == "collapsed"]
    assert [list(trace.x) for trace in crossed] == [[9.0], [9.0]]


def test_the_chart_of_bits_tells_each_trial(sixty: StudyRecord) -> None:
    by_beta = compute_by_beta(trials_frame(sixty))
    chart = bits_by_beta_chart(by_beta)
    dots = [trace for trace in chart.data if trace.mode == "markers"]
    assert sorted(np.concatenate([trace.y for trace in dots])) == sorted(by_beta.bits)
    assert sorted(np.concatenate([trace.x for trace in dots])) == sorted(by_beta.beta)
    texts = [text for trace in dots for text in trace.text]
    assert any(text.startswith(f"trial {by_beta.number[0]}: {by_beta.bits[0]:.4f}") for text in texts)
    assert chart.layout.xaxis.type == "log"


# ---- importance


def test_importance_s_intervals_hold_its_shares_and_are_drawn(sixty: StudyRecord) -> None:
    plain = compute_importance(sixty.trials, sixty.columns)
    assert plain.intervals is None
    told = compute_importance(sixty.trials, sixty.columns, resamples=8)
    assert told.names == plain.names
    np.testing.assert_array_equal(told.shares, plain.shares)
    assert told.intervals is not None
    for share, found in zip(told.shares, told.intervals, strict=True):
        assert 0 <= found.low <= found.estimate == share <= found.high <= 1
    assert max(found.high - found.low for found in told.intervals) > 0.02
    assert len(draw_importance(told).axes[0].collections) > len(draw_importance(plain).axes[0].collections)
    bars = importance_chart(told).data[0]
    np.testing.assert_allclose(bars.x, told.shares * 100)
    np.testing.assert_allclose(bars.x + bars.error_x.array, [100 * found.high for found in told.intervals])
    np.testing.assert_allclose(bars.x - bars.error_x.arrayminus, [100 * found.low for found in told.intervals])
    assert importance_chart(plain).data[0].error_x.array is None
    (rest,) = importance_chart(told).data[1].x
    assert rest == pytest.approx(100 - 100 * told.shares.sum())
    assert draw_importance(told).axes[0].patches[-1].get_width() == pytest.approx(rest)


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
    return compute_importance(trials, {name: name for name in space}, resamples=40)


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
    assert "separable" not in what_mattered(few)[0]


def test_importance_of_a_sum_and_noise_leaves_the_noise_unexplained() -> None:
    noisy = valued(600, lambda u, v, w, rng: additive(u, v, w, rng) + rng.normal(size=len(u)))
    np.testing.assert_allclose(noisy.shares, [0.3, 0.15, 0.05], atol=0.08)
    assert noisy.shares.sum() < 0.55  # half is noise, and a forest must not claim it


def test_importance_of_an_exclusive_or_is_all_interaction() -> None:
    found = valued(150, lambda u, v, w, rng: ((u > 0.5) ^ (v > 0.5)).astype(float))
    assert found.shares.max() < 0.12
    assert found.remainder > 0.8
    assert found.separable is False
    (sentence,) = what_mattered(found)
    assert f"{REMAINDER}: {found.remainder:.0%}" in sentence
    assert "are not separable, as their intervals overlap" in sentence


def test_importance_of_noise_cannot_be_told() -> None:
    told = [valued(64, lambda u, v, w, rng: rng.normal(size=len(u)), seed) for seed in range(20)]
    refused = [found for found in told if "cannot be told from these 64 complete trials" in found.note]
    assert len(refused) >= 18  # by chance a twentieth looks like something
    assert what_mattered(refused[0]) == [f"{refused[0].note}."]
    # and then its interval says that it may be nothing
    assert all(max(of.low for of in found.intervals or [Interval(0, 0, 0)]) < 0.02 for found in told)


def test_main_effects_of_a_product_are_its_closed_form() -> None:
    """u v of uniforms has the variance 7/144, of which each alone explains 1/48."""

    class Product:
        def predict(self, points: np.ndarray) -> np.ndarray:
            return points[:, 0] * points[:, 1]

    points = np.random.default_rng(0).uniform(size=(4000, 2))
    np.testing.assert_allclose(main_effects(Product(), points), [3 / 7, 3 / 7], atol=0.08)


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
    assert "their parameters do not differ" in compute_importance(same, {"a": "a"}).note
    assert "their parameters do not differ" in compute_importance([create_trial(value=1.0)] * 9, {}).note


# ---- contours


def test_contours_find_the_bowl(tmp_path: Path) -> None:
    """Values are a quadratic in the positions: the fit's minimum is the bowl's, and it is near all over."""
    rng = np.random.default_rng(0)
    space = {name: SPACE[name] for name in ("beta", "model.latent_dim")}
    made = []
    for _ in range(50):
        params = {name: value for name, value in drawn(rng).items() if name in space}
        u, v = math.log(params["beta"] / 0.1, 100), math.log(params["model.latent_dim"] / 2, 16)
        made.append(Made("COMPLETE", params, [2 + (u - 0.3) ** 2 + (v - 0.6) ** 2]))
    study = read_study(build_study(tmp_path / "study", made, space=space))
    contours = compute_contours(trials_frame(study), study.searched)
    (panel,) = contours.panels
    assert (panel.x.title, panel.y.title) == ("KL weight β", "latent size")
    u, v = np.meshgrid(panel.grid_x, panel.grid_y)
    np.testing.assert_allclose(panel.bits, 2 + (u - 0.3) ** 2 + (v - 0.6) ** 2, atol=0.05)
    row, column = np.unravel_index(panel.bits.argmin(), panel.bits.shape)
    assert panel.grid_x[column] == pytest.approx(0.3, abs=0.06)
    assert panel.grid_y[row] == pytest.approx(0.6, abs=0.06)
    assert panel.grid_x[[0, -1]] == pytest.approx([panel.x.position.min(), panel.x.position.max()])


def test_noise_that_a_panel_does_not_show_is_not_interpolated() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(size=(80, 2))
    fit, _ = gaussian_process(points, rng.normal(size=80), points)
    assert fit.std() < 0.5
    same, deviation = gaussian_process(points, np.full(80, 2.5), points)
    np.testing.assert_array_equal(same, np.full(80, 2.5))
    np.testing.assert_array_equal(deviation, np.zeros(80))


def test_contours_of_many_parameters_and_of_too_little(tmp_path: Path) -> None:
    study = read_study(CASES["five parameters"](tmp_path / "wide"))
    trials = trials_frame(study)
    contours = compute_contours(trials, study.searched)
    assert len(contours.panels) == 6
    assert contours.left_out == ["optimizer"]
    first = compute_contours(trials, study.searched, order=["optimizer", "lr"]).panels[0]
    assert (first.x.name, first.y.name) == ("optimizer", "lr")
    assert set(first.x.position) == {0.0, 1.0}
    assert first.x.ticks == [(0.0, "adam"), (1.0, "adamw")]
    assert first.x.drawn[0] in ("adam", "adamw")
    fixed = {"optimizer": study.searched["optimizer"]}
    assert "needs 2 parameters that differ" in compute_contours(trials, fixed).note
    assert "needs 6 complete trials; there are 3" in compute_contours(trials.iloc[:4], study.searched).note


def test_what_a_study_names_is_escaped_in_charts(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    space: dict[str, BaseDistribution] = {**SPACE, "optimizer": CategoricalDistribution(["adam", "adamw"])}
    folder = synthetic(
        tmp_path / "study", 12, space, lambda rng: {**drawn(rng), "optimizer": str(rng.choice(["adam", "adamw"]))}
    )
    study = read_study(folder)
    trials = trials_frame(study).rename(columns={"optimizer": hostile})
    trials[hostile] = trials[hostile].replace({"adam": hostile})
    searched = {**study.searched, hostile: CategoricalDistribution([hostile, "adamw"])}
    del searched["optimizer"]
    contours = compute_contours(trials, searched)
    shares = np.array([1.0])
    for chart in (
        contour_chart(contours),
        importance_chart(Importance([hostile], shares, 9)),
        parallel_chart(compute_parallel(trials, searched)),
    ):
        text = str(chart.to_dict())
        assert hostile not in text
        assert "&lt;img src=x" in text
        assert "<img" not in to_html(chart, "x")


# ---- learning curves and the timeline


def test_the_chart_of_curves_has_every_epoch_once(sixty: StudyRecord) -> None:
    epochs = epochs_frame(sixty)
    curves = compute_learning_curves(epochs, trials_frame(sixty))
    chart = learning_curves_chart(curves)
    traces = {trace.name: trace for trace in chart.data}
    assert list(traces) == ["complete", "pruned", f"best: trial {curves.numbers[curves.best or 0]}"]
    shown = [value for name in ("complete", "pruned") for value in traces[name].y if value is not None]
    assert sorted(shown) == sorted(epochs["val_bits_per_dim"])
    pruned = epochs[epochs["state"] == "PRUNED"]
    first = pruned[pruned["number"] == pruned["number"].min()]
    assert list(traces["pruned"].y[: len(first)]) == first["val_bits_per_dim"].tolist()
    assert traces["pruned"].y[len(first)] is None
    beta, size = first["beta"].iloc[0], first["latent_dim"].iloc[0]
    assert traces["pruned"].text[0] == f"trial 3 (pruned)<br>β {beta:.3g}, latent size {size}"
    assert len(traces["pruned"].text) == len(traces["pruned"].y) == len(traces["pruned"].marker.color)


def ran(number: int, state: str, start: float | None, end: float | None) -> FrozenTrial:
    """A trial by the seconds that it started and ended at."""
    zero = datetime(2026, 1, 1)
    trial = create_trial(state=TrialState[state], value=1.0 if state == "COMPLETE" else None)
    trial.number = number
    trial.datetime_start = None if start is None else zero + timedelta(seconds=start)
    trial.datetime_complete = None if end is None else zero + timedelta(seconds=end)
    return trial


def test_a_timeline_by_hand() -> None:
    trials = [
        ran(0, "COMPLETE", 10, 40),
        ran(1, "PRUNED", 10, 20),
        ran(2, "FAIL", 25, 30),
        ran(3, "RUNNING", 45, None),
        ran(4, "WAITING", None, None),
        ran(5, "COMPLETE", 50, 70),
        ran(6, "FAIL", 60, 55),
        ran(7, "FAIL", 1, None),
    ]
    timeline = compute_timeline(trials)
    assert timeline.number.tolist() == [0, 1, 2, 3, 5, 6]
    assert timeline.start.tolist() == [0, 0, 15, 35, 40, 50]
    assert timeline.end.tolist() == [30, 10, 20, 60, 60, 50]  # the running one: until the latest known time
    assert timeline.lane.tolist() == [0, 1, 1, 0, 1, 2]
    assert timeline.left_out == 2
    assert timeline.lanes == 3
    assert timeline.idle == pytest.approx(1 - (30 + 10 + 5 + 25 + 20) / 180)
    assert timeline.title == "6 trials in 3 slots, idle 50 % of the time, 2 trials without times left out"
    running = next(trace for trace in timeline_chart(timeline).data if trace.name == "running")
    assert (running.base[0], running.x[0], running.y[0]) == (35, 25, 0)
    assert running.marker.pattern.shape == "/"
    assert timeline.unit == ("seconds", 1.0)


def test_lanes_never_overlap_and_are_as_few_as_ran_at_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        start = np.sort(rng.integers(0, 200, 60)).astype(float)
        end = start + rng.integers(1, 30, 60)
        lane = packed(start, end)
        for each in set(lane.tolist()):
            inside = lane == each
            assert (start[inside][1:] >= end[inside][:-1]).all()
        at_once = max(int(((start <= moment) & (end > moment)).sum()) for moment in start)
        assert lane.max() + 1 == at_once


# ---- files


def test_a_pdf_holds_its_fonts_and_the_same_bytes_each_time(sixty: StudyRecord, tmp_path: Path) -> None:
    def saved(name: str) -> bytes:
        figure = draw_timeline(compute_timeline(sixty.trials))
        path = save_figure(figure, tmp_path / name, pdf=True)
        assert path.suffix == ".png"
        return path.with_suffix(".pdf").read_bytes()

    first = saved("a.png")
    assert first.startswith(b"%PDF")
    assert b"/FontFile2" in first
    assert b"/Type3" not in first
    assert b"CreationDate" not in first
    assert saved("b.png") == first
    save_figure(draw_contours(compute_contours(trials_frame(sixty).iloc[:0], {})), tmp_path / "c.png")
    assert not (tmp_path / "c.pdf").exists()
