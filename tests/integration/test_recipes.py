"""The recipes of the packages' READMEs, followed to the letter in a copy of the project: what one adds takes the files
that the recipe names and no other, and then it is there, wherever it should be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.analysis_fixture import build_study
from support.commands import ROOT

pytestmark = pytest.mark.heavy
PACKAGES = ("vae_models", "trainables", "analysis", "studies", "cluster")


class Copy:
    """The project in a folder of its own, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        for name in PACKAGES:
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "main.py", folder)
        self._copied = self._files()

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Replace, in one file, what stands there once."""
        path = self.folder / file
        text = path.read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{file} must hold once: {old}"
            text = text.replace(old, new)
        path.write_text(text)

    def add(self, file: str, text: str) -> None:
        path = self.folder / file
        assert not path.exists()
        path.write_text(text)

    def changed(self) -> list[str]:
        """Files of the packages that are not as they were copied."""
        return sorted(name for name, content in self._files().items() if self._copied.get(name) != content)

    def _files(self) -> dict[str, bytes]:
        files = (path for name in PACKAGES for path in (self.folder / name).rglob("*.py"))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    def run(self, code: str, *arguments: object) -> str:
        """What a program prints that imports the copy."""
        environment = os.environ | {"PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT / 'tests'}"}
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "project")


TRAIN = """
import json, sys
from trainables.config import TrialConfig
from trainables.training.loop import fit
from trainables.training.trial import load_pixels
config = TrialConfig(epochs=1, limit_train=64, limit_val=32).replace({"model.width": 4, **json.loads(sys.argv[1])})
print(json.dumps(next(iter(fit(config, *load_pixels(config, None, "cpu")))).metrics))
"""


def test_a_likelihood_takes_two_files(copy: Copy) -> None:
    copy.edit(
        "vae_models/likelihoods/continuous.py",
        (
            "FAMILY: dict",
            "class Cauchy(Laplace):\n"
            "    def distortion(self, output: Tensor, x: Tensor) -> Tensor:\n"
            "        return (torch.log1p(self.error(output, x).square()) + CONSTANTS['cauchy']).flatten(1).sum(1)\n\n\n"
            "FAMILY: dict",
        ),
        ('"laplace": Laplace,', '"laplace": Laplace,\n    "cauchy": Cauchy,'),
    )
    copy.edit(
        "vae_models/config.py",
        ('Literal["gaussian", "laplace"', 'Literal["gaussian", "cauchy", "laplace"'),
        ('"laplace": math.log(2)}', '"laplace": math.log(2), "cauchy": math.log(math.pi)}'),
    )
    row = json.loads(copy.run(TRAIN, json.dumps({"model.likelihood": "cauchy"})))
    assert row["val_distortion"] > 28 * 28 * 1.14  # log pi a pixel at least
    assert copy.changed() == ["vae_models/config.py", "vae_models/likelihoods/continuous.py"]


LOGISTIC = """
class Logistic(NamedTuple):
    latent_dim: int

    @property
    def has_closed_form(self) -> bool:
        return False

    def log_prob(self, z_BZ: Tensor) -> Tensor:
        return (nn.functional.logsigmoid(z_BZ) + nn.functional.logsigmoid(-z_BZ)).sum(-1)

    def log_ratio(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:
        return self.log_prob(posterior.sample(noise_BZ)) - posterior.log_prob(noise_BZ)

    def rate(self, posterior: Posterior, noise_BZ: Tensor) -> Tensor:
        return -self.log_ratio(posterior, noise_BZ)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.logit(torch.rand(count, self.latent_dim, generator=generator))


class PseudoInputs(nn.Module):"""
PRIOR = """
import sys
from pathlib import Path
from support.analysis_fixture import BASE, metrics
from support.model_cases import dataset, vae
from analysis.figures.files import draw_model
from analysis.figures.registry import ModelContext
from analysis.measures.test_metrics import measure
model, data = vae(2, width=4, prior="logistic"), dataset(40)
found = measure(model, data, 0.2)
print(found["rate_error"] > 0, model.config.prior_words)
draw_model(ModelContext(model, data, rows=[metrics(1, 3.0, BASE)]), Path(sys.argv[1]), "run")
"""


def test_a_prior_takes_three_files(copy: Copy, tmp_path: Path) -> None:
    """And is then measured and drawn, too."""
    copy.edit("vae_models/priors.py", ("\nclass PseudoInputs(nn.Module):", LOGISTIC))
    copy.edit(
        "vae_models/vae.py",
        ("import Posterior, Prior", "import Logistic, Posterior, Prior"),
        (
            "        if self.pseudo_inputs is None:\n",
            '        if self.config.prior == "logistic":\n'
            "            return Logistic(self.config.latent_dim)\n"
            "        if self.pseudo_inputs is None:\n",
        ),
    )
    copy.edit(
        "vae_models/config.py", ('Literal["standard_normal", "vamp"]', 'Literal["standard_normal", "vamp", "logistic"]')
    )
    row = json.loads(copy.run(TRAIN, json.dumps({"model.prior": "logistic", "importance_samples": 3})))
    assert row["val_rate_error"] > 0
    assert copy.run(PRIOR, tmp_path / "drawn") == "True logistic prior\n"
    assert copy.changed() == ["vae_models/config.py", "vae_models/priors.py", "vae_models/vae.py"]


LOAD = """
import sys
from trainables.data import load_dataset
data = load_dataset("letters", sys.argv[1])
print(data.train.images.shape, data.test.images.shape, data.classes)
"""


def idx(array: bytes, *shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape) + array


def test_a_data_set_in_a_format_that_is_read_takes_one_file(copy: Copy, tmp_path: Path) -> None:
    copy.edit(
        "trainables/data/catalog.py",
        (
            "\nCATALOG = {\n",
            "\n_LETTERS = [PublishedFile('Letters', name) for name in ('images', 'labels')]\n"
            "CATALOG = {\n"
            "    'letters': NamedSet(shape=(1, 28, 28), classes=('a', 'b'), "
            "versions=(Version(read=read_idx, train=tuple(_LETTERS), folders=('letters',)),)),\n",
        ),
    )
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/images").write_bytes(idx(bytes(20 * 28 * 28), 20, 28, 28))
    (tmp_path / "letters/labels").write_bytes(idx(bytes([0, 1] * 10), 20))
    assert copy.run(LOAD, tmp_path) == "(16, 1, 28, 28) (4, 1, 28, 28) ('a', 'b')\n"
    assert copy.changed() == ["trainables/data/catalog.py"]
    said = subprocess.run(
        [sys.executable, "main.py", "--help"], cwd=copy.folder, capture_output=True, text=True, check=True
    )
    assert "letters" in said.stdout


def test_a_data_set_in_a_new_format_takes_two_files(copy: Copy, tmp_path: Path) -> None:
    copy.edit(
        "trainables/data/readers.py",
        (
            "\ndef read_idx(",
            "\ndef read_npz(files: Mapping[Path, PublishedFile], shape: Shape, class_count: int) -> Labelled:\n"
            "    (path,) = files\n"
            "    arrays = np.load(path, allow_pickle=False)\n"
            "    return arrays['images'].reshape(-1, *shape), arrays['labels'].astype(np.int64)\n\n\n"
            "def read_idx(",
        ),
    )
    copy.edit(
        "trainables/data/catalog.py",
        ("import PublishedFile, Reader, ", "import PublishedFile, Reader, read_npz, "),
        (
            "\nCATALOG = {\n",
            "\nCATALOG = {\n    'letters': NamedSet(shape=(1, 28, 28), classes=('a', 'b'), versions=("
            "Version(read=read_npz, train=(PublishedFile('Letters', 'letters.npz'),)),)),\n",
        ),
    )
    import numpy as np

    np.savez(tmp_path / "letters.npz", images=np.zeros((20, 28, 28), np.uint8), labels=np.arange(20) % 2)
    assert copy.run(LOAD, tmp_path) == "(16, 1, 28, 28) (4, 1, 28, 28) ('a', 'b')\n"
    assert copy.changed() == ["trainables/data/catalog.py", "trainables/data/readers.py"]


FRAMES = """
import sys
from analysis import load_epochs, load_trials
print(load_trials(sys.argv[1])["val_black"].isna().all(), load_epochs(sys.argv[1])["val_black"].isna().all())
"""


def test_a_metric_of_an_epoch_takes_two_files_and_older_studies_stay_readable(copy: Copy) -> None:
    copy.edit(
        "trainables/metrics.py",
        (
            '    Metric("sigma"',
            '    Metric("val_black", "", "share of pixels below 1/2", since="9.9"),\n    Metric("sigma"',
        ),
    )
    copy.edit(
        "trainables/training/evaluate.py",
        ('        "mse": squares / dimensions,\n', '        "mse": squares / dimensions,\n        "black": 0.25,\n'),
    )
    assert json.loads(copy.run(TRAIN, "{}"))["val_black"] == 0.25
    assert copy.run(FRAMES, ROOT / "tests/fixtures/version_1") == "True True\n"
    assert copy.changed() == ["trainables/metrics.py", "trainables/training/evaluate.py"]


MEASURE = """
from support.analysis_fixture import BASE
from analysis.measures.test_metrics import measure, tables
from trainables.data import load_dataset
from trainables.training.loop import seeded_vae
measured = measure(seeded_vae(BASE).eval(), load_dataset("digits").limited(100, 40), 0.2)
print(measured["mae"] > 0, [row[::2] for rows in tables(measured).values() for row in rows if "absolute" in row[0]])
"""


def test_a_metric_of_the_test_set_takes_one_file(copy: Copy) -> None:
    copy.edit(
        "analysis/measures/reconstruction.py",
        ('Metric("ssim"', 'Metric("mae", "mean absolute error", ".2f", "pixels"), Metric("ssim"'),
        ('"ssim": similarity}', '"ssim": similarity, "mae": 0.25}'),
    )
    assert copy.run(MEASURE) == "True [('mean absolute error', 'pixels')]\n"
    assert copy.changed() == ["analysis/measures/reconstruction.py"]


REPORT = """
import sys
from analysis.measures import inference_gap
from analysis.report.report import write_report
inference_gap._IMAGES = 20  # measured elsewhere
write_report(sys.argv[1], top=1)
"""


EPOCHS_BY_TRIAL = """
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from analysis.figures.registry import StudyFigure
def compute(trials: pd.DataFrame) -> np.ndarray:
    return trials['epochs'].to_numpy(int)
def draw(epochs: np.ndarray) -> Figure:
    figure = Figure()
    figure.subplots().bar(range(len(epochs)), epochs)
    return figure
FIGURE = StudyFigure(name='epochs_by_trial', title='Epochs of each trial', order=77,
                     caption='What each trial was given.',
                     compute=lambda study: compute(study.trials), draw=draw)
"""
MEAN_CODE = """
from matplotlib.figure import Figure
from analysis.figures.registry import ModelFigure
def draw(mean_Z) -> Figure:
    figure = Figure()
    figure.subplots().bar(range(len(mean_Z)), mean_Z)
    return figure
FIGURE = ModelFigure(name='mean_code', title='The mean code', order=777, caption='The mean of all codes.',
                     compute=lambda model: model.codes.mean_NZ.mean(0), draw=draw)
"""


def test_a_figure_of_a_study_takes_one_file_and_so_does_one_of_a_model(copy: Copy, tmp_path: Path) -> None:
    files = {
        "analysis/figures/model/mean_code.py": MEAN_CODE,
        "analysis/figures/study/epochs_by_trial.py": EPOCHS_BY_TRIAL,
    }
    for file, text in files.items():
        copy.add(file, text)
    folder = build_study(tmp_path / "study")
    copy.run(REPORT, folder)
    figures, page = folder / "visu/digits_vae", (folder / "report.html").read_text()
    assert (figures / "study/epochs_by_trial.png").stat().st_size > 1000
    assert (figures / "study/epochs_by_trial.pdf").stat().st_size > 1000
    assert "What each trial was given." in page
    assert {path.suffix for path in (figures / "mean_code").iterdir()} == {".png", ".pdf"}
    assert "The mean of all codes." in page
    assert copy.changed() == list(files)
