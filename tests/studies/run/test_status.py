"""What is said of a study's folder, whatever came of its trials."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.analysis_fixture import metrics
from support.small_study import CONFIG, curve, session, study, train

from analysis import load_trials
from analysis.figures.registry import StudyContext
from analysis.figures.study import importance, rate_distortion
from analysis.figures.study.timeline import FIGURE
from analysis.reading.best_runs import ranked_runs
from analysis.reading.study_record import read_study
from analysis.report.findings import findings
from analysis.report.listing import list_studies
from studies.__main__ import app
from studies.record.driver_lock import DriverLock
from studies.record.ledger import Trials
from studies.record.study_folder import StudyFolder
from studies.run.operations import _going_on, described, prune, status_of
from studies.search.lifecycle import Lifecycle, search_trials
from trainables.config import TrialConfig
from trainables.console import run
from trainables.metrics import AT_EACH_RATE, RATES, Metrics, at_rate
from trainables.records.atomic_files import seal, unseal
from trainables.records.sessions import sessions_of
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.text import python_command


def measure(config: TrialConfig, epoch: int) -> Metrics:
    """All that an epoch has."""
    own = {"val_relative_loss": 1 + config.seed % 3 / 10 + 1 / epoch} if config.model.multi_rate else {}
    row = metrics(epoch, 2.0, config) | curve(config, epoch) | own
    places = range(RATES if config.model.multi_rate else 0)
    return row | {at_rate(name, place): row[name] for name in AT_EACH_RATE for place in places}


def searched(path: Path, done: str, **fields: Any) -> Path:
    """A study whose search has not begun, or is over; repeats and last trainings are left."""
    path.mkdir()
    planned, folder = study(seeds=1, final_epochs=4, **fields), StudyFolder(path)
    final = {"epochs": 4, "workers": 1, "trials": planned.finals}
    record = folder.claim(planned, trials=4, seeds=1, final=final, data_dir=None)
    opened = session(path, planned, record["id"])
    trainings = Lifecycle(opened, [search_trials(opened)])
    while done != "none" and (job := trainings.next_job()) is not None:
        if done == "failed" or (done == "one" and job.id != "2"):
            trainings.fail(job.id, "non-finite at epoch 1")
        else:
            train(trainings, job, measure)
    return path


KINDS = pytest.mark.parametrize(
    "fields",
    [{"definitions": 1}, {}, {"objective": "bits_per_dim"}, {"where": ["val_rate<=0.1"]}],
    ids=["definitions 1", "two objectives", "one", "limits"],
)


@KINDS
@pytest.mark.parametrize("done", ["none", "failed"])
def test_nothing_is_best_where_nothing_completed(tmp_path: Path, fields: dict[str, Any], done: str) -> None:
    folder = searched(tmp_path / "s", done, **fields)
    status = status_of(folder)
    assert (status["best"], status["best_bits_per_dim"], status["front"], status["left"]) == (None, None, [], [])
    assert status["is_finished"] == (done == "failed")
    assert not {"front", "best", "left"} & described(status).keys()
    assert prune(folder, 1, dry_run=True) == (0, 0)


@pytest.mark.parametrize("done", ["none", "failed"])
@pytest.mark.parametrize("what", ["stop", "pause", "resume"])
def test_what_is_asked_of_nobody_says_whether_anything_is_left(
    what: str, done: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = searched(tmp_path / "-n\nl", done)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["studies", what, "./-n\nl"])
    with pytest.raises(SystemExit) as ended:
        run(app)
    first, second = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert first == "error: nobody runs -n?l" + ": it is finished" * (done == "failed")
    assert ("goes on with it" in second) == (done == "none") != status_of(folder)["is_finished"]


def test_fewer_trials_than_there_are_may_be_asked_for(tmp_path: Path) -> None:
    folder = searched(tmp_path / "s", "all")
    path = StudyLayout(folder).question
    path.write_text(seal(unseal(path.read_bytes()) | {"trials": 2}))
    assert described(status_of(folder))["trials"] == "4 of 4 done (4 complete)"


@KINDS
@pytest.mark.parametrize("done", ["one", "all"])
def test_what_is_best_and_what_is_left(tmp_path: Path, fields: dict[str, Any], done: str) -> None:
    folder = searched(tmp_path / "s", done, **fields)
    status, shown = status_of(folder), described(status_of(folder))
    is_single = "objective" in fields or "definitions" in fields
    count = 4 if done == "all" else 1
    assert status["objective"] == ("bits_per_dim" if is_single else "rate_distortion")
    assert (status["best"] in status["front"]) == (not is_single)
    assert 0 < len(status["front"]) <= count or is_single
    chosen = min(3, count if is_single else len(status["front"]))
    finals = 1 if is_single else chosen
    assert status["left"] == [f"{chosen} repeats", f"{finals} final training(s)"]
    assert ("front" in shown) == (not is_single)
    assert ("best" in shown) == is_single
    assert not status["is_finished"]


def test_of_multi_rate_networks_the_relative_loss_is_said_and_bits_are_bits(tmp_path: Path) -> None:
    planned = study(base=CONFIG, seeds=1, final_epochs=0).multi_rate()
    found = searched(tmp_path / "s", "all", **{name: getattr(planned, name) for name in ("base", "space", "objective")})
    trials, status = read_study(found).trials, json.loads(json.dumps(status_of(found)))
    best = min(trials, key=lambda trial: trial.value)
    assert (status["objective"], status["best"], status["best_score"]) == ("multi_rate", best.number, best.value)
    assert status["best_bits_per_dim"] == best.user_attrs["val_bits_per_dim"] != best.value
    assert described(status)["best"] == f"trial {best.number}: relative loss {best.value:.3f}"
    recorded = Trials(planned, trials)  # as a driver that goes on has them
    assert recorded.lowest_score() == (best.value, best)
    lowest = recorded.lowest_bits()
    assert lowest
    assert lowest[0] == min(trial.user_attrs["val_bits_per_dim"] for trial in trials)


@pytest.mark.parametrize(("phase", "word"), [("", "interrupted"), ("running", "running"), ("paused", "interrupted")])
def test_all_say_the_same_of_a_trial_that_has_not_ended(tmp_path: Path, phase: str, word: str) -> None:
    """It runs where a driver trains it, and is interrupted where there is none, or that one is paused."""
    folder = searched(tmp_path / "s", "none")
    opened = session(folder, study(seeds=1, final_epochs=4), read_study(folder).info["id"])
    trainings = Lifecycle(opened, [search_trials(opened)])
    for until in (None, 1):
        job = trainings.next_job()
        assert job is not None
        train(trainings, job, measure, until)
    lock = DriverLock(StudyLayout(folder))
    with lock.acquired() if phase else nullcontext():
        if phase:
            lock.beat(phase)
        status, trials = status_of(folder), load_trials(folder)
        (listed,) = list_studies(tmp_path).to_dict("records")
        context = StudyContext(read_study(folder))
        page = findings(context, context.of(importance.FIGURE), context.of(rate_distortion.FIGURE))
    assert trials["state"].tolist() == ["COMPLETE", word.upper()]
    assert status["counts"] == {"COMPLETE": 1, word.upper(): 1}
    assert described(status)["trials"] == f"1 of 4 done (1 complete, 1 {word})"
    assert {name: listed[name] for name in ("running", "interrupted")} == {
        "running": word == "running",
        "interrupted": word == "interrupted",
    }
    assert f"2 trials (1 complete, 1 {word})" in page.asked
    assert ("nobody runs it" in " ".join(page.notes)) == (word == "interrupted")


@pytest.mark.parametrize(
    ("command", "folder", "expected"),
    [
        ("python s.py --trials 4 --out a/b --seed 1", "/home/a/b", "python s.py --trials 4 --out a/b --seed 1"),
        (
            "python s.py --trials 4 --out=a/b --seed 1",
            "/copy of/b",
            "python s.py --trials 4 --seed 1 --out '/copy of/b'",
        ),
        ("python s.py --set model.width=8", "/home/runs/small", "python s.py --set model.width=8"),
        ("python s.py --set model.width=8", "/moved", "python s.py --set model.width=8 --out /moved"),
        ("python s.py --out x --out a/b", "/home/a/b", "python s.py --out x --out a/b"),
        ("python 's.py --out", "/moved", "python 's.py --out"),  # no shell wrote this
    ],
)
def test_what_goes_on_with_a_copied_study_names_the_copy(command: str, folder: str, expected: str) -> None:
    status = {"name": "small", "folder": folder, "directory": "/home", "command": command, "driver": None}
    status |= {"is_finished": False, "definitions": 2, "counts": {}, "planned": 4, "left": [], "front_summary": None}
    status |= {"best": None, "cpu_hours": 0.0, "gpu_hours": 0.0}
    here = expected.replace("python", python_command(), 1)  # by its path where no shell finds it
    assert described(status)["go on by"] == f"cd /home && {here}"
    assert described(status | {"directory": "/of/another/machine"})["go on by"].startswith(python_command())


def test_what_goes_on_says_what_variables_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("VAE_DATA_DIR", "/data")
    status = {"name": "small", "folder": "/home/s", "directory": "/home", "command": "python s.py --out s"}
    status |= {"data_dir": "/data", "address": "head:6379"}
    assert _going_on(status) == "python s.py --out s --address head:6379"
    assert _going_on(status | {"folder": "/t", "data_dir": "/my data"}) == (
        "python s.py --data-dir '/my data' --address head:6379 --out /t"
    )
    status["command"] = "python s.py --data-dir=/data --address auto --out s"
    monkeypatch.delenv("VAE_DATA_DIR")
    assert _going_on(status) == status["command"]


def test_who_reads_a_folder_sees_the_front_that_its_driver_sees(tmp_path: Path) -> None:
    """With limits that some trials keep to: Optuna holds them where they are read in a hurry, too."""
    folder = searched(tmp_path / "s", "all", where=["val_rate<=6"])
    planned = study(seeds=1, final_epochs=4, where=["val_rate<=6"])
    ledger = session(folder, planned, read_study(folder).info["id"]).ledger
    trials = load_trials(folder)
    assert 0 < (trials["val_rate"] <= 6).sum() < len(trials)
    status = status_of(folder)
    assert status["front"] == [trial.number for trial in ledger.front()]
    assert sorted(status["front"]) == trials.loc[trials["front"], "number"].tolist()
    assert (trials.loc[trials["front"], "val_rate"] <= 6).all()


@pytest.mark.heavy
@KINDS
@pytest.mark.parametrize("done", ["none", "one", "all"])
def test_a_list_of_studies_has_the_fronts_that_their_status_has(
    tmp_path: Path, fields: dict[str, Any], done: str
) -> None:
    folder = searched(tmp_path / "s", done, **fields)
    status = status_of(folder)
    (listed,) = list_studies(tmp_path).to_dict("records")
    summary, columns = status["front_summary"], ["front", "knee", "val_rate", "val_distortion"]
    if summary is None:
        assert pd.isna([listed[name] for name in columns]).all()
        return
    expected = len(status["front"]), summary["trial"], summary["rate"], summary["distortion"]
    assert tuple(listed[name] for name in columns) == pytest.approx(expected)
    shown = described(json.loads(json.dumps(status)))
    assert shown["front"].startswith(f"{len(status['front'])} trial")
    where = {"one": "only", "all": "knee" if summary["is_knee"] else "middle"}[done]
    assert shown[where].startswith(f"trial {status['best']}: rate {summary['rate']:.2f} nats")


def test_the_best_are_the_fronts_and_keep_their_weights(tmp_path: Path) -> None:
    """Runs are ranked from the knee over the front to the trials with the most excess, and pruning keeps the first."""
    folder = searched(tmp_path / "s", "all", trials=8)
    trials, ranked = load_trials(folder), [run.number for run in ranked_runs(folder)]
    complete = trials[trials["state"] == "COMPLETE"]
    front = complete[complete["front"]]
    assert ranked[0] == status_of(folder)["best"]
    assert set(ranked[: len(front)]) == set(front["number"])
    assert complete.set_index("number")["excess"].loc[ranked[len(front) :]].is_monotonic_increasing
    assert sorted(ranked) == complete["number"].tolist()
    weights = {number: TrialFolder(StudyLayout(folder).trial(number)).best for number in complete["number"]}
    for path in weights.values():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"weights")
    prune(folder, len(front) + 1, dry_run=False)
    assert {number for number, path in weights.items() if path.exists()} == set(ranked[: len(front) + 1])


@pytest.mark.parametrize(("left", "text"), [(None, None), (42.4, "about 42 s"), (7500.0, "about 2.1 h")])
def test_a_driver_says_how_long_it_still_takes(tmp_path: Path, left: float | None, text: str | None) -> None:
    folder = searched(tmp_path / "s", "all")
    lock = DriverLock(StudyLayout(folder))
    with lock.acquired():
        lock.beat("reporting", left=left)
        status = json.loads(json.dumps(status_of(folder)))
    assert status["driver"]["left"] == left
    shown = described(status)
    assert shown["state"].startswith("reporting: process ")
    assert shown.get("time left") == text
    assert not StudyLayout(folder).sessions.exists()  # nothing trained


def test_the_timeline_of_a_folder_counts_idle_within_its_sessions(tmp_path: Path) -> None:
    """A driver that is paused between two trials, and a folder of before sessions were recorded."""
    folder = searched(tmp_path / "s", "none")
    opened = session(folder, study(seeds=1, final_epochs=4), read_study(folder).info["id"])
    trainings, lock = Lifecycle(opened, [search_trials(opened)]), DriverLock(StudyLayout(folder))
    with lock.acquired():
        for phase in ("paused", "closing"):
            lock.beat("running")
            job = trainings.next_job()
            assert job is not None
            train(trainings, job, measure)
            lock.beat(phase)
            time.sleep(0.5)
    timeline = StudyContext(read_study(folder)).of(FIGURE)
    first, second = sessions_of(StudyLayout(folder))
    trials = read_study(folder).trials
    started, ended = ([getattr(trial, f"datetime_{what}") for trial in trials] for what in ("start", "complete"))
    assert timeline.is_recorded
    assert timeline.start[0] == pytest.approx((started[0] - first.began).total_seconds())
    assert timeline.stops[:, 1].tolist() == [pytest.approx((second.began - ended[0]).total_seconds())]
    assert 0.5 < timeline.stops[0, 1] < 0.5 + (first.seen - ended[0]).total_seconds() + 10
    assert timeline.end[0] + (started[1] - second.began).total_seconds() == pytest.approx(timeline.start[1])
    StudyLayout(folder).sessions.unlink()
    older = StudyContext(read_study(folder)).of(FIGURE)
    assert not older.is_recorded
    assert len(older.stops) == 0  # no more than a minute
    assert older.idle > timeline.idle
