"""The Optuna storage: the one truth about which trials exist and how they ended.

The driver alone writes it. Samplers are functions of a trial's number and of the storage, and so is the pruner of
definitions 1: a driver that was killed leaves nothing behind that the next one would need.
"""

import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import NoSuchModuleError

from analysis.statistics.pareto import pareto_front, spread
from studies.record.study_folder import StudyFolder
from studies.study import Study
from trainables.config import used
from trainables.console import unwritable
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.storage_urls import OWNER, WRITE_SECONDS, out_of_reach, patient
from trainables.text import legible, without_passwords

_SQLITE = b"SQLite format 3\0"  # how a database's file begins
_PACKAGES = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary"}  # that have a driver's module
State = Literal["complete", "pruned", "failed"]  # how a training ends
CONSTRAINTS = "constraints"  # as Optuna's samplers and its dashboard both read them, which know no names of them
BITS = "val_bits_per_dim"  # what the ledger notes of a trial besides, where it is not what is minimised
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Trials:
    """The trials of one study, as they stood when they were read."""

    def __init__(self, plan: Study, trials: Sequence[FrozenTrial] = ()) -> None:
        self.plan, self._trials = plan, trials

    def all(self) -> Sequence[FrozenTrial]:
        """By number."""
        return self._trials

    def count(self) -> Counter[str]:
        """Trials by state: COMPLETE, PRUNED, FAIL, RUNNING."""
        return Counter(trial.state.name for trial in self.all())

    def interrupted(self) -> list[int]:
        """Numbers of the trials without an end."""
        return [trial.number for trial in self.all() if not trial.state.is_finished()]

    def ended(self) -> list[int]:
        """Numbers of the trials that will not run again."""
        return [trial.number for trial in self.all() if trial.state.is_finished()]

    def chosen(self, count: int) -> list[FrozenTrial]:
        """At most ``count`` complete trials to go on with: the lowest values of one objective; of two, trials spread
        over the front, its knee first."""
        done, values = self.eligible()
        if len(self.plan.objectives) == 1:
            return [done[n] for n in values[:, 0].argsort(kind="stable")[:count]]
        return [done[n] for n in spread(values[:, 0], values[:, 1], count)] if done and count else []

    def front(self) -> list[FrozenTrial]:
        """The complete trials on the front of two objectives, the lowest rate first; of one objective none."""
        done, values = self.eligible()
        if not done or len(self.plan.objectives) == 1:
            return []
        is_on_it = pareto_front(values[:, 0], values[:, 1])
        return [done[n] for n in values[:, 0].argsort(kind="stable") if is_on_it[n]]

    def eligible(self) -> tuple[list[FrozenTrial], np.ndarray]:
        """The N complete trials, those that keep to the constraints where some do, and their values, (N, objectives):
        the distortion without the likelihood's constant."""
        done = [trial for trial in self.all() if trial.state == TrialState.COMPLETE]
        done = [trial for trial in done if all(value <= 0 for value in trial.constraints.values())] or done
        return done, np.array([trial.values for trial in done]).reshape(len(done), len(self.plan.objectives))

    def lowest_bits(self) -> tuple[float, FrozenTrial] | None:
        """The lowest bits per dimension of a complete trial, and which it is."""
        return self._lowest(self.bits)

    def lowest_score(self) -> tuple[float, FrozenTrial] | None:
        """The lowest score of a complete trial, and which it is."""
        return self._lowest(self.score)

    def _lowest(self, measure: Callable[[FrozenTrial], float | None]) -> tuple[float, FrozenTrial] | None:
        found = [(measure(trial), trial) for trial in self.all() if trial.state == TrialState.COMPLETE]
        known = [(value, trial) for value, trial in found if value is not None]
        return min(known, key=lambda pair: pair[0], default=None)

    def bits(self, trial: FrozenTrial) -> float | None:
        """A complete trial's bits per dimension, of a multi-rate one at its middle KL weight; None where an older
        ledger does not say."""
        return trial.value if self.plan.objectives == (BITS,) else trial.user_attrs.get(BITS)

    def score(self, trial: FrozenTrial) -> float | None:
        """A complete trial's number of `trainables.objective.SCORES`."""
        return trial.value if len(self.plan.objectives) == 1 else self.bits(trial)


class Ledger(Trials):
    """The trials of one study in the Optuna storage at ``url``, as they are now. Others may share it: a study there has
    an ``owner``, its folder's identity. Raises: UserError where it cannot be opened, or the study is another's."""

    def __init__(self, study: Study, url: str, owner: str = "") -> None:
        super().__init__(study)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._live: dict[int, Trial] = {}  # those that this driver runs
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)  # of definitions 1 alone
        try:
            self._storage = optuna.storages.RDBStorage(url, patient(url, WRITE_SECONDS))
            directions = [StudyDirection.MINIMIZE for _ in study.objectives]
            self._study = optuna.create_study(
                storage=self._storage, study_name=study.name, directions=directions, pruner=pruner, load_if_exists=True
            )
            self._study_id = self._storage.get_study_id_from_name(study.name)
            if OWNER not in self._study.user_attrs:
                with warnings.catch_warnings():  # what Optuna's dashboard calls the values; it may change, it says
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    self._study.set_metric_names(list(study.objectives))
                self._study.set_user_attr(OWNER, owner)
            found = self._study.user_attrs[OWNER]
        except Exception as error:  # any of SQLAlchemy's, Optuna's or a driver's
            raise _unopened(url, error) from error
        if found != owner:
            where = without_passwords(url)
            raise UserError(f"{where} holds a study {study.name!r} of another folder\nuse another --storage")

    def forget(self) -> None:
        """Remove the study from its storage, if it has no trials yet."""
        if not self.all():
            optuna.delete_study(study_name=self.plan.name, storage=self._storage)

    def all(self) -> list[FrozenTrial]:
        """By number, read again."""
        return self._study.get_trials(deepcopy=False)

    def interrupted(self) -> list[int]:
        """Numbers of the trials that a driver which was killed, or paused, left without an end."""
        return [number for number in super().interrupted() if number not in self._live]

    def abandon_running(self) -> None:
        """Leave the running trials as a crash would."""
        self._live.clear()

    def ask(self) -> int:
        """A new trial's number, its parameters chosen."""
        self._study.sampler = self.plan.sampler_at(len(self.all()))
        return self._take_up(self._study.ask())

    def resume(self, number: int) -> int:
        """Take an interrupted trial up under its own number; parameters it still lacks are chosen now."""
        self._study.sampler = self.plan.sampler_at(number)
        known = self.all()[number]  # read, as Optuna writes to no trial that another process made before that
        return self._take_up(Trial(self._study, known._trial_id))

    def _take_up(self, trial: Trial) -> int:
        for index, (path, distribution) in enumerate(self.plan.space.items(), start=1):
            # also before what is drawn alone: a crash may have come between two of them
            self._study.sampler = self.plan.sampler_at(trial.number, index)
            _ = trial.relative_params  # of the first sampler, what is drawn jointly: Optuna draws it when it is asked
            suggest(trial, path, distribution)
        self._live[trial.number] = trial
        return trial.number

    def parameters(self, number: int) -> dict[str, Any]:
        """What was drawn for a trial that runs, and is of use to it."""
        return used(self._live[number].params)

    def report(self, number: int, row: Metrics) -> bool:
        """Take an epoch's row, once; whether to prune the trial, as of the last that is known. By definitions 1: those
        after it prune by `studies.search.pruning`, as a study of two objectives takes no intermediate values."""
        trial, epoch = self._live[number], int(row["epoch"])
        if epoch not in self._reported(number):
            trial.report(row["val_bits_per_dim"], epoch)
        return trial.should_prune()

    def end(self, number: int, state: State, best: Metrics | None, cause: str | None = None) -> None:
        """End a trial, whose ``best`` epoch says its values and whether it keeps to the constraints, where it has one;
        of one that failed the cause is recorded."""
        trial, config = self._live[number], self.plan.base.of_trial(number, self.parameters(number))
        told = None
        if best:
            if beyond := [limit.violation(best) for limit in self.plan.limits]:
                self._storage.set_trial_system_attr(self._trial_id(number), CONSTRAINTS, beyond)
            if self.plan.objectives != (BITS,):
                trial.set_user_attr(BITS, best[BITS])
            told = self.plan.values(config, best) if state == "complete" else None
        if cause:
            trial.set_user_attr("cause", legible(cause))
        self._study.tell(self._live.pop(number), told, STATES[state])

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _reported(self, number: int) -> dict[int, float]:
        """What was reported of a trial, by epoch."""
        return self._storage.get_trial(self._trial_id(number)).intermediate_values


def suggest(trial: Trial, path: str, distribution: BaseDistribution) -> Any:
    """Draw a parameter, or find it drawn. Raises: ValueError for another kind of distribution."""
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(path, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(path, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(path, choices)
    raise ValueError(f"{distribution!r} is no distribution that can be searched")


def set_aside(study_name: str, url: str) -> str | None:
    """Rename a study in an external storage, so that a fresh one can take its name; None without one."""
    try:
        storage = optuna.storages.RDBStorage(url, patient(url, WRITE_SECONDS))
        if study_name not in optuna.get_all_study_names(storage):
            return None
        kept = f"{study_name}-{time.strftime('%Y%m%d-%H%M%S')}"
        optuna.copy_study(from_study_name=study_name, from_storage=storage, to_storage=storage, to_study_name=kept)
        optuna.delete_study(study_name=study_name, storage=storage)
    except Exception as error:
        raise _unopened(url, error) from error
    return kept


def check_storage(url: str) -> None:
    """Raises: UserError where a storage cannot be opened; it is left as it is, and not made."""
    try:
        parts = make_url(url)
        if parts.drivername.startswith("sqlite"):
            check_sqlite(url, "--storage")
        else:
            create_engine(parts).connect().close()
    except UserError:
        raise
    except Exception as error:  # any of SQLAlchemy's or a driver's
        raise _unopened(url, error, "--storage") from error


def check_sqlite(url: str, option: str) -> None:
    """Raises: UserError, of the ``option`` that names it, where a SQLite database cannot be opened or made; it is left
    as it is."""
    parts = make_url(url)
    path, timeout = Path(parts.database or ""), parts.query.get("timeout", "0")
    if os.path.lexists(path):
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "no file"
            raise UserError(f"{option} must be a database of SQLite, got {path}, which is {kind}")
        with path.open("rb") as file:
            if file.read(len(_SQLITE)) not in (b"", _SQLITE):
                raise UserError(f"{option} must be a database of SQLite, got {path}, which is another file")
        if not os.access(path, os.W_OK):
            raise UserError(f"{option} must be a database that this user may write, got {path}")
    if fault := unwritable(path.parent):
        raise UserError(f"{option} must be in a folder that can be written, got {path}: {fault}")
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", str(timeout)):
        raise UserError(f"{option} must have a timeout in seconds, got {timeout!r}")


def check_trials(known: int, folder: StudyFolder) -> None:
    """Raises: UserError for a storage that has lost trials: they are asked for before they get a folder."""
    folders = len(folder.layout.trial_folders())
    if known < folders:
        raise UserError(
            f"the study's storage (study.db, or that of --storage) must know the {folders} trials in "
            f"{folder.layout.trials}, got {known}\nrestore it, or use --fresh to move the study aside"
        )


def _unopened(url: str, error: Exception, called: str = "the study's storage") -> UserError:
    """What a library says of it, without its own names."""
    shown = without_passwords(url)
    if fault := out_of_reach(shown.removeprefix("sqlite:///").partition("?")[0], error):
        return UserError(fault)
    reason = re.sub(r"^\(\S+\) ", "", str(error).strip().splitlines()[0])
    if make_url(url).drivername in ("sqlite", "sqlite+pysqlite"):  # as it is within reach
        reason = "it is damaged, or no ledger of Optuna's: restore it from a copy, or start over with --fresh"
    match error:
        case NoSuchModuleError():
            reason = f"there is no kind of database {url.partition(':')[0]!r}: use sqlite, postgresql or mysql"
        case ModuleNotFoundError():
            reason = f"install the package {_PACKAGES.get(error.name or '', error.name)}"
    return UserError(f"{called} cannot be opened: {shown}\n{reason}")
