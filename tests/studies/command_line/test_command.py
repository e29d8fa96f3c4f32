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


def test_a_study_is_checked_without_torch() -> None:
    """It takes as long to import as Ray to come up, and is imported meanwhile."""
    code = (
        "import sys\n"
        "from studies.digits_vae import STUDY\n"
        "from studies.record.provenance import provenance\n"
        "from studies.run.runner import check_data\n"
        "check_data(STUDY, None, 1)\n"
        "provenance()\n"
        "print([name for name in ('torch', 'ray.train') if name in sys.modules])"
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
    assert (done.returncode, "holds no study" in done.stderr) == (1, True), done.stderr
    assert {path.name: path.read_text() for path in foreign.iterdir()} == {
        "study.db": "mine",
        "study.db-journal": "mine",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--no-such-option"], 2, "--no-such-option"),
        (["--trials", "0"], 2, "trials must be at least 1, got 0"),
        (["--epochs", "0"], 2, "epochs"),
        (["--max-concurrent", "-1"], 2, "max_concurrent must be at least 1, got -1"),
        (["--set", "model.latent_dim=0"], 2, "model.latent_dim"),
        (["--set", "model.detph=1"], 2, "'model.detph' is no field of ModelConfig"),
        (["--set", "beta=-1"], 2, "beta"),
        (["--set", "epochs=3"], 2, "epochs is set twice: use --epochs, or --set once"),
        (["--set", "model.image_shape=[1,8,8]"], 2, "model.image_shape follows from the data set"),
        (["--patience", "inf"], 2, "patience must be from 1 to 86,400 seconds, got inf"),
        (["--set", "nonsense"], 2, "--set must be FIELD=VALUE, got 'nonsense'"),
        (["--objective", "speed"], 2, "'speed' is not one of 'rate_distortion', 'bits_per_dim'"),
        (["--sampler", "grid"], 2, "'grid' is not one of"),
        (["--prune", "1"], 2, "prune must be a quantile from 0 to below 1, got 1"),
        (["--prune", "-0.1"], 2, "prune must be a quantile from 0 to below 1, got -0.1"),
        (["--prune", "nan"], 2, "prune must be a quantile from 0 to below 1, got nan"),
        (["--prune", "much"], 2, "Invalid value for '--prune'"),
        (["--final", "-1"], 2, "final must be at least 0, got -1"),
        (["--where", "val_rate"], 2, "--where must be METRIC<=NUMBER or METRIC>=NUMBER, got 'val_rate'"),
        (["--where", "val_rate<20"], 2, "--where must be METRIC<=NUMBER"),
        (["--where", "val_speed<=20"], 2, "--where must name one of val_bits_per_dim, "),
        (["--where", "train_rate<=20"], 2, "--where must name one of val_bits_per_dim, "),
        (["--where", "val_rate<=20 bits"], 2, "--where must give val_rate in nats per image, got 'bits'"),
        (["--where", "val_mse<=0"], 2, "--where must have a limit above 0"),
        (["--where", "val_mse<=nan"], 2, "--where must be METRIC<=NUMBER"),
        (["--where", "val_mse<=1e999"], 2, "--where must have a limit above 0"),
        (["--where", "val_mse<=1.2.3"], 2, "--where must have a limit above 0"),
        (["--set", "dataset=imagenet"], 1, "imagenet"),
        (["--workers-per-trial", "999"], 1, "the cluster holds"),
        (["--final-workers", "999"], 1, "the cluster holds"),
        (["--out", "/proc/nowhere"], 1, "/proc/nowhere"),
        (["--address", "127.0.0.1:1"], 1, "no Ray cluster answers at 127.0.0.1:1"),
        (["--storage", "nonsense://"], 1, "storage cannot be opened"),
    ],
)
@pytest.mark.slow
def test_a_wrong_request_is_two_lines_and_no_traceback(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    dry = ["--dry-run"] if arguments[0] in ("--workers-per-trial", "--final-workers") else []
    done = script(ROOT / "studies/digits_vae.py", *arguments, *dry, cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4, done.stderr


@pytest.mark.slow
def test_a_study_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    command = (ROOT / "studies/digits_vae.py", *SMALL, "--out", "s", "--storage", url)
    done = script(*command, "--max-concurrent", "999", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "the cluster holds" in done.stderr
    assert not (tmp_path / "s").exists()
    assert optuna.get_all_study_names(url) == []


def test_a_dry_run_prints_the_plan_and_starts_nothing(tmp_path: Path) -> None:
    done = script(ROOT / "studies/cifar_vae.py", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("beta: 0.05 to 5, log scale", "48 trials of 20 epochs", "trial(s) at once"):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_of_a_folder_is_not_read_and_how_the_rest_is(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", {"cat": 4, "dog": 4})
    (tmp_path / "photos/cat/old").mkdir()
    (tmp_path / "photos/dog/000.png").rename(tmp_path / "photos/cat/old/0.png")
    (tmp_path / "photos/list.csv").write_text("")
    dry = "--dry-run", "--set", "dataset=imagefolder:photos", "--set", "image_size=32"
    done = script(ROOT / "studies/cifar_vae.py", *dry, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 picture(s) in folders further down (cat/old/0.png); 1 file(s) of other kinds (list.csv)" in done.stdout
    assert "7 images, of which 1 validate: too few to tell which of two trials is better" in done.stdout
    (tmp_path / "photos/cat/000.png").write_bytes(b"")
    done = script(ROOT / "studies/cifar_vae.py", *dry, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/photos/cat/000.png is empty\nmend or remove it\n"


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
