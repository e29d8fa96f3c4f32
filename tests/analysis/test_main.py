"""The command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.analysis_fixture import BASE, SIX, build_study

from analysis import load_trials
from analysis.report.compare import compare_studies
from trainables.config import TrialConfig
from trainables.errors import UserError


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analysis", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_the_command_line_says_what_is_wrong(tmp_path: Path) -> None:
    missing = command("report", str(tmp_path / "none"))
    assert missing.returncode == 2
    assert missing.stderr.startswith(f"error: STUDY must be a folder, got '{tmp_path}/none', which is not there")
    assert len(missing.stderr.splitlines()) == 2
    assert command("report", "x", "--no-such-option").returncode == 2
    assert "report" in command().stdout + command("--help").stdout


@pytest.mark.heavy
def test_the_commands_say_what_is_wrong(tmp_path: Path) -> None:
    two = build_study(tmp_path / "a"), build_study(tmp_path / "b")
    for arguments, message in [
        (("compare", two[0]), "a comparison needs at least 2 studies, got 1"),
        (("compare", two[0], two[0]), "cannot be compared with itself"),
        (("compare", two[0], tmp_path / "none"), "STUDY must be a folder"),
        (("compare", *two, "--out", tmp_path / "no" / "such.html"), "--out must be in a folder that can be written"),
        (("list", tmp_path / "none"), "FOLDER must be a folder"),
    ]:
        done = command(*arguments)
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
        assert len(done.stderr.splitlines()) <= 2
    with pytest.raises(UserError):
        compare_studies([])


@pytest.mark.heavy
def test_best_tells_a_person_and_a_program_which_model_to_take(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")
    told = command("best", folder, "--rate", "14").stdout.splitlines()
    assert told[0] == "take     trial 0, the lowest distortion at no more than 14 nats of rate"
    assert told[1].startswith("gives    rate 13.00 nats, distortion 855.00 nats")
    weights = folder / "trials" / "0000" / "checkpoints" / "best.safetensors"
    assert weights.is_file()
    assert told[3] == f"weights  {weights}"
    assert "trial 1 has 5.00 nats less rate and 15.00 more distortion: 3 nats of distortion for a nat" in told[5]
    assert told[7].startswith("sure     one training, 5.67 nats behind trial 4 at its own KL weight")
    found = json.loads(command("best", folder, "--rate", "14", "--json").stdout)
    assert found["metrics"]["val_relative_loss"] is None  # what is unknown; JSON has no NaN
    trial = load_trials(folder).set_index("number").loc[0]
    assert {name: found["metrics"][name] for name in ("val_rate", "val_distortion", "val_mse")} == {
        name: trial[name] for name in ("val_rate", "val_distortion", "val_mse")
    }
    assert (found["run"], found["met"], found["weights"]) == ("trial 0", True, str(weights))
    assert TrialConfig.model_validate(found["config"]) == BASE.of_trial(0, SIX[0].params)
    assert (found["neighbours"]["shorter"]["run"], found["neighbours"]["faithful"]["run"]) == ("trial 1", "trial 4")
    assert found["certainty"] == {
        "seeds": 0,
        "interval": None,
        "rival": 4,
        "ahead": pytest.approx(-17 / 3),
        "separable": None,
    }
    contradiction = command("best", folder, "--rate", "14", "--knee")
    assert contradiction.returncode == 2
    assert contradiction.stderr.splitlines() == [
        "error: a model is taken for one wish, got --rate and --knee",
        "leave out all but one",
    ]
