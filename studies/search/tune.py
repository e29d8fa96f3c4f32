"""Ray Tune runs the trainings of a `Lifecycle`, which decides about them: none of Tune's own state is read again."""

import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from studies.search.lifecycle import Lifecycle
from studies.watch.stopping import every
from trainables.slots.slots import Slots
from trainables.slots.tune_trial import TRIAL_RESOURCES, tune_trial

_LOOK_SECONDS = 1.0  # how often trainings are asked how far they are within their epochs


def train(lifecycle: Lifecycle, slots: Slots, most: int | None, storage: Path) -> None:
    """Run Tune until the lifecycle is over, in open slots, with at ``most`` so many trainings at once; None: as many as
    the slots hold. Tune's own files go to ``storage``."""
    searcher, scheduler = _Searcher(lifecycle, slots, most), _Scheduler(lifecycle)
    failures = tune.FailureConfig(max_failures=3)
    tuner = tune.Tuner(
        tune.with_resources(tune_trial, TRIAL_RESOURCES),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=scheduler, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(name="tune", storage_path=str(storage), verbose=0, failure_config=failures),
    )

    def look() -> None:
        with suppress(RayError):  # the next look sees what this one missed
            lifecycle.underway(ray.get(slots.mailbox.underway.remote(), timeout=_LOOK_SECONDS))

    try:
        with every(_LOOK_SECONDS, look):
            tuner.fit()
    except (RayError, TuneError, RuntimeError) as error:
        lifecycle.stop.fail(f"Ray failed: {str(error).strip().splitlines()[-1]}")
    lifecycle.close()


class _Unpickled:
    """Tune pickles all it is given, though none of its files is read again: leave the lifecycle out."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Searcher(_Unpickled, Searcher):
    """Gives Tune the next job, once there is room for it."""

    def __init__(self, lifecycle: Lifecycle, slots: Slots, most: int | None) -> None:
        super().__init__()
        self._lifecycle, self._slots, self._most = lifecycle, slots, most
        self._running: set[str] = set()
        self._heard = signal.getsignal(signal.SIGUSR1)  # of which Tune makes an end of its own, as it begins

    def suggest(self, trial_id: str) -> Any:
        if self._heard and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, self._heard)
            self._heard = None
        at_once = max(1, self._slots.trials_at_once)  # where all slots are lost, the next job hears of it
        job = None
        if len(self._running) < min(self._most or at_once, at_once):
            with self._lifecycle.guarded():
                job = self._lifecycle.next_job()
        if job is None:
            return Searcher.FINISHED if self._lifecycle.is_over else None
        self._running.add(trial_id)
        return {"mailbox": self._slots.mailbox, "job": job, "patience": self._slots.patience}

    def on_trial_complete(self, trial_id: str, *_: Any, **__: Any) -> None:
        self._running.discard(trial_id)  # the scheduler, which hears of it too, knows which training it was

    def save(self, checkpoint_path: str) -> None:
        pass  # the ledger is on disk

    restore = save


class _Scheduler(_Unpickled, FIFOScheduler):
    """Passes Tune's events on to the lifecycle, and its decisions back."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lifecycle = lifecycle

    def on_trial_result(self, _: Any, trial: Trial, result: dict[str, Any]) -> str:
        job_id, news, go_on = trial.config["job"].id, result.get("news"), False
        with self._lifecycle.guarded():
            if news is None:
                self._lifecycle.assigned(job_id, result["assignments"])
                go_on = all(self._lifecycle.report(job_id, row) for row in result["rows"])
            elif news.lost:
                self._lifecycle.stop.fail(news.cause)
            else:
                self._lifecycle.fail(job_id, news.cause)
        return TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP

    def on_trial_complete(self, _: Any, trial: Trial, __: dict[str, Any]) -> None:
        with self._lifecycle.guarded():
            self._lifecycle.complete(trial.config["job"].id)

    def on_trial_error(self, _: Any, trial: Trial) -> None:
        if not trial.should_recover():  # as it does three times
            self._lifecycle.stop.fail(f"the Tune actor of training {trial.config['job'].id} died again and again")
