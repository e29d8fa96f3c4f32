"""Where trials are shown besides the study's folder: TensorBoard and MLflow, through Ray's own loggers."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback, TBXLoggerCallback
from ray.tune.result import TRAINING_ITERATION

from studies.record.study_folder import StudyFolder
from studies.run.options import Sinks
from studies.search.tune import Driver, Unsaved
from studies.watch.live_view import View
from trainables.errors import UserError
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job
from trainables.text import printable, without_passwords

START_SECONDS = 20.0
"""How long a tracking server may take to answer before the study starts; a new database is filled first."""
CLOSE_SECONDS = 60.0
"""How long a sink may write on after the search's end."""

MLFLOW_ENVIRONMENT = {
    # for a server that is not there, MLflow would try for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def loggers(sinks: Sinks, study: str) -> dict[str, LoggerCallback]:
    """Ray's loggers by name, ready to log.

    Raises:
        UserError: where MLflow is not installed, or nothing takes runs at its URI.
    """
    found: dict[str, LoggerCallback] = {}
    if sinks.tensorboard:
        found["TensorBoard"] = TBXLoggerCallback()
    if sinks.mlflow is not None:
        found["MLflow"] = mlflow_logger(sinks.mlflow, study)
    return found


def mlflow_logger(uri: str, experiment: str) -> LoggerCallback:
    where = without_passwords(uri)
    if not re.match(r"[a-z][a-z0-9+.-]*:", uri):
        raise UserError(
            f"--mlflow must be a tracking URI, got {where!r}\nsuch as http://host:5000 or sqlite:////folder/mlflow.db"
        )
    for name, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # noqa: F401
    except ImportError as error:
        raise UserError("--mlflow needs the package mlflow-skinny\npip install 'vae-studies[mlflow]'") from error
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    # its notices would tear the live view; what goes wrong is raised too
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logger = MLflowLoggerCallback(tracking_uri=uri, experiment_name=experiment)
    try:
        within(START_SECONDS, logger.setup)
    except TimeoutError as error:
        raise UserError(f"MLflow cannot be reached at {where}\nno answer in {START_SECONDS:.0f} s") from error
    except Exception as error:  # any of MLflow's, SQLAlchemy's or a driver's
        raise UserError(f"MLflow cannot be reached at {where}\n{reason(error)}") from error
    return logger


def within(seconds: float, call: Callable[[], None]) -> None:
    """Call, but wait no longer than this; a call that hangs is left behind, and does not keep the process.

    Raises:
        TimeoutError: where it takes longer.
    """
    done: Future[None] = Future()

    def work() -> None:
        try:
            call()
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    Thread(target=work, daemon=True).start()
    done.result(seconds)


def reason(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return printable(without_passwords(f"{type(error).__name__}: {first}"))


@dataclass(frozen=True)
class Shown:
    """What Ray's loggers read of a trial; Tune's own holds a job and a mailbox for its parameters."""

    number: int
    local_path: str = field(compare=False)
    config: Mapping[str, Any] = field(compare=False)

    def __str__(self) -> str:
        return f"trial {self.number}"

    @property
    def trial_id(self) -> str:
        return f"{self.number:04d}"

    @property
    def evaluated_params(self) -> Mapping[str, Any]:
        return self.config

    def init_local_path(self) -> None:
        """An empty folder: a trial that goes on is shown from its first epoch again."""
        shutil.rmtree(self.local_path, ignore_errors=True)
        Path(self.local_path).mkdir(parents=True)


class Sink(Unsaved, Callback):
    """Tells one of Ray's loggers what the records of Tune's trials hold.

    It does so in a thread of its own, and after an error no more: no study waits or ends for it.
    """

    def __init__(self, name: str, logger: LoggerCallback, driver: Driver, folder: StudyFolder, view: View) -> None:
        self._name, self._driver, self._folder, self._view = name, driver, folder, view
        self._logger: Any = logger  # of ours it is given `Shown`, not Tune's Trial
        self._shown: dict[int, Shown] = {}
        self._told: dict[int, int] = {}
        self._off = False
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        job: Job = trial.config["job"]
        parameters = {path: attrgetter(path)(job.config) for path in (*self._driver.space, "seed")}
        self._calls.put(partial(self._start, int(job.id), parameters))

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: dict, **info: Any) -> None:
        self._calls.put(partial(self._tell, int(trial.config["job"].id)))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = int(trial.config["job"].id)
        failed = self._driver.outcomes.get(number) not in ("complete", "pruned")
        self._calls.put(partial(self._end, number, failed))

    on_trial_error = on_trial_complete

    def close(self) -> None:
        """Let it write what it has heard; after a while, the rest is left out. A study that is interrupted
        at once closes nothing: its process ends."""
        self._view.phase(f"closing {self._name}")
        self._calls.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._give_up(f"it did not keep up, and {CLOSE_SECONDS:.0f} s more were not enough")

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                if not self._off:
                    call()
            except Exception as error:  # whatever a logger's library may raise
                self._give_up(reason(error))

    def _give_up(self, cause: str) -> None:
        if not self._off:
            self._off = True
            self._view.note(f"{self._name} gets no more of this study: {cause}")

    def _start(self, number: int, parameters: Mapping[str, Any]) -> None:
        if number in self._shown:  # on another Tune actor, as the first died
            return
        path = self._folder.tensorboard / f"{number:04d}"
        self._shown[number], self._told[number] = Shown(number, str(path), parameters), 0
        self._logger.log_trial_start(self._shown[number])

    def _tell(self, number: int) -> None:
        """Of the epochs on record: they are those that count, each once, whoever was killed between them."""
        for row in TrialFolder(self._folder.trial(number)).rows()[self._told[number] :]:
            epoch = int(row["epoch"])
            self._logger.log_trial_result(epoch, self._shown[number], row | {TRAINING_ITERATION: epoch})
            self._told[number] = epoch

    def _end(self, number: int, failed: bool) -> None:
        if number in self._shown:  # it may have ended before it was started
            self._tell(number)
            self._logger.log_trial_end(self._shown.pop(number), failed)
