"""Tune's Searcher and TrialScheduler over the ledger: Tune runs trials, the ledger decides about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.exceptions import StorageInternalError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from sqlalchemy.exc import SQLAlchemyError

from studies.watch.session import Running
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job, Taking
from trainables.slots.slots import Slots


class Driver:
    """What happens to a trial, in the order that survives a crash: its record first, then the ledger."""

    def __init__(self, study: Running) -> None:
        ledger = self._ledger = study.ledger
        self._folder, self._data_dir = study.folder, study.data_dir
        self._view, self._stop = study.view, study.stop
        self.space = tuple(ledger.plan.space)
        self._resumable = ledger.interrupted()
        self._left = ledger.plan.trials - sum(ledger.count().values())
        self._records: dict[int, TrialFolder] = {}
        self._epochs: dict[int, int] = {}
        self.outcomes: dict[int, str] = {}
        """How trials ended: complete, pruned or failed."""

    def next_job(self) -> Job | None:
        """Interrupted trials first, under their own numbers; then new ones; None at the study's end."""
        while not self._stop.reason and (self._resumable or self._left > 0):
            if self._resumable:
                number = self._ledger.resume(self._resumable.pop(0))
            else:
                self._left -= 1
                number = self._ledger.ask()
            parameters = self._ledger.parameters(number)
            config = self._ledger.plan.config(number, parameters)
            record = self._records[number] = TrialFolder(self._folder.trial(number))
            if record.is_of_another(config):
                raise UserError(
                    f"{record.path} is not the folder of trial {number}: its config.json is another's\n"
                    "remove it to train the trial again, or restore the study's storage"
                )
            record.create(config)
            self._epochs[number] = config.epochs
            rows = record.rows()
            self._view.started(number, parameters, rows)
            prune = False
            for row in rows:  # in case the ledger had not heard of the last before a crash
                prune = self._ledger.report(number, row)
            if len(rows) >= config.epochs:
                self.complete(number)
            elif prune:
                self._prune(number)
            else:
                mirror = self._folder.mirror(record.path)
                return Job(str(number), config, record.path, self._data_dir, mirror, recorded=len(rows))
        return None

    def taken(self, number: int, takings: Sequence[Taking]) -> None:
        if number in self._records:
            self._records[number].note(place for taking in takings for place in taking.places)
            self._stop.meter.taken(takings)

    def report(self, number: int, row: Metrics) -> bool:
        """Record an epoch; answers whether to go on."""
        if number not in self._records:
            return False
        self._records[number].append(row)
        self._stop.spend(row)
        prune = self._ledger.report(number, row)
        self._view.reported(number, row)
        if row["epoch"] >= self._epochs[number] or not prune:
            return not self._stop.reason
        self._prune(number)
        return False

    def _prune(self, number: int) -> None:
        self._folder.fetch_best(self._records[number])  # the ledger hears last: a crash may come between
        self._ledger.prune(number)
        self._end(number, "pruned")

    def complete(self, number: int) -> None:
        if number not in self._records:
            return
        if len(self._records[number].rows()) >= self._epochs[number]:
            self._folder.fetch_best(self._records[number])
            self._ledger.complete(number)
            self._end(number, "complete")
        elif not self._stop.reason:
            self.fail(number, "it ended before its last epoch")

    def fail(self, number: int, cause: str) -> None:
        if number in self._records:
            self._folder.fetch_best(self._records[number])
            self._ledger.fail(number, cause)
            self._end(number, "failed", cause)

    @contextmanager
    def careful(self) -> Iterator[None]:
        """Inside, a disk or a database that fails stops the study. Tune would show its own traceback."""
        try:
            yield
        except UserError as error:
            self.give_up(str(error))
        except (OSError, SQLAlchemyError, StorageInternalError) as error:
            self.give_up(f"{type(error).__name__}: {error}")

    @property
    def is_stopping(self) -> bool:
        return bool(self._stop.reason)

    def give_up(self, reason: str) -> None:
        """Stop the study for a reason that is no trial's own."""
        self._stop.reason = self._stop.reason or reason

    def _end(self, number: int, state: str, cause: str | None = None) -> None:
        self.outcomes[number] = state
        self._folder.drop_states(self._records.pop(number))
        self._view.ended(number, state, cause)


class Unsaved:
    """Tune pickles all it is given, though none of its files is read again: leave the driver out."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearcher(Unsaved, Searcher):
    """Gives Tune the driver's next job, once one of ``most`` or of the open slots is free for it."""

    def __init__(self, driver: Driver, slots: Slots, most: int) -> None:
        super().__init__()
        self._driver, self._slots, self._most = driver, slots, most
        self._running: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        is_full = len(self._running) >= min(self._most, self._slots.trials_at_once)
        if is_full and not self._driver.is_stopping:  # then Tune is to hear that it was the last
            return None
        job = None
        with self._driver.careful():
            job = self._driver.next_job()
        if job is None:
            return Searcher.FINISHED
        self._running.add(trial_id)
        return {"mailbox": self._slots.mailbox, "job": job, "patience": self._slots.patience}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """The scheduler hears of it too, and knows which of the study's it was."""
        self._running.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class LedgerScheduler(Unsaved, FIFOScheduler):
    """Passes Tune's events on to the driver, and its decisions back."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        number, news, go_on = int(trial.config["job"].id), result.get("news"), False
        with self._driver.careful():
            if news is None:
                self._driver.taken(number, result["takings"])
                go_on = all(self._driver.report(number, row) for row in result["rows"])
            elif news.lost:
                self._driver.give_up(news.cause)
            else:
                self._driver.fail(number, news.cause)
        return TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict) -> None:
        with self._driver.careful():
            self._driver.complete(int(trial.config["job"].id))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        if not trial.should_recover():
            self._driver.give_up(f"the Tune actor of trial {trial.config['job'].id} died again and again")
