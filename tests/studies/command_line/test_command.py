"""The command line of a study, before it starts anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from support.commands import ROOT, script
from support.image_sets import write_pictures

SMALL = ("--set", "model.width=4", "--limit-train", "200", "--limit-val", "50", "--epochs", "3", "--no-report")


def test_a_study_is_checked_without_what_takes_long_to_import() -> None:
    """Torch takes as long as Ray to come up, and is imported meanwhile."""
    code = (
        "import sys\n"
        "from studies.digits_vae import STUDY\n"
        "from studies.record.provenance import provenance\n"
        "from studies.run.checks import check_data\n"
        "from studies.run.options import Options\n"
        "check_data(STUDY, Options())\n"
        "provenance()\n"
        "print([name for name in ('torch', 'ray.train', 'scipy.stats') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_a_folder_that_is_refused_keeps_all_it_holds(tmp_path: Path, fresh: tuple[str, ...]) -> None:
    foreign = tmp_path / "mine"
    foreign.mkdir()
    for name in ("study.db", "study.db-journal"):
        (foreign / name).write_text("mine")
    done = script(ROOT / "studies/digits_vae.py", "--out", foreign, *fresh, cwd=tmp_path)
    assert (done.returncode, "holds no study" in done.stderr) == (2, True), done.stderr
    assert {path.name: path.read_text() for path in foreign.iterdir()} == {
        "study.db": "mine",
        "study.db-journal": "mine",
    }


@pytest.mark.slow
def test_a_study_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    command = (ROOT / "studies/digits_vae.py", *SMALL, "--out", "s", "--storage", url)
    done = script(*command, "--max-concurrent", "999", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "the cluster holds" in done.stderr
    assert not (tmp_path / "s").exists()
    assert optuna.get_all_study_names(url) == []


@pytest.mark.heavy
def test_a_dry_run_prints_the_plan_and_starts_nothing(tmp_path: Path) -> None:
    # of fewer channels: a few steps are measured, and these take less
    done = script(ROOT / "studies/cifar_vae.py", "--dry-run", "--set", "model.width=8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("beta: 0.05 to 5, log scale", "48 trials of 20 epochs", "trial(s) at once"):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_downloads_nothing(tmp_path: Path) -> None:
    done = script(ROOT / "studies/mnist_vae.py", "--dry-run", "--data-dir", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not there, so the study first downloads or unpacks it: " in done.stdout
    assert "time       not measured: the data set is not there" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_nobody_got_has_failed(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, str(ROOT / "studies/yardsticks.py")]
        done = subprocess.run(words, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    first, way_out = done.stderr.splitlines()
    assert (done.returncode, first) == (1, "error: what was printed is not all there: No space left on device")
    assert way_out == "once the system lets it, the same command tries again"


@pytest.mark.heavy
def test_a_dry_run_says_what_of_a_folder_is_not_read_and_how_the_rest_is(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", {"cat": 4, "dog": 4})
    (tmp_path / "photos/cat/old").mkdir()
    (tmp_path / "photos/dog/000.png").rename(tmp_path / "photos/cat/old/0.png")
    (tmp_path / "photos/list.csv").write_text("")
    dry = "--dry-run", "--set", "dataset=imagefolder:photos", "--set", "image_size=32", "--set", "model.width=8"
    done = script(ROOT / "studies/cifar_vae.py", *dry, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 picture(s) in folders further down (cat/old/0.png); 1 file(s) of other kinds (list.csv)" in done.stdout
    assert "7 images, of which 1 validate: too few to tell which of two trials is better" in done.stdout
    (tmp_path / "photos/cat/000.png").write_bytes(b"")
    done = script(ROOT / "studies/cifar_vae.py", *dry, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path}/photos/cat/000.png is empty\nmend or remove it\n"


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["cifar", "mnist", "fashion_mnist", "digits"])
def test_every_study_offers_the_same_options(name: str, tmp_path: Path) -> None:
    done = script(ROOT / f"studies/{name}_vae.py", "--help", cwd=tmp_path)
    options = (
        "--data-dir --out --trials --epochs --workers-per-trial --max-concurrent --limit-train --limit-val "
        "--seed --address --storage --dry-run --fresh --final --final-epochs --final-workers "
        "--objective --prune --where --sampler"
    )
    assert done.returncode == 0
    assert [option for option in options.split() if option not in done.stdout] == []
