"""Optuna's own dashboard, running over a study's ledger."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
from support.analysis_fixture import SIX, build_study

from analysis import load_trials

STATES = {"COMPLETE": "Complete", "PRUNED": "Pruned", "FAIL": "Fail", "RUNNING": "Running"}


def ask(port: int, path: str) -> Any:
    with urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as answer:
        return json.load(answer)


def test_it_shows_names_states_values_and_parameters_as_they_are(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    before = load_trials(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).with_name("optuna-dashboard"), f"sqlite:///{folder}/study.db"]
    log = (tmp_path / "log").open("wb")
    dashboard = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log)
    try:
        studies = None
        while studies is None:
            assert dashboard.poll() is None, (tmp_path / "log").read_text()
            try:
                studies = ask(port, "studies")["study_summaries"]
            except URLError:
                time.sleep(0.1)
        assert [study["study_name"] for study in studies] == ["digits_vae"]
        trials = ask(port, f"studies/{studies[0]['study_id']}?after=0")["trials"]
    finally:
        dashboard.terminate()
        dashboard.wait()
        log.close()
    assert [trial["state"] for trial in trials] == [STATES[made.state] for made in SIX]
    for trial, made in zip(trials, SIX, strict=True):
        drawn = {each["name"]: float(each["param_external_value"]) for each in trial["params"]}
        assert drawn == made.params
        assert [each["value"] for each in trial["intermediate_values"]] == list(made.bits)
        assert trial.get("values") == ([min(made.bits)] if made.state == "COMPLETE" else None)
    pd.testing.assert_frame_equal(load_trials(folder), before)  # having been looked at changes nothing
