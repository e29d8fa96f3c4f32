"""A study that the code of version 0.1 wrote, interrupted in its ninth trial, goes on with today's."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.commands import ROOT, script

from analysis import load_repeats, load_trials
from studies.digits_vae import STUDY
from studies.record.study_folder import StudyFolder
from studies.study import Study
from trainables.errors import UserError
from trainables.records.atomic_files import seal, unseal
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.training.checkpoint import load_latest

WRITTEN = ROOT / "tests/fixtures/version_1"
SETTINGS = {"model.width": 4, "model.latent_dim": 3, "lr": 0.01, "limit_train": 200, "limit_val": 50, "epochs": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(WRITTEN, tmp_path / "version_1")


def lacking(path: Path, fields: Iterable[str], within: str | None = None) -> None:
    """Rewrite a sealed file as if these fields had not been thought of."""
    values = unseal(path.read_bytes())
    for name in fields:
        del (values[within] if within else values)[name]
    path.write_text(seal(values, indent=2) + "\n")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fields_that_were_added_later_lock_no_folder(folder: Path) -> None:
    layout, added = StudyLayout(folder), ("compile", "precision")
    lacking(layout.question, added, "base")
    lacking(layout.question, ("objective", "seed"))
    for path in layout.trial_folders():
        lacking(path / "config.json", added)
    study = StudyFolder(folder).own_definitions(STUDY.with_overrides(SETTINGS))
    claimed = StudyFolder(folder).claim(study)
    assert claimed["id"] == json.loads((WRITTEN / "study.json").read_text())["id"]
    assert claimed["base"]["precision"] == "float32"
    for path in layout.trial_folders():
        number, earlier = int(path.name), TrialFolder(WRITTEN / "trials" / path.name).config()
        assert TrialFolder(path).config() == earlier
        drawn = {"beta": earlier.beta, "model.depth": earlier.model.depth}
        assert TrialFolder(path).holds(study.base.of_trial(number, drawn))


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        ({"lr": 0.5}, "--set lr: 0.01 in the folder, 0.5 now"),
        ({"precision": "bf16"}, "--set precision: float32 in the folder, bf16 now"),
        ({"model.depth": 1}, "space.model.depth: .* in the folder, not there now"),
    ],
)
def test_another_question_is_refused_still(folder: Path, overrides: dict, difference: str) -> None:
    lacking(StudyLayout(folder).question, ("compile", "precision"), "base")
    before = files(folder)
    with pytest.raises(UserError, match=f"holds another study: (.*; )?{difference}"):
        StudyFolder(folder).claim(StudyFolder(folder).own_definitions(STUDY.with_overrides(SETTINGS | overrides)))
    assert files(folder) == before


@pytest.mark.slow
def test_it_is_resumed_and_extended(folder: Path, tmp_path: Path) -> None:
    layout = StudyLayout(folder)
    status = script("-m", "studies", "status", folder, cwd=ROOT)
    assert status.returncode == 3, status.stderr
    assert "8 of 9 done" in status.stdout
    assert "1 interrupted" in status.stdout
    eighth = TrialFolder(layout.trial(8))
    (first,) = eighth.rows()
    state = load_latest(eighth.checkpoints, eighth.config(), "cpu")
    assert state is not None

    command = shlex.split(json.loads(layout.question.read_text())["command"])
    arguments = [*command[2 : command.index("--out")], "--out", str(folder), "--trials", "10"]
    done = script(ROOT / "studies/digits_vae.py", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

    # the epochs that its checkpoint holds were trained by the old code: even their times are as they were
    assert "trial 8 goes on after epoch 1" in done.stdout
    rows = eighth.rows()
    assert rows == [first, state["history"][1]]  # then it was pruned, as by the old code

    now, before = files(folder), files(WRITTEN)
    ended = [name for name in before if name.startswith(tuple(f"trials/{number:04d}/" for number in range(8)))]
    assert len(ended) == 24
    assert [name for name in ended if now[name] != before[name]] == []
    trials = load_trials(folder)
    assert len(trials) == 10
    assert set(trials["state"]) <= {"COMPLETE", "PRUNED"}
    assert not list(layout.trials.rglob("epoch_*.pt"))
    check_retrained(layout, Study.of_question(unseal(layout.question.read_bytes())))

    idle = script(ROOT / "studies/digits_vae.py", *arguments, cwd=tmp_path)
    assert idle.returncode == 0
    assert "Ray dashboard" not in idle.stdout


def check_retrained(layout: StudyLayout, study: Study) -> None:
    """The final training is the best trial's, and the repeats are the three best's."""
    trials = load_trials(layout.path)
    complete = trials[trials["state"] == "COMPLETE"].sort_values("val_bits_per_dim")
    configs = {int(n): TrialFolder(layout.trial(int(n))).config() for n in complete["number"]}
    final = TrialFolder(layout.final)
    assert final.config() == configs[int(complete["number"].iloc[0])].replace({"epochs": 5})
    assert len(final.rows()) == 5
    repeats = load_repeats(layout.path)
    best = complete["number"].head(3).astype(int).tolist()
    assert set(best) <= set(repeats["number"])
    assert set(repeats["state"]) == {"COMPLETE"}
    for number in best:
        assert TrialFolder(layout.repeat(number, 1)).config() == configs[number].of_repeat(1)
    assert study.base == STUDY.with_overrides(SETTINGS).by_definitions(1).base
