"""What can be asked of a study's folder from outside its driver."""

import json
import shlex
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from analysis.reading.study_record import StudyRecord, read_study
from studies.record.driver_lock import Driver, DriverLock
from studies.record.ledger import Trials
from studies.record.study_folder import StudyFolder
from studies.run.retraining import next_final, next_repeats
from studies.run.runner import is_finished
from studies.study import Study
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import STATES, TrialFolder


@dataclass(frozen=True)
class Status:
    """How far a study is."""

    folder: Path
    name: str
    driver: Driver | None
    is_finished: bool
    planned: int
    counts: dict[str, int]  # trials by state; of those that are RUNNING without a driver, none runs
    left: list[str]  # what is to be trained after the search
    best: int | None
    best_bits_per_dim: float | None
    cpu_hours: float
    gpu_hours: float  # of the search's recorded epochs
    directory: str
    command: str  # that began or last went on with the study, and where

    def json(self) -> str:
        """For programs."""
        return json.dumps(asdict(self) | {"folder": str(self.folder)}, indent=2)

    def lines(self) -> list[tuple[str, str]]:
        """For a person: what, and how it is."""
        runs = self.driver and self.driver.phase != "paused"
        names = {} if runs else {"RUNNING": "interrupted", "WAITING": "interrupted"}
        counts = ", ".join(f"{n} {names.get(state, state.lower())}" for state, n in self.counts.items())
        driver, done = self.driver, sum(self.counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))
        if driver:
            who = f"{driver.phase}: process {driver.pid} on {driver.host}"
        else:
            who = "finished" if self.is_finished else "not running"
        found = [
            ("study", f"{self.name} in {self.folder}"),
            ("state", who),
            ("trials", f"{done} of {self.planned} done" + (f" ({counts})" if counts else "")),
        ]
        if self.left:
            found.append(("left", ", ".join(self.left)))
        if self.best is not None:
            found.append(("best", f"trial {self.best}: {self.best_bits_per_dim:.4f} bits/dim"))
        found.append(("cost", f"{self.cpu_hours:.3g} CPU hours, {self.gpu_hours:.3g} GPU hours"))
        if not (driver or self.is_finished):
            found.append(("go on by", f"cd {shlex.quote(self.directory)} && {self.command}"))
        return found


def status_of(path: Path) -> Status:
    """Raises: UserError where there is no whole study."""
    record, folder = read_study(path), StudyFolder(path)
    trials = Trials(_planned_study(record), record.trials)
    best = trials.best()
    cpu, gpu = record.hours
    left = [f"{len(repeats)} repeats"] if (repeats := next_repeats(trials, folder)) else []
    left += ["the final training"] if next_final(trials, folder) else []
    return Status(
        folder.path,
        record.info["name"],
        DriverLock(folder.layout).driver(),
        is_finished(trials, folder),
        trials.plan.trials,
        dict(Counter(trials.count())),
        left,
        best.number if best else None,
        best.value if best else None,
        cpu,
        gpu,
        str(record.info.get("directory", ".")),
        str(record.info.get("command", "")),
    )


def _planned_study(record: StudyRecord) -> Study:
    """What the newest command planned. Raises: UserError where study.json does not say."""
    info = record.info
    try:
        plan = {
            "trials": info["trials"],
            "seeds": info.get("seeds", Study.seeds),
            "final_epochs": info["final"]["epochs"],
        }
        return Study.of_question(info, **plan)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{StudyLayout(record.folder).question} does not say what is planned: {error}") from error


def prune(path: Path, keep: int, dry_run: bool) -> tuple[int, int]:
    """Remove what `python -m studies prune-checkpoints` says; how many files, and their bytes. Raises: UserError where
    there is no whole study, or a driver is at work there.
    """
    record, folder = read_study(path), StudyFolder(path)
    with DriverLock(folder.layout).acquired():
        trials = Trials(_planned_study(record), record.trials)
        kept = {trial.number for trial in trials.ranked()[:keep]}
        files: list[Path] = []
        for number in trials.ended():
            trial = TrialFolder(folder.layout.trial(number))
            files += trial.checkpoints.glob(STATES)
            if number not in kept:
                files += [trial.best] if trial.best.exists() else []
                mirror = folder.mirror(trial.path)
                if mirror and not dry_run:
                    mirror.remove("*")
        size = sum(file.stat().st_size for file in files)
        if not dry_run:
            for file in files:
                file.unlink()
    return len(files), size
