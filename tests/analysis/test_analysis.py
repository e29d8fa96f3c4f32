"""Frames against what was put into the folder, figures' numbers against oracles, and their ink."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.decomposition import PCA
from support.analysis_fixture import BASE, SIX, Made, build_study, metrics

from analysis import load_trials
from analysis.figures import draw_curves, save_figure
from analysis.figures.model.curves import compute_curves
from analysis.figures.model.interp import compute_interp, draw_interp, lerp, slerp
from analysis.figures.model.latents import apart, compute_pca, compute_umap, draw_pca, draw_umap
from analysis.figures.model.noise import compute_noise, draw_noise
from analysis.figures.model.recon import compute_recon, draw_recon, varied_rows
from analysis.figures.study.history import compute_history
from analysis.figures.study.importance import draw_importance
from analysis.figures.study.parallel import compute_parallel
from analysis.figures.study.rate_distortion import compute_rate_distortion
from analysis.measures.codes import encode
from analysis.reading.best_runs import ranked_runs
from analysis.reading.study_record import read_study
from analysis.report.report import visu_name, write_report
from analysis.statistics.importance import compute_importance
from trainables.data.datasets import Dataset, Split, load_dataset
from trainables.records.atomic_files import seal, unseal
from trainables.records.trial_folder import TrialFolder
from trainables.training.batches import Pixels
from trainables.training.loop import fit
from vae_models import VAE, ModelConfig

RUN_FIGURES = [
    "recon",
    "extremes",
    "noise",
    "neighbours",
    "interp",
    "traversal",
    "manifold",
    "kl_latents",
    "aggregate_posterior",
    "pca",
    "umap",
    "class_means",
]
STUDY_FIGURES = [
    "rate_distortion",
    "bits_by_beta",
    "active_units",
    "importance",
    "contour",
    "parallel",
    "history",
    "learning_curves",
    "timeline",
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("six") / "study", final_bits=[2.6, 2.4, 2.35, 2.37])


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def model(digits: Dataset) -> VAE:
    config = BASE.replace({"epochs": 2, "batch_size": 32})
    pixels = Pixels(digits.train.images[:512])
    return list(fit(config, pixels, pixels))[-1].model.eval()


def looks_drawn(path: Path, least: int = 400) -> None:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) >= least
        assert np.asarray(image.convert("L")).std() > 5, f"{path} is blank"


# ---- numbers


def test_pca_agrees_with_scikit_learn() -> None:
    means = np.random.default_rng(0).normal(size=(200, 6)) * [3, 2, 1, 1, 0.5, 0.1]
    oracle = PCA(2).fit(means)
    pca = compute_pca(means, np.zeros(200, dtype=int), ("a",))
    np.testing.assert_allclose(pca.explained, oracle.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(np.abs(pca.coordinates), np.abs(oracle.transform(means)), atol=1e-9)


def test_labels_of_classes_that_coincide_are_moved_apart() -> None:
    places = apart(np.full((5, 2), 0.5))
    assert np.diff(np.sort(places[:, 1])).min() > 0.03
    alone = np.array([[0.1, 0.1], [0.9, 0.1]])
    np.testing.assert_array_equal(apart(alone), alone)


def test_one_latent_and_a_collapsed_one_are_drawn(tmp_path: Path) -> None:
    labels = np.arange(60) % 3
    for means in (np.random.default_rng(0).normal(size=(60, 1)), np.zeros((60, 4))):
        pca = compute_pca(means, labels, ("a", "$b_", "_c"))
        assert np.isfinite(pca.explained).all()
        looks_drawn(save_figure(draw_pca(pca), tmp_path / "pca.png"))


def test_slerp_keeps_norms_and_angles() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 16))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    t = np.linspace(0, 1, 9)
    path = slerp(a, b, t)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), np.linalg.norm(a))
    np.testing.assert_allclose(path[[0, -1]], [a, b], atol=1e-12)
    steps = (path[:-1] * path[1:]).sum(1)
    np.testing.assert_allclose(steps, steps[0])
    assert np.linalg.norm(lerp(a, b, t)[4]) < np.linalg.norm(a)


@pytest.mark.parametrize("b", [[-2.0], [2.0], [0.0]])
def test_slerp_without_an_arc_is_the_line(b: list[float]) -> None:
    t = np.linspace(0, 1, 5)
    np.testing.assert_allclose(slerp(np.array([1.0]), np.array(b), t), lerp(np.array([1.0]), np.array(b), t))


def test_rows_are_varied(digits: Dataset) -> None:
    assert sorted(digits.test.labels[varied_rows(digits.test.labels, 10)]) == list(range(10))
    assert len(varied_rows(np.array([0, 0, 1]), 10)) == 3


def test_reconstruction_error_is_that_of_the_images(model: VAE, digits: Dataset) -> None:
    recon = compute_recon(model, digits.test)
    assert recon.mse[3] == pytest.approx(np.mean((recon.originals[3] - recon.decoded[3]) ** 2))
    np.testing.assert_allclose(10 ** (-recon.psnr_db / 10), recon.mse, rtol=1e-5)


def test_interpolations_end_at_the_reconstructions(model: VAE, digits: Dataset) -> None:
    interp = compute_interp(model, digits.test, digits.classes)
    with torch.no_grad():
        ends = model.reconstruct(torch.from_numpy(interp.ends[:, 0]))
    for path in (0, 1):
        np.testing.assert_allclose(interp.decoded[:, path, 0], ends, atol=1e-4)
    assert all(first != last for first, last in interp.names)


def test_the_plane_adds_up_to_the_yardstick(six: Path) -> None:
    trials = load_trials(six)
    plane = compute_rate_distortion(trials, ranked_runs(six)[0], 784)
    assert plane.label == ["trial 0", "trial 1", "trial 4", "final"]
    np.testing.assert_allclose(plane.bits_per_dim, [2.5, 2.65, 2.4, 2.35])
    assert not plane.is_front[-1]


def test_history_and_parallel(six: Path) -> None:
    trials, study = load_trials(six), read_study(six)
    best = compute_history(trials).best
    np.testing.assert_array_equal(best, [2.5, 2.5, 2.5, 2.5, 2.4, 2.4])
    parallel = compute_parallel(trials, study.searched)
    assert parallel.numbers.tolist() == [0, 1, 2, 4]
    assert parallel.positions[0, :3] == pytest.approx([0.5, 0.5, 0.0])
    assert parallel.positions[:, -1] == pytest.approx((parallel.values - 2.4) / 1.1)


def test_importance_finds_what_matters_and_says_when_it_cannot(six: Path, tmp_path: Path) -> None:
    few = compute_importance(read_study(six).trials, read_study(six).columns)
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
    importance = compute_importance(study.trials, study.columns)
    assert importance.names[0] == "beta"
    assert importance.shares[0] > 0.6  # all of it; 30 trials do not let a forest see as much
    assert importance.shares[1] < 0.15
    assert importance.shares.sum() + importance.remainder == pytest.approx(1)
    looks_drawn(save_figure(draw_importance(importance), tmp_path / "importance.png"))


def test_the_validation_loss_has_the_weight_of_its_epoch() -> None:
    rows = [metrics(k, 3 - k / 10, BASE.replace({"beta": 4.0})) for k in (1, 2, 3)]
    curves = compute_curves(rows)
    expected = [row["val_distortion"] + 4 * row["val_rate"] for row in rows]
    np.testing.assert_allclose(curves.validation["loss"], expected)


# ---- ink and pages


@pytest.mark.parametrize("channels", [1, 3])
def test_run_figures_of_grey_and_colour_images(channels: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    test = Split(rng.integers(0, 256, (12, channels, 16, 24), dtype=np.uint8), np.arange(12) % 12)
    classes = tuple(f"class {k}" for k in range(12))
    vae = VAE(ModelConfig(image_shape=(channels, 16, 24), latent_dim=1, width=4)).eval()
    means, _ = encode(vae, test.images)
    figures = [
        draw_recon(compute_recon(vae, test)),
        draw_interp(compute_interp(vae, test, classes)),
        draw_noise(compute_noise(vae)),
        draw_pca(compute_pca(means, test.labels, classes)),
    ]
    for k, figure in enumerate(figures):
        looks_drawn(save_figure(figure, tmp_path / f"{k}.png"), least=250)
    umap = compute_umap(means, test.labels, classes)
    assert "needs at least 15 images" in umap.note
    looks_drawn(save_figure(draw_umap(umap), tmp_path / "umap.png"))


def test_curves_are_drawn_from_rows(tmp_path: Path) -> None:
    looks_drawn(save_figure(draw_curves([metrics(k, 3 - k / 10, BASE) for k in (1, 2, 3)]), tmp_path / "a.png"))
    looks_drawn(save_figure(draw_curves([]), tmp_path / "b.png"))


def test_visu_names_are_safe() -> None:
    assert visu_name("mnist") == "mnist_vae"
    assert visu_name("imagefolder:/home/me/../x y") == "imagefolder_vae"
    assert "/" not in visu_name("../../etc")


def test_report_of_the_best_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hostile = "<script>alert('study')</script>"
    folder = build_study(tmp_path / "study", final_bits=[2.6, 2.4, 2.35, 2.37], name=hostile)
    info = unseal((folder / "study.json").read_text())
    info["command"] = "python x.py --storage postgresql://me:secret@host/db"
    (folder / "study.json").write_text(seal(info))
    steps: dict[str, float] = {}
    old = folder / "visu" / "digits_vae" / "recon" / "trial_0001_epoch_0003.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"once the best")
    paths = write_report(folder, top=1, progress=steps.__setitem__)
    assert not old.exists()
    assert capfd.readouterr() == ("", "")
    assert "measuring final on the test set: likelihood" in steps
    assert list(steps.values()) == [k / len(steps) for k in range(len(steps))]
    for name in RUN_FIGURES:
        for stem in ("trial_0004_epoch_0003", "final_epoch_0003"):
            looks_drawn(folder / "visu" / "digits_vae" / name / f"{stem}.png")
    for name in STUDY_FIGURES:
        looks_drawn(folder / "visu" / "digits_vae" / "study" / f"{name}.png", least=350)
    assert pd.read_csv(paths["trials"])["number"].tolist() == list(range(6))
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "trials.parquet"), load_trials(folder))
    assert len(list((folder / "models" / "VAE").iterdir())) == 4
    page = paths["report"].read_text()
    assert len(page) < 10e6
    assert hostile not in page
    assert "&lt;script&gt;alert" in page
    assert "non-finite &lt;script&gt;" in page
    assert "secret" not in page
    assert "The best trial is trial 4, with KL weight 0.5, latent size 16 and depth 1: 2.4000 bits" in page
    assert "Of 6 trials, 1 failed, 1 pruned early, 3 complete and 1 running." in page
    markup = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href|srcset|action)\s*=\s*["']?\s*(https?:)?//""", markup, re.IGNORECASE)
    assert not re.search(r"<script[^>]+src", page)
    assert "default-src 'none'" in markup


@pytest.mark.parametrize("trials", [[], SIX[:1], [SIX[2]], [SIX[5], SIX[3]]], ids=["empty", "one", "pruned", "running"])
def test_report_without_the_data_set_gives_the_rest(trials: list[Made], tmp_path: Path) -> None:
    base = BASE.model_copy(update={"dataset": f"imagefolder:{tmp_path}/none"})
    paths = write_report(build_study(tmp_path / "study", trials, base=base))
    page = paths["report"].read_text()
    assert "cannot be had" in page
    assert ("no best model" in page) == (trials != SIX[:1])
    for name in STUDY_FIGURES:
        looks_drawn(tmp_path / "study" / "visu" / "imagefolder_vae" / "study" / f"{name}.png", least=350)


def test_missing_weights_are_told(tmp_path: Path) -> None:
    base = BASE.model_copy(update={"dataset": "nothing"})
    folder = build_study(tmp_path / "study", SIX[:1], base=base)
    TrialFolder(folder / "trials" / "0000").best.write_bytes(b"torn")
    assert "The model of trial 0 is missing" in write_report(folder)["report"].read_text()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analysis", *arguments], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    missing = command("report", str(tmp_path / "none"))
    assert missing.returncode == 1
    assert missing.stderr.startswith(f"error: no study folder at {tmp_path}")
    assert len(missing.stderr.splitlines()) <= 2
    assert command("report", "x", "--no-such-option").returncode == 2
    assert "report" in command().stdout + command("--help").stdout
