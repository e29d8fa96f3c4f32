"""The rate-distortion plane."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution
from support.analysis_fixture import BASE, SIX, SPACE, Made, build_study, record
from support.study_cases import CASES, drawn, synthetic

from analysis.figures.plane import RateDistortion, compute_rate_distortion, pca_sentence
from analysis.figures.registry import StudyContext
from analysis.figures.study.rate_distortion import FIGURE, draw_rate_distortion, rate_distortion_chart
from analysis.reading.study_record import read_study
from analysis.statistics.excess import excess
from analysis.statistics.pareto import hypervolume, knee, knee_share, pareto_front
from trainables.data.datasets import Dataset, load_dataset
from trainables.data.water_filling import water_filling
from trainables.objective import Constraint
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

pytestmark = pytest.mark.usefixtures("one_thread")


def plane_of(folder: Path, where: str = "", data: Dataset | None = None) -> tuple[RateDistortion, StudyContext]:
    study = read_study(folder)
    study.where.extend(Constraint.of(where) for _ in range(bool(where)))
    context = StudyContext(study, data)
    return compute_rate_distortion(context), context


@pytest.mark.parametrize("where", ["", "val_rate<=12", "val_rate<=1e-3"])
def test_it_shows_what_the_search_minimised(where: str, tmp_path: Path) -> None:
    """Its front is the frame's, and all that is said of it is of the trials within the limits."""
    plane, study = plane_of(synthetic(tmp_path / "study", 40, states=("COMPLETE", "PRUNED", "FAIL")), where)
    trials = study.trials[study.trials["state"] == "COMPLETE"]
    for name, shown in (
        ("val_rate", plane.rate),
        ("val_distortion", plane.distortion),
        ("val_bits_per_dim", plane.bits_per_dim),
        ("beta", plane.beta),
        ("front", plane.is_front),
    ):
        np.testing.assert_array_equal(trials[name], shown)
    kept = (trials["val_rate"] <= 12).to_numpy() if where == "val_rate<=12" else np.ones(len(trials), bool)
    assert kept.sum() < len(kept) or where != "val_rate<=12"
    rate, distortion = plane.rate[kept], plane.distortion[kept]
    assert plane.is_front[kept].tolist() == pareto_front(rate, distortion).tolist()
    assert plane.hypervolume is not None
    assert plane.hypervolume.estimate == hypervolume(rate, distortion, plane.reference)
    bend = knee(plane.rate[plane.front], plane.distortion[plane.front])
    assert plane.knee == (None if bend is None else plane.front[bend])
    assert plane.knee_share == knee_share(rate, distortion)
    assert not plane.calibrated
    figure, chart = draw_rate_distortion(plane), rate_distortion_chart(plane)
    assert "distortion D" in figure.axes[0].get_ylabel()
    assert "distortion D" in chart.layout.yaxis.title.text
    assert not any("bits/dim" in text.get_text() for text in figure.axes[0].texts)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Gaussian"),
        ({"model.likelihood": "optimal_gaussian"}, "optimal Gaussian"),
        ({"model.likelihood": "beta_binomial"}, "beta binomial"),
        ({"model.likelihood": "bernoulli", "model.binarise": "dynamic"}, "Bernoulli"),
    ],
)
def test_the_axis_and_the_caption_say_which_likelihood(fields: dict[str, str], words: str, tmp_path: Path) -> None:
    plane, study = plane_of(build_study(tmp_path / "study", base=BASE.replace(fields)))
    assert f", {words} (nats" in draw_rate_distortion(plane).axes[0].get_ylabel()
    assert f"distortion D, {words} (nats" in rate_distortion_chart(plane).layout.yaxis.title.text
    assert ("a linear model" in FIGURE.more(study)) is (not fields)


def test_of_several_likelihoods_it_is_the_calibrated_plane(tmp_path: Path) -> None:
    space = SPACE | {"model.likelihood": CategoricalDistribution(["gaussian", "laplace"])}
    folder = synthetic(
        tmp_path / "study",
        12,
        space,
        lambda rng: {**drawn(rng), "model.likelihood": str(rng.choice(["gaussian", "laplace"]))},
    )
    plane, study = plane_of(folder)
    trials = study.trials[study.trials["state"] == "COMPLETE"]
    assert plane.calibrated
    np.testing.assert_allclose((plane.rate + plane.distortion) / plane.nats_per_bit, trials["val_bits_per_dim"])
    assert plane.is_front.tolist() == pareto_front(plane.rate, plane.distortion).tolist()
    figure, chart = draw_rate_distortion(plane), rate_distortion_chart(plane)
    assert "calibrated" in figure.axes[0].get_ylabel()
    assert "calibrated" in chart.layout.yaxis.title.text
    assert any("bits/dim" in text.get_text() for text in figure.axes[0].texts)
    assert "this plane's is the calibrated one" in pca_sentence(plane)


def test_the_chart_names_the_reference_and_the_knee(tmp_path: Path) -> None:
    plane, study = plane_of(synthetic(tmp_path / "study", 40))
    shared = compute_rate_distortion(study, reference=(1e4, 1e4)).hypervolume
    assert shared is not None
    assert shared.estimate > 1e7
    named = {trace.name: trace for trace in rate_distortion_chart(plane).data}
    assert (named["hypervolume's reference"].x[0], named["hypervolume's reference"].y[0]) == plane.reference
    assert "hypervolume" in named["hypervolume's reference"].hovertemplate
    assert named["knee of the front"].x[0] == plane.rate[plane.knee]


def test_the_chart_has_the_numbers_and_the_legend_of_the_figure(six: Path, tmp_path: Path) -> None:
    plane, _ = plane_of(six)
    sizes = {trace.name: trace for trace in rate_distortion_chart(plane).data}["number: latent size"]
    of = {(x, y): size for x, y, size in zip(plane.rate, plane.distortion, plane.latent_dim, strict=True)}
    assert [int(text) for text in sizes.text] == [of[place] for place in zip(sizes.x, sizes.y, strict=True)]
    assert set(plane.front) <= {int(np.flatnonzero(plane.rate == x)[0]) for x in sizes.x}
    one = [Made("COMPLETE", {"beta": 1.0, "model.latent_dim": 8, "model.depth": k}, [2.5 + k, 2.4]) for k in (0, 1)]
    alike, _ = plane_of(build_study(tmp_path / "study", one))
    for named in (
        {trace.name for trace in rate_distortion_chart(alike).data},
        {text.get_text() for text in draw_rate_distortion(alike).legends[0].get_texts()},
    ):
        assert {"latent size 8", "KL weight β = 1", "depth 0", "depth 1"} <= named


def test_final_trainings_are_drawn_beside_their_trials_and_not_compared(tmp_path: Path) -> None:
    """Of three, one is its trial again: the same config, the same numbers."""
    folder = build_study(tmp_path / "study")
    for number, epochs, bits in ((0, 4, [3.0, 2.5, 2.4, 2.3]), (1, 3, [2.9, 2.7, 2.65]), (4, 4, [2.6, 2.4, 2.35, 2.2])):
        config = BASE.of_trial(number, SIX[number].params).replace({"epochs": epochs})
        record(TrialFolder(StudyLayout(folder).final_of(number)), config, bits)
    plane, study = plane_of(folder)
    alone = compute_rate_distortion(study, finals=False)
    assert plane.label == ["trial 0", "trial 1", "trial 4", "final of trial 4", "final of trial 0"]
    assert plane.longer_than.tolist() == [-1, -1, -1, 2, 0]
    assert plane.hypervolume == alone.hypervolume
    assert (plane.knee, plane.knee_share) == (alone.knee, alone.knee_share)
    assert not plane.is_front[plane.is_final].any()
    np.testing.assert_allclose(plane.bits_per_dim[plane.is_final], [2.2, 2.3])
    lines = [line.get_xydata() for line in draw_rate_distortion(plane).axes[0].lines]
    rings = [trace for trace in rate_distortion_chart(plane).data if trace.name == "final training, and its trial"]
    assert [trace.showlegend for trace in rings] == [True, False]
    for ring, (final, trial) in zip(rings, ((3, 2), (4, 0)), strict=True):
        ends = np.stack([plane.rate[[trial, final]], plane.distortion[[trial, final]]], 1)
        assert any(np.array_equal(line, ends) for line in lines)
        assert sorted(ring.x) == sorted(ends[:, 0])


def test_an_older_final_is_drawn_beside_the_trial_of_its_configuration(six: Path) -> None:
    plane, _ = plane_of(six)
    assert plane.label == ["trial 0", "trial 1", "trial 4", "final"]
    assert plane.longer_than.tolist() == [-1, -1, -1, 2]
    np.testing.assert_allclose(plane.bits_per_dim, [2.5, 2.65, 2.4, 2.35])


def test_a_final_of_no_trial_stands_alone(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", SIX[:1])
    record(TrialFolder(folder / "trials" / "final"), BASE.replace({"beta": 7.0}), [2.6, 2.4, 2.35])
    plane, _ = plane_of(folder)
    assert plane.longer_than.tolist() == [-1, 1]
    assert draw_rate_distortion(plane).axes
    assert rate_distortion_chart(plane).data


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits").limited(BASE.limit_train)


def test_the_linear_model_is_that_of_the_training_images(digits: Dataset, tmp_path: Path) -> None:
    """Against the closed form with every eigenvalue of a float64 covariance: the curve, and each run's gain."""
    plane, _ = plane_of(synthetic(tmp_path / "study", 20), data=digits)
    images = digits.train.images[digits.training_rows()].reshape(BASE.limit_train or 0, -1) / 127.5 - 1
    eigenvalues = np.linalg.eigvalsh(np.cov(images.T, bias=True))
    constant, latent_dim = BASE.model.distortion_constant, int(plane.latent_dim.max())
    linear = plane.linear
    assert linear is not None
    assert linear.latent_dim == latent_dim
    for run in range(len(plane.label)):
        best = water_filling(eigenvalues, latent_dim, plane.beta[run])
        loss = float(best.distortion[0] + constant + plane.beta[run] * best.rate[0])
        own = plane.distortion[run] + plane.beta[run] * plane.rate[run]
        assert linear.gain[run] == pytest.approx(loss - own, rel=1e-5, abs=1e-3)
    some = water_filling(eigenvalues, latent_dim, np.geomspace(0.1, 5, 9))
    distortion = np.interp(some.rate, linear.rate, linear.distortion)
    np.testing.assert_allclose(distortion, some.distortion + constant, atol=0.02)
    assert linear.rate.min() == 0
    assert linear.rate.max() > plane.frame[0, 1]


def test_the_curve_is_drawn_and_the_frame_holds_what_lies_below_the_runs(digits: Dataset, tmp_path: Path) -> None:
    plane, _ = plane_of(synthetic(tmp_path / "study", 20), data=digits)
    assert plane.linear is not None
    label = f"best linear model (PCA, latent size {plane.linear.latent_dim})"
    figure, chart = draw_rate_distortion(plane), rate_distortion_chart(plane)
    assert label in [text.get_text() for text in figure.legends[0].get_texts()]
    (trace,) = (trace for trace in chart.data if trace.name == label)
    (left, right), (bottom, top) = plane.frame
    assert left <= min(trace.x) < max(trace.x) <= right
    assert bottom < min(trace.y) < max(trace.y) <= top


def plane_of_losses(folder: Path, more: list[float], data: Dataset) -> RateDistortion:
    """Of trials on the linear model's curve but for a distortion that is so much higher."""
    made = [
        Made("COMPLETE", {"beta": float(beta), "model.latent_dim": 8, "model.depth": 0}, [2.5])
        for beta in np.geomspace(0.4, 9, len(more))
    ]
    _, study = plane_of(build_study(folder, made), data=data)
    best = study.linear.optimum(study.trials["beta"].to_numpy())
    study.trials["val_rate"], study.trials["val_distortion"] = best.rate, best.distortion + np.array(more)
    return compute_rate_distortion(study)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([-12.4, -3.1, -5.0], "At each KL weight of the front MODEL is worse, by 3.1 to 12.4 nats an image of LOSS."),
        ([2.0, 1.0, 0.5], "At each KL weight of the front MODEL is better, by 0.5 to 2.0 nats an image of LOSS."),
        (
            [-2.0, 1.0, 1.5],
            "At the KL weight of 1 of the front's 3 trials MODEL is worse, by 2.0 nats an image of LOSS; at the "
            "others' it is better, by 1.0 to 1.5 nats.",
        ),
        ([-2.0], "At the KL weight of the front's one trial MODEL is worse, by 2.0 nats an image of LOSS."),
    ],
)
def test_what_is_said_of_the_front_against_pca(more: list[float], said: str, digits: Dataset, tmp_path: Path) -> None:
    plane = plane_of_losses(tmp_path / "study", more, digits)
    assert plane.linear is not None
    np.testing.assert_allclose(plane.linear.gain, -np.array(more), atol=1e-3)
    assert plane.is_front.all()
    model = "the best linear model (PCA of the training images, latent size 8)"
    assert pca_sentence(plane) == said.replace("MODEL", model).replace("LOSS", "distortion + β rate")


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([3.7, 7.6, 2.3], "3 of the 3 final trainings beat it, by 2.3 to 7.6 nats."),
        ([-1.0, 7.6], "1 of the 2 final trainings beats it, by 7.6 nats."),
        ([2.0], "The final training beats it, by 2.0 nats."),
        ([-2.0], "The final training does not beat it, which is better by 2.0 nats."),
        ([-2.0, -1.0], "None of the final trainings beats it, which is better by 1.0 to 2.0 nats."),
    ],
)
def test_what_is_said_of_final_trainings_against_pca(
    gains: list[float], said: str, digits: Dataset, tmp_path: Path
) -> None:
    plane = plane_of_losses(tmp_path / "study", [2.0, *(-gain for gain in gains)], digits)
    assert plane.linear is not None
    longer = np.array([-1] + [0] * len(gains))
    order = np.argsort(plane.beta)  # the trial of the lowest weight is the front, the others are trained longer
    with_finals = replace(plane, is_front=longer[order] < 0, longer_than=longer[order])
    assert pca_sentence(with_finals).endswith(f"is better, by 2.0 nats an image of distortion + β rate. {said}")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({}, "it needs the images"), ({"likelihood": "laplace"}, "Gaussian likelihood, got laplace")],
)
def test_why_there_is_no_linear_model(changed: dict[str, str], reason: str, digits: Dataset, tmp_path: Path) -> None:
    base = BASE.model_copy(update={"model": BASE.model.model_copy(update=changed)})
    plane, _ = plane_of(build_study(tmp_path / "study", base=base), data=digits if changed else None)
    assert plane.linear is None
    assert reason in pca_sentence(plane)
    assert not any("linear" in text.get_text() for text in draw_rate_distortion(plane).legends[0].get_texts())


def test_without_a_trial_nothing_is_said(digits: Dataset, tmp_path: Path) -> None:
    plane, _ = plane_of(build_study(tmp_path / "study", []), data=digits)
    assert pca_sentence(plane) == ""
    assert plane.hypervolume is None


def test_a_weight_of_0_is_compared_at_its_limit(digits: Dataset, tmp_path: Path) -> None:
    plane, study = plane_of(CASES["beta 0"](tmp_path / "study"), data=digits)
    assert plane.linear is not None
    assert np.isfinite(plane.linear.gain).all()
    at = int(plane.beta.argmin())
    rest = study.linear.eigenvalues[plane.linear.latent_dim :].sum() / 2 + BASE.model.distortion_constant
    assert plane.linear.gain[at] == pytest.approx(rest - plane.distortion[at], abs=1e-6)


def test_the_front_s_excess_is_that_of_the_frame(tmp_path: Path) -> None:
    plane, study = plane_of(synthetic(tmp_path / "study", 12, states=("COMPLETE",)))
    np.testing.assert_allclose(excess(plane.rate, plane.distortion, plane.beta), study.trials["excess"])
