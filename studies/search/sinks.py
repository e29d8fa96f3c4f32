"""Where the search's trials are shown besides the study's folder: TensorBoard and MLflow."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.study_layout import StudyLayout
from trainables.text import printable, without_passwords

_START_SECONDS = 20.0
"""How long a tracking server may take to answer before the study starts; a new database is filled first."""
_CLOSE_SECONDS = 60.0
"""How long a sink may write on after the search's end."""

_MLFLOW_ENVIRONMENT = {
    # for a server that is not there, MLflow would try for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class Writer(Protocol):
    """Writes trials, which it knows by their numbers. Every method may raise whatever its library does."""

    def start(self, number: int, parameters: Mapping[str, Any]) -> None:
        """Begin a trial; one that was written before is written from its first epoch again."""

    def write(self, number: int, row: Metrics) -> None:
        """Add an epoch."""

    def end(self, number: int, failed: bool) -> None:
        """Close a trial."""


class TensorBoardWriter:
    """Event files, a folder a trial."""

    def __init__(self, layout: StudyLayout) -> None:
        self._layout = layout
        self._open: dict[int, tuple[Any, Mapping[str, Any], Metrics]] = {}

    def start(self, number: int, parameters: Mapping[str, Any]) -> None:
        """Begin a trial's event file, in place of an earlier one."""
        from tensorboardX import SummaryWriter

        path = self._layout.tensorboard(number)
        shutil.rmtree(path, ignore_errors=True)
        self._open[number] = SummaryWriter(str(path)), parameters, {}

    def write(self, number: int, row: Metrics) -> None:
        """Add an epoch, to be seen at once."""
        events, _, last = self._open[number]
        for name, value in row.items():
            events.add_scalar(name, value, int(row["epoch"]))
        last.update(row)
        events.flush()

    def end(self, number: int, failed: bool) -> None:  # noqa: ARG002 (an event file does not say)
        """Add the parameters beside the last epoch, for TensorBoard's own table, and close the file."""
        from tensorboardX.summary import hparams

        events, parameters, last = self._open.pop(number)
        for summary in hparams(dict(parameters), last) if last else ():
            events.file_writer.add_summary(summary)
        events.close()


class MlflowWriter:
    """Runs of an experiment with the study's name, each of one trial. Raises: see `Writer`."""

    def __init__(self, uri: str, experiment: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(uri)
        found = self._client.get_experiment_by_name(experiment)
        self._experiment = found.experiment_id if found else self._client.create_experiment(experiment)
        self._runs: dict[int, str] = {}

    def start(self, number: int, parameters: Mapping[str, Any]) -> None:
        """Begin a run, a second one for a trial that has one already."""
        from mlflow.entities import Param

        run = self._client.create_run(self._experiment, run_name=f"trial {number}")
        self._runs[number] = run.info.run_id
        self._client.log_batch(run.info.run_id, params=[Param(name, str(value)) for name, value in parameters.items()])

    def write(self, number: int, row: Metrics) -> None:
        """Add an epoch."""
        from mlflow.entities import Metric

        now, epoch = int(time.time() * 1000), int(row["epoch"])
        metrics = [Metric(name, value, now, epoch) for name, value in row.items()]
        self._client.log_batch(self._runs[number], metrics=metrics)

    def end(self, number: int, failed: bool) -> None:
        """End the run."""
        self._client.set_terminated(self._runs.pop(number), "FAILED" if failed else "FINISHED")


def open_writers(tensorboard: bool, mlflow: str | None, study: str, layout: StudyLayout) -> dict[str, Writer]:
    """Writers by name, ready to write.

    Raises:
        UserError: where MLflow is not installed, or nothing takes runs at its URI.
    """
    found: dict[str, Writer] = {}
    if tensorboard:
        found["TensorBoard"] = TensorBoardWriter(layout)
    if mlflow is not None:
        found["MLflow"] = _mlflow_writer(mlflow, study)
    return found


def _mlflow_writer(uri: str, study: str) -> Writer:
    where = without_passwords(uri)
    if not re.match(r"[a-z][a-z0-9+.-]*:", uri):
        raise UserError(
            f"--mlflow must be a tracking URI, got {where!r}\nsuch as http://host:5000 or sqlite:////folder/mlflow.db"
        )
    for name, value in _MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise UserError("--mlflow needs the package mlflow-skinny\npip install 'vae-studies[mlflow]'") from error
    # its notices would tear the live view; what goes wrong is raised too
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    done: Future[Writer] = Future()

    def connect() -> None:
        try:
            done.set_result(MlflowWriter(uri, study))
        except BaseException as error:
            done.set_exception(error)

    # a thread that hangs is left behind, and does not keep the process
    Thread(target=connect, daemon=True).start()
    try:
        return done.result(_START_SECONDS)
    except TimeoutError as error:
        raise UserError(f"MLflow cannot be reached at {where}\nno answer in {_START_SECONDS:.0f} s") from error
    except Exception as error:  # any of MLflow's, SQLAlchemy's or a driver's
        raise UserError(f"MLflow cannot be reached at {where}\n{_reason(error)}") from error


def _reason(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return printable(without_passwords(f"{type(error).__name__}: {first}"))


class Sink:
    """Hands the search's trials to a writer, in a thread of its own, and after an error no more: no study waits or
    ends for it.

    Args:
        name: for a person.
        writer: what writes.
        note: tells a person of what goes wrong.
    """

    def __init__(self, name: str, writer: Writer, note: Callable[[str], None]) -> None:
        self.name, self._writer, self._note = name, writer, note
        self._is_off = False
        self._open: set[int] = set()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def started(self, number: int, parameters: Mapping[str, Any], rows: Sequence[Metrics]) -> None:
        """A trial has begun, or goes on after ``rows``."""
        self._open.add(number)
        self._calls.put(partial(self._writer.start, number, parameters))
        for row in rows:
            self.reported(number, row)

    def reported(self, number: int, row: Metrics) -> None:
        """A trial has trained another epoch."""
        self._calls.put(partial(self._writer.write, number, row))

    def ended(self, number: int, failed: bool) -> None:
        """A trial has ended."""
        self._open.discard(number)
        self._calls.put(partial(self._writer.end, number, failed))

    def close(self) -> None:
        """Let it write what it was told, trials without an end as failed; after a while, the rest is left out."""
        for number in list(self._open):
            self.ended(number, failed=True)
        self._calls.put(None)
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():
            self._give_up(f"it did not keep up, and {_CLOSE_SECONDS:.0f} s more were not enough")

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                if not self._is_off:
                    call()
            except Exception as error:  # whatever a writer's library may raise
                self._give_up(_reason(error))

    def _give_up(self, cause: str) -> None:
        if not self._is_off:
            self._is_off = True
            self._note(f"{self.name} gets no more of this study: {cause}")
