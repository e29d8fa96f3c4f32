"""Tune's Searcher and TrialScheduler over the ledger: Tune runs trials, the ledger decides about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from studies.folder import StudyFolder
from studies.ledger import Ledger
from studies.view import View
from trainables.loop import Metrics
from trainables.records import TrialFolder
from trainables.slot import Job


class Driver:
    """What happens to a trial, in the order that survives a crash: its record first, then the ledger."""

    def __init__(self, ledger: Ledger, folder: StudyFolder, data_dir: Path | None, view: View) -> None:
        self._ledger, self._folder, self._view = ledger, folder, view
        self._data_dir = data_dir
        self._resumable = ledger.interrupted()
        self._left = ledger.plan.trials - sum(ledger.count().values())
        self._records: dict[int, TrialFolder] = {}

    def next_job(self) -> Job | None:
        """Interrupted trials first, under their own numbers; then new ones; None when the budget is spent."""
        while self._resumable or self._left > 0:
            if self._resumable:
                number = self._ledger.resume(self._resumable.pop(0))
            else:
                self._left -= 1
                number = self._ledger.ask()
            parameters = self._ledger.parameters(number)
            config = self._ledger.plan.config(number, parameters)
            record = self._records[number] = TrialFolder(self._folder.trial(number))
            record.create(config)
            rows = record.rows()
            self._view.started(number, parameters)
            # what was recorded before a crash is told again, in case the ledger had not heard of it
            if not all(self.report(number, row) for row in rows):
                continue
            if len(rows) < config.epochs:
                return Job(str(number), config, record.path, self._data_dir, recorded=len(rows))
            self.complete(number)
        return None

    def report(self, number: int, row: Metrics) -> bool:
        """Record an epoch; answers whether to go on."""
        if number not in self._records:
            return False
        self._records[number].append(row)
        prune = self._ledger.report(number, row)
        self._view.reported(number, row)
        epochs = self._ledger.plan.base.epochs
        if row["epoch"] >= epochs or not prune:
            return True
        self._ledger.prune(number)
        self._end(number, "pruned")
        return False

    def complete(self, number: int) -> None:
        if number in self._records:
            if len(self._records[number].rows()) < self._ledger.plan.base.epochs:
                self.fail(number, "it ended before its last epoch")
                return
            self._ledger.complete(number)
            self._end(number, "complete")

    def fail(self, number: int, cause: str) -> None:
        if number in self._records:
            self._ledger.fail(number, cause)
            self._end(number, "failed", cause)

    def _end(self, number: int, state: str, cause: str | None = None) -> None:
        self._records.pop(number).drop_states()
        self._view.ended(number, state, cause)


class Unsaved:
    """Tune pickles all it is given, though none of its files is read again: leave the driver out."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearcher(Unsaved, Searcher):
    """Gives Tune the driver's next job. Keeps no state of its own."""

    def __init__(self, driver: Driver, mailbox: Any) -> None:
        super().__init__()
        self._driver, self._mailbox = driver, mailbox

    def suggest(self, trial_id: str) -> Any:
        job = self._driver.next_job()
        return Searcher.FINISHED if job is None else {"mailbox": self._mailbox, "job": job}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """The scheduler hears of it too, and knows which trial it was."""

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
        number = int(trial.config["job"].id)
        if result.get("cause"):
            self._driver.fail(number, result["cause"])
            return TrialScheduler.STOP
        go_on = all(self._driver.report(number, row) for row in result["rows"])
        return TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict) -> None:
        self._driver.complete(int(trial.config["job"].id))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._driver.fail(int(trial.config["job"].id), "its Tune actor died")
