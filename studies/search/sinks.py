"""Where the search's trials are shown besides the study's folder: TensorBoard and MLflow."""

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from studies.record.ledger import check_sqlite
from trainables.console import unwritable
from trainables.errors import UserError, reason_of
from trainables.metrics import Metrics
from trainables.records.study_layout import StudyLayout
from trainables.text import printable, without_passwords

_Answer = TypeVar("_Answer")
_START_SECONDS = 20.0  # how long a tracking server may take to answer at first; a new database is filled then
_CLOSE_SECONDS = 60.0  # how long a sink may write on after the search's end
# for a server that is not there, MLflow would try for minutes
_MLFLOW_SCHEMES = ("https?", "file", "sqlite", "postgresql", "mysql", "mssql", "databricks")
_MLFLOW_ENVIRONMENT = {"HTTP_REQUEST_TIMEOUT": "4", "HTTP_REQUEST_MAX_RETRIES": "1", "DISABLE_TELEMETRY": "true"}


class _Run(Protocol):
    """A trial, as one of them takes it. Every method may raise whatever its library does."""

    def write(self, row: Metrics) -> None: ...

    def end(self, failed: bool) -> None: ...


Opener = Callable[[int, Mapping[str, Any]], _Run]
"""Begins a trial, by its number and parameters; one that was written before is written from its first epoch again."""


class _EventFile:
    """A trial in TensorBoard, in place of an earlier one's file."""

    def __init__(self, layout: StudyLayout, number: int, parameters: Mapping[str, Any]) -> None:
        from tensorboardX import SummaryWriter

        path = layout.tensorboard(number)
        shutil.rmtree(path, ignore_errors=True)
        self._file, self._parameters, self._last = SummaryWriter(str(path)), dict(parameters), Metrics()

    def write(self, row: Metrics) -> None:
        for name, value in row.items():
            self._file.add_scalar(name, value, int(row["epoch"]))
        self._file.flush()
        self._last = row

    def end(self, failed: bool) -> None:  # noqa: ARG002 (an event file does not say)
        from tensorboardX.summary import hparams

        # for TensorBoard's own table of parameters
        for summary in hparams(self._parameters, self._last) if self._last else ():
            self._file.file_writer.add_summary(summary)
        self._file.close()


class _MlflowRun:
    """A trial in MLflow, a second one where there was one before."""

    def __init__(self, client: Any, experiment: str, number: int, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client, self._id = client, client.create_run(experiment, run_name=f"trial {number}").info.run_id
        client.log_batch(self._id, params=[Param(name, str(value)) for name, value in parameters.items()])

    def write(self, row: Metrics) -> None:
        from mlflow.entities import Metric

        now, epoch = int(time.time() * 1000), int(row["epoch"])
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, epoch) for name, value in row.items()])

    def end(self, failed: bool) -> None:
        self._client.set_terminated(self._id, "FAILED" if failed else "FINISHED")


def openers(tensorboard: bool, mlflow: str | None, study: str, layout: StudyLayout) -> dict[str, Opener]:
    """By name, of those that are asked for; ready to begin trials. Raises: UserError where MLflow is not installed, or
    nothing takes runs at its URI."""
    found: dict[str, Opener] = {"TensorBoard": partial(_EventFile, layout)} if tensorboard else {}
    return found if mlflow is None else found | {"MLflow": _mlflow(mlflow, study)}


def check_mlflow(uri: str, study: str) -> None:
    """Raises: UserError where MLflow is not installed, or takes no runs at a URI; nothing is made there."""
    client = _client(uri)
    if uri.startswith("sqlite:///"):
        check_sqlite(uri, "--mlflow")
        return
    if uri.startswith("file:"):
        if fault := unwritable(Path(urlsplit(uri).path).parent):
            raise UserError(f"--mlflow must be in a folder that can be written, got {without_passwords(uri)}: {fault}")
        return
    _answer(uri, lambda: client().get_experiment_by_name(study))


def _mlflow(uri: str, study: str) -> Opener:
    client_of = _client(uri)

    def connect() -> Opener:
        client = client_of()
        found = client.get_experiment_by_name(study)
        experiment = found.experiment_id if found else client.create_experiment(study)
        return partial(_MlflowRun, client, experiment)

    return _answer(uri, connect)


def _client(uri: str) -> Callable[[], Any]:
    """What makes MLflow's client of a URI."""
    where = without_passwords(uri)
    if not re.match(rf"({'|'.join(_MLFLOW_SCHEMES)})(\+\w+)?:(?!/*$)", uri):
        raise UserError(
            f"--mlflow must be a tracking URI, got {where!r}\nsuch as http://host:5000 or sqlite:////folder/mlflow.db"
        )
    for name, value in _MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(f"MLFLOW_{name}", value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise UserError("--mlflow needs the package mlflow-skinny\npip install 'vae-studies[mlflow]'") from error
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # notices would tear the view; what goes wrong is raised
    return partial(MlflowClient, uri)


def _answer(uri: str, ask: Callable[[], _Answer]) -> _Answer:
    """What MLflow answers in time. Raises: UserError where it does not."""
    done: Future[_Answer] = Future()

    def connect() -> None:
        try:
            done.set_result(ask())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=connect, daemon=True).start()  # one that hangs is left behind, and does not keep the process
    where = without_passwords(uri)
    try:
        return done.result(_START_SECONDS)
    except TimeoutError as error:
        raise UserError(f"--mlflow cannot be reached at {where}\nno answer in {_START_SECONDS:.0f} s") from error
    except Exception as error:  # any of MLflow's, SQLAlchemy's or a driver's
        reason = printable(without_passwords(reason_of(_bottom(error))))
        fault = f"--mlflow cannot be reached at {where}"
        raise UserError(f"{fault}\n{reason}: start its server, or give another address") from error


def _bottom(error: BaseException) -> BaseException:
    """What the system says where that is at the bottom of an error, without a library's own words; else the error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def _reason(error: BaseException) -> str:
    """Why a sink has ended, of which its library may say less than the kind of its error."""
    bottom = _bottom(error)
    kind = "" if isinstance(bottom, OSError) and bottom.strerror else f"{type(error).__name__}: "
    return printable(without_passwords(f"{kind}{reason_of(bottom)}"))


class Sink:
    """Hands the search's trials on, in a thread of its own. After an error it does no more, of which it tells a person
    by ``note``: no study waits or ends for it. What is no trial of the search, and so has no number, is left out."""

    def __init__(self, name: str, opener: Opener, note: Callable[[str], None]) -> None:
        self.name, self._opener, self._note = name, opener, note
        self._is_off = False
        self._runs: dict[int, _Run] = {}
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def started(self, label: int | str, parameters: Mapping[str, Any], rows: Sequence[Metrics]) -> None:
        """A training has begun, or goes on after ``rows``."""
        if isinstance(label, int):
            self._calls.put(lambda: self._runs.update({label: self._opener(label, parameters)}))
        for row in rows:
            self.reported(label, row)

    def reported(self, label: int | str, row: Metrics) -> None:
        """It has trained another epoch."""
        if isinstance(label, int):
            self._calls.put(lambda: self._runs[label].write(row))

    def ended(self, label: int | str, state: str, cause: str | None = None) -> None:  # noqa: ARG002 (as `View` has it)
        """It has ended: "complete", "pruned" or "failed"."""
        if isinstance(label, int):
            self._calls.put(lambda: self._runs.pop(label).end(state == "failed"))

    def close(self) -> None:
        """Let it write what it was told, trials without an end as failed; after a while, the rest is left out."""
        self._calls.put(self._end_all)
        self._calls.put(None)
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():
            self._give_up(f"it did not keep up, and {_CLOSE_SECONDS:.0f} s more were not enough")

    def _end_all(self) -> None:
        for run in self._runs.values():
            run.end(failed=True)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                if not self._is_off:
                    call()
            except Exception as error:  # whatever a library may raise
                self._give_up(_reason(error))

    def _give_up(self, cause: str) -> None:
        if not self._is_off:
            self._is_off = True
            self._note(f"{self.name} gets no more of this study: {cause}")
