"""The yardsticks' command, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import ROOT, script
from support.image_sets import idx_bytes

from analysis import load_trials
from studies.yardstick.results import RESULTS
from studies.yardsticks import YARDSTICKS
from trainables.data.datasets import load_dataset

PAGE = ROOT / "studies/yardsticks.py"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "first", "way_out"),
    [
        (["mnist_gray"], "NAME must be one of linear_mnist, mnist_grey, ", "did you mean mnist_grey?"),
        (["MNIST-grey"], "got 'MNIST-grey'", "did you mean mnist_grey?"),
        (["nothing"], "got 'nothing'", "without a name they are listed, with what was published"),
        (["linear_mnist", "--seeds", "4"], "--seeds must be left out for linear_mnist, got 4", "linear_mnist has 10"),
        (["mnist_grey", "--quick", "--seeds", "4"], "--seeds must be left out with --quick, which has one, got 4", ""),
        (["mnist_grey", "--seeds", "0"], "--seeds must be at least 1, got 0", ""),
        (["mnist_grey", "--max-hours", "0"], "--max-hours must be above 0", ""),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_said_in_two_lines(
    arguments: list[str], first: str, way_out: str, tmp_path: Path
) -> None:
    done = script(PAGE, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert first in lines[0]
    assert way_out in lines[1]
    assert not list(tmp_path.iterdir())


def test_without_a_name_they_are_listed(tmp_path: Path) -> None:
    done = script(PAGE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line.split("\t")[0] for line in done.stdout.splitlines()[1:]} == set(YARDSTICKS)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def tiny_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's digits, as if they were MNIST."""
    folder, digits = tmp_path_factory.mktemp("data"), load_dataset("digits")
    for part, split in (("train", digits.train), ("t10k", digits.test)):
        images, labels = np.ascontiguousarray(split.images[:, 0]), split.labels.astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


@pytest.mark.slow
def test_a_quick_version_is_trained_measured_and_left_as_it_is(tmp_path: Path, tiny_mnist: Path) -> None:
    """Also where a command before was out of time."""
    command = (PAGE, "mnist_grey", "--quick", "--data-dir", tiny_mnist, "--out", "out")
    late = script(*command, "--max-hours", "0.0001", cwd=tmp_path)
    assert late.returncode == 3, late.stderr + late.stdout
    assert "no figure" in late.stdout
    done = script(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "a quick version: its numbers are no figures" in done.stdout
    folder = tmp_path / "out/mnist_grey_quick"
    found = json.loads((folder / RESULTS).read_text())
    assert found["is_quick"]
    assert [row["met"] for row in found["figures"]] == [None, None]
    (training,) = found["trainings"]
    assert training["epochs"] == 4
    assert training["values"]["nll"] < training["values"]["nelbo"]
    assert training["values"]["nll_images"] == 200
    trials = load_trials(folder / "mnist_grey_quick")
    assert trials["state"].tolist() == ["COMPLETE"]
    # one sample of 143 validation images and twenty of 200 test images measure the same model
    assert training["values"]["nelbo"] == pytest.approx(trials["val_bits_per_dim"].item(), rel=0.1)
    again = script(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads((folder / RESULTS).read_text())["trainings"] == [training]


@pytest.mark.slow
def test_a_linear_one_is_measured_against_the_closed_form(tmp_path: Path, tiny_mnist: Path) -> None:
    done = script(PAGE, "linear_mnist", "--quick", "--data-dir", tiny_mnist, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads((tmp_path / "out/linear_mnist_quick" / RESULTS).read_text())
    excess = [each["values"]["excess"] for each in found["trainings"]]
    assert len(excess) == 2
    assert min(excess) > 0  # of eight epochs: far from the closed form, and above it
