"""Optuna's own dashboard, running over a study's ledger."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
import pytest
from support.analysis_fixture import SIX, build_study
from support.small_study import lifecycle, study, train

from analysis import load_trials

STATES = {"COMPLETE": "Complete", "PRUNED": "Pruned", "FAIL": "Fail", "RUNNING": "Running"}


def ask(port: int, path: str) -> Any:
    with urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as answer:
        return json.load(answer)


@contextmanager
def dashboard(folder: Path) -> Iterator[Any]:
    """What it knows of a study, once it is up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).with_name("optuna-dashboard"), f"sqlite:///{folder}/study.db"]
    with (folder.parent / "log").open("wb") as log:
        running = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log)
        try:
            studies = None
            while studies is None:
                assert running.poll() is None, (folder.parent / "log").read_text()
                try:
                    studies = ask(port, "studies")["study_summaries"]
                except URLError:
                    time.sleep(0.1)
            (study,) = studies
            yield study | ask(port, f"studies/{study['study_id']}?after=0")
        finally:
            running.terminate()
            running.wait()


def test_it_shows_names_states_values_and_parameters_as_they_are(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    before = load_trials(folder)
    with dashboard(folder) as shown:
        assert shown["study_name"] == "digits_vae"
        trials = shown["trials"]
    assert [trial["state"] for trial in trials] == [STATES[made.state] for made in SIX]
    for trial, made in zip(trials, SIX, strict=True):
        drawn = {each["name"]: float(each["param_external_value"]) for each in trial["params"]}
        assert drawn == made.params
        assert [each["value"] for each in trial["intermediate_values"]] == list(made.bits)
        assert trial.get("values") == ([min(made.bits)] if made.state == "COMPLETE" else None)
    pd.testing.assert_frame_equal(load_trials(folder), before)  # having been looked at changes nothing


@pytest.mark.heavy
@pytest.mark.parametrize("limits", [[], ["val_rate<=6", "val_active_units>=1"]])
def test_it_shows_two_objectives_their_names_the_front_and_the_limits(tmp_path: Path, limits: list[str]) -> None:
    trainings, opened = lifecycle(tmp_path / "study", study(trials=12, where=limits))
    while (job := trainings.next_job()) is not None:
        train(trainings, job)
    ledger = opened.ledger
    with dashboard(tmp_path / "study") as shown:
        assert shown["directions"] == ["minimize", "minimize"]
        assert shown["objective_names"] == ["val_rate", "val_distortion"]
    trials = shown["trials"]
    assert {"Complete", "Pruned"} == {trial["state"] for trial in trials}
    for trial, told in zip(trials, ledger.all(), strict=True):
        assert trial.get("values") == told.values
        assert trial["constraints"] == list(told.constraints.values())
        assert len(trial["constraints"]) == len(limits)
    if limits:  # its plot tells them apart by these
        assert {max(trial["constraints"]) <= 0 for trial in trials} == {True, False}
    else:
        assert {trial["number"] for trial in shown["best_trials"]} == {trial.number for trial in ledger.front()}
