"""TensorBoard's event files and MLflow's runs against a study's own records."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from rich.console import Console
from support.commands import ROOT, script
from support.small_study import row
from tensorboardX.proto import event_pb2

from analysis import load_epochs, load_trials
from studies.record.ledger import Ledger
from studies.record.provenance import provenance
from studies.record.study_folder import StudyFolder
from studies.search import sinks
from studies.search.lifecycle import Lifecycle, Session, search_trials
from studies.search.sinks import Sink, openers
from studies.study import Study
from studies.watch.live_view import View
from studies.watch.stopping import Stop
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.storage_urls import storage_url
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job
from vae_models import ModelConfig

NOWHERE = StudyLayout(Path("/nowhere"))
SCRIPT = """
from optuna.distributions import CategoricalDistribution

from studies.command_line.command import main
from studies.study import Study
from trainables.config import TrialConfig
from vae_models import ModelConfig

base = TrialConfig(model=ModelConfig(width=4), epochs=20, limit_train=200, limit_val=50)
space = {
    "beta": CategoricalDistribution((0.5, 2.0, 1e39)),  # the last is infinite in float32
    "model.latent_dim": CategoricalDistribution((2, 4)),
}
main(Study(name="sunk", base=base, space=space, trials=4, final_epochs=0, seed=4))
"""


def events(folder: Path) -> Iterator[Any]:
    """What TensorBoard would read there; the TFRecord framing is length, its checksum, data, its checksum."""
    (file,) = folder.iterdir()
    content, at = file.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
        at += 12 + length + 4


def in_event_files(folder: Path) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if not value.tag.startswith("_hparams_/"):  # TensorBoard's own
                steps = found.setdefault(value.tag, {})
                assert event.step not in steps
                steps[event.step] = value.simple_value
    return found


def in_mlflow(client: Any, run: Any) -> dict[str, dict[int, float]]:
    found = {}
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        found[name] = {each.step: each.value for each in history}
        assert len(found[name]) == len(history)
    return found


@pytest.mark.slow
@pytest.mark.alone
def test_both_sinks_hold_what_the_records_do_after_an_interruption_too(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    (tmp_path / "sunk.py").write_text(SCRIPT)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = ("sunk.py", "--out", "s", "--max-concurrent", "1", "--no-report", "--tensorboard")
    interrupted = subprocess.Popen(
        [sys.executable, *command, "--mlflow", uri], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    while len(list(tmp_path.glob("s/trials/*/metrics.jsonl"))) < 2:
        assert interrupted.poll() is None
        time.sleep(0.05)
    interrupted.send_signal(signal.SIGINT)
    output, _ = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130, output
    states = load_trials(tmp_path / "s").set_index("number")["state"]
    (stopped,) = states.index[states == "INTERRUPTED"]
    done = script(*command, "--mlflow", uri, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "gets no more" not in output + done.stdout

    trials, epochs = load_trials(tmp_path / "s"), load_epochs(tmp_path / "s")
    assert set(trials["state"]) == {"COMPLETE", "FAIL"}
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'sunk'")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    for trial in trials.to_dict("records"):
        number = trial["number"]
        rows = epochs[epochs["number"] == number].set_index("epoch", drop=False)
        record = TrialFolder(tmp_path / f"s/trials/{number:04d}")
        expected = {name: rows[name].to_dict() for name in {name for row in record.rows() for name in row}}
        single = {name: {e: np.float32(v) for e, v in steps.items()} for name, steps in expected.items()}
        assert in_event_files(tmp_path / f"s/tensorboard/{number:04d}") == single

        *before, last = [run for run in runs if run.info.run_name == f"trial {number}"]
        assert [run.info.status for run in before] == (["FAILED"] if number == stopped else [])
        assert last.info.status == {"COMPLETE": "FINISHED", "FAIL": "FAILED"}[trial["state"]]
        assert in_mlflow(client, last) == expected
        drawn = {"beta": trial["beta"], "model.latent_dim": trial["latent_dim"]}
        shown = {name: float(value) for name, value in last.data.params.items()}
        assert shown == drawn | {"seed": record.config().seed}


# One trial, without Ray


class Heard:
    """Remembers what it is told, and fails at an epoch."""

    def __init__(self, broken_at: int = 0) -> None:
        self.calls: list[tuple[str, object]] = []
        self.broken_at = broken_at

    def __call__(self, number: int, parameters: Mapping[str, Any]) -> HeardTrial:
        self.calls.append((f"start trial {number}", dict(parameters)))
        return HeardTrial(f"trial {number}", self)


@dataclass
class HeardTrial:
    name: str
    by: Heard

    def write(self, row: Metrics) -> None:
        if row["epoch"] == self.by.broken_at:
            raise ConnectionError("http://me:secret@host\x1b[31m is gone\nfor good")
        self.by.calls.append((self.name, row["epoch"]))

    def end(self, failed: bool) -> None:
        self.by.calls.append((f"end {self.name}", failed))


class Hung(Heard):
    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def __call__(self, number: int, parameters: Mapping[str, Any]) -> HeardTrial:
        self.free.wait(60)
        return super().__call__(number, parameters)


class Run:
    """A study of one trial, its lifecycle called as Tune would."""

    def __init__(self, path: Path, *openers: Heard) -> None:
        base = TrialConfig(model=ModelConfig(width=4), epochs=3, seed=5)
        study = Study(name="small", base=base, space={"beta": FloatDistribution(0.1, 10)}, trials=1)
        self.screen = StringIO()
        view = View("small", 1, 3, Console(file=self.screen))
        path.mkdir(exist_ok=True)
        self.ledger = Ledger(study, storage_url(path, None))
        session = Session(self.ledger, StudyFolder(path), None, view, Stop())
        sinks = [Sink("Board", opener, view.note) for opener in openers]
        self.lifecycle = Lifecycle(session, [search_trials(session)], sinks)
        job = self.lifecycle.next_job()
        assert job is not None
        self.job: Job = job

    def report(self, epoch: int) -> None:
        self.lifecycle.report("0", row(epoch, 2.0))

    def end(self) -> None:
        self.lifecycle.complete("0")
        self.lifecycle.close()


def test_every_epoch_is_told_once_whatever_is_started_again(tmp_path: Path) -> None:
    first = Run(tmp_path, Heard())
    first.report(1)
    writer = Heard()
    second = Run(tmp_path, writer)  # another driver: the trial goes on after its first epoch
    second.report(2)
    for epoch in (1, 2, 3):  # its Tune actor died, and the next repeats what it heard
        second.report(epoch)
    second.end()
    parameters = {"beta": second.job.config.beta, "seed": 5}
    told = [("trial 0", 1), ("trial 0", 2), ("trial 0", 3)]
    assert writer.calls == [("start trial 0", parameters), *told, ("end trial 0", False)]


def test_a_trial_that_fails_or_is_left_ends_as_failed(tmp_path: Path) -> None:
    failing, left = Heard(), Heard()
    run = Run(tmp_path / "a", failing)
    run.lifecycle.fail("0", "non-finite at epoch 1")
    run.end()
    run = Run(tmp_path / "b", left)
    run.report(1)
    run.lifecycle.stop.fail("the disk is full")
    run.end()
    assert [writer.calls[-1] for writer in (failing, left)] == [("end trial 0", True)] * 2


def test_a_sink_that_breaks_is_off_with_a_line_and_the_study_goes_on(tmp_path: Path) -> None:
    broken, whole = Heard(broken_at=2), Heard()
    run = Run(tmp_path, broken, whole)
    for epoch in (1, 2, 3):
        run.report(epoch)
    run.end()
    assert broken.calls[1:] == [("trial 0", 1)]
    assert whole.calls[-1] == ("end trial 0", False)
    assert dict(run.ledger.count()) == {"COMPLETE": 1}
    (line,) = [line for line in run.screen.getvalue().splitlines() if "Board gets" in line]
    gone = "ConnectionError: http://me:***@host?[31m is gone"
    assert line == f"Board gets no more of this study: {gone}"


def test_a_sink_that_hangs_keeps_no_study_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_CLOSE_SECONDS", 0.2)
    hung, start = Hung(), time.monotonic()
    run = Run(tmp_path, hung)
    for epoch in (1, 2, 3):
        run.report(epoch)
    run.end()
    assert time.monotonic() - start < 30
    hung.free.set()
    assert dict(run.ledger.count()) == {"COMPLETE": 1}
    assert "Board gets no more of this study: it did not keep up" in run.screen.getvalue()


# What is wrong at the start


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("nonsense", "must be a tracking URI, got 'nonsense'\nsuch as"),
        ("nonsense://x", "must be a tracking URI, got 'nonsense://x'\nsuch as"),
        ("http://[", r"cannot be reached at http://\[\n"),
        ("http://me:sec@ret@127.0.0.1:1", r"cannot be reached at http://me:\*\*\*@127.0.0.1:1\n.*refused"),
        ("sqlite:////proc/nowhere/m.db", "cannot be reached at sqlite:////proc/nowhere/m.db\n.*No such file"),
    ],
)
def test_a_uri_that_leads_nowhere_is_two_lines(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        openers(False, uri, "small", NOWHERE)
    assert len(str(caught.value).splitlines()) == 2
    assert "ret@" not in str(caught.value)


def test_a_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_START_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=f"cannot be reached at {uri}\nno answer in"):
            openers(False, uri, "small", NOWHERE)


def test_without_mlflow_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert openers(False, None, "small", NOWHERE) == {}
    with pytest.raises(UserError, match=r"needs the package mlflow-skinny\npip install"):
        openers(False, "sqlite:///m.db", "small", NOWHERE)


def test_a_password_in_the_uri_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["digits_vae.py", "--mlflow", "http://me:sec@ret@host:5000", "--fresh"])
    assert provenance()["command"] == "python digits_vae.py --mlflow 'http://me:***@host:5000' --fresh"


@pytest.mark.slow
def test_a_study_whose_sink_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    study = ROOT / "studies/digits_vae.py"
    done = script(study, "--out", "s", "--mlflow", "http://me:secret@127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    lines = done.stderr.strip().splitlines()
    assert lines[0] == "error: --mlflow cannot be reached at http://me:***@127.0.0.1:1"
    assert len(lines) == 2, done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert not (tmp_path / "s").exists()
