"""What can be asked of a study's folder from outside its driver."""

import argparse
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.reading.best_runs import ranked_runs
from analysis.reading.states import by_state
from analysis.reading.study_record import StudyRecord, read_study
from studies.record.driver_lock import DriverLock
from studies.record.front import Front
from studies.record.ledger import Trials
from studies.record.study_folder import StudyFolder
from studies.run.checks import is_finished
from studies.run.retraining import next_finals, next_repeats
from studies.study import Study
from trainables.errors import UserError
from trainables.objective import SCORES
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import STATES, TrialFolder
from trainables.text import as_typed, python_command, spoken


def status_of(path: Path) -> dict[str, Any]:
    """How far a study is, as ``status --json`` prints it. Raises: UserError where there is no whole study."""
    record, folder = read_study(path), StudyFolder(path)
    trials = Trials(_planned_study(record), record.trials)
    cpu_hours, gpu_hours = record.hours
    best, front = next(iter(trials.chosen(1)), None), Front.of(trials)
    left = [f"{len(repeats)} repeats"] if (repeats := next_repeats(trials, folder)) else []
    left += [f"{len(finals)} final training(s)"] if (finals := next_finals(trials, folder)) else []
    return {
        "folder": str(folder.path),
        "name": record.info["name"],
        "driver": record.driver and asdict(record.driver),
        "is_finished": is_finished(trials, folder),
        "planned": trials.plan.trials,
        "counts": dict(Counter(record.states)),  # by state: see `analysis.reading.states.WORDS`
        "left": left,  # to be trained after the search
        "definitions": trials.plan.base.definitions,  # of what is measured: `TrialConfig.definitions`
        "objective": trials.plan.minimised,
        "best": best and best.number,  # the lowest of one objective; of two, the knee of the front
        "best_score": best and trials.score(best),  # `trainables.objective.SCORES` of it: what one objective minimises
        "best_bits_per_dim": best and trials.bits(best),
        "front": front.numbers if front else [],  # the lowest rate first
        "front_summary": front and asdict(front),  # with its knee and its hypervolume
        "cpu_hours": cpu_hours,  # of the search's recorded epochs
        "gpu_hours": gpu_hours,
        "directory": str(record.info.get("directory", ".")),
        "command": str(record.info.get("command", "")),  # that began or last went on with the study, and where
        "data_dir": record.info.get("data_dir"),  # and what else it was told, by variables too
        "address": record.info.get("address"),
    }


def described(status: Mapping[str, Any]) -> dict[str, str]:
    """What `status_of` says for a person."""
    driver, counts = status["driver"], status["counts"]
    if driver:
        state = f"{driver['phase']}: process {driver['pid']} on {driver['host']}"
    else:
        state = "finished" if status["is_finished"] else "not running"
    left = driver and driver["left"]
    done = sum(counts.get(name, 0) for name in ("COMPLETE", "PRUNED", "FAIL"))
    states = by_state(counts)
    older = ", by definitions 1" * (status["definitions"] == 1)
    found = {"study": f"{status['name']} in {status['folder']}{older}", "state": state}
    planned = max(done, status["planned"])  # the newest command may have asked for fewer than there are
    found["trials"] = f"{done} of {planned} done" + (f" ({states})" if states else "")
    if left:
        found["time left"] = f"about {spoken(left)}"
    if status["left"]:
        found["left"] = ", ".join(status["left"])
    if status["front_summary"]:
        front = Front(**status["front_summary"])
        found |= {"front": front.extent, front.place: front.knee}
    elif status["best"] is not None:
        found["best"] = f"trial {status['best']}: {SCORES[status['objective']].said(status['best_score'])}"
    found["cost"] = f"{status['cpu_hours']:.3g} CPU hours, {status['gpu_hours']:.3g} GPU hours"
    if not driver:
        place = Path(status["directory"])  # of another machine, it may not be here
        of_this_python = re.sub(r"^python(?= )", lambda _: python_command(), _going_on(status))
        found["made by" if status["is_finished"] else "go on by"] = (
            f"{as_typed('cd', place)} && " * place.is_dir() + of_this_python
        )
    return found


def _going_on(status: Mapping[str, Any]) -> str:
    """The command that goes on with a study: with its folder, where that was copied or moved there since, and with
    what a variable told it that is another here."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    options.add_argument("--out", default=f"runs/{status['name']}", type=lambda text: Path(text).expanduser())
    try:
        words = shlex.split(status["command"])
        found, others = options.parse_known_args(words)
    except (ValueError, argparse.ArgumentError):  # nobody's command
        return str(status["command"])
    is_of_several = any(Path(word).name == "yardsticks.py" for word in others)  # whose --out is above their folders
    told = _told(status, words)
    if is_of_several or Path(status["directory"], found.out).resolve() == Path(status["folder"]):
        return " ".join(filter(None, [str(status["command"]), as_typed(*told)]))
    return as_typed(*others, *told, "--out", Path(status["folder"]))


def _told(status: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    """The options for what a command was told by variables that say something else here."""
    told = list[str]()
    for option, variable in (("--data-dir", "VAE_DATA_DIR"), ("--address", "RAY_ADDRESS")):
        value = status.get(option[2:].replace("-", "_"))
        if value not in (None, os.environ.get(variable)) and not any(word.startswith(option) for word in words):
            told += [option, str(value)]
    return told


def _planned_study(record: StudyRecord) -> Study:
    """What the newest command planned. Raises: UserError where study.json does not say."""
    info = record.info
    try:
        final, seeds = info["final"], info.get("seeds", Study.seeds)
        plan = {
            "trials": info["trials"],
            "seeds": seeds,
            "final_epochs": final["epochs"],
            "final": final.get("trials", 1),
        }
        return Study.of_question(info, **plan)
    except (KeyError, TypeError, ValueError) as error:
        fault = f"{StudyLayout(record.folder).question} does not say what is planned: {error}"
        raise UserError(f"{fault}\nthe study's own command writes it anew") from error


def prune(path: Path, keep: int, dry_run: bool) -> tuple[int, int]:
    """Remove what `python -m studies prune-checkpoints` says; how many files, and their bytes. Raises: UserError where
    there is no whole study, or a driver is at work there."""
    record, folder = read_study(path), StudyFolder(path)
    trials = Trials(_planned_study(record), record.trials)
    with DriverLock(folder.layout).acquired():
        kept = {run.number for run in [run for run in ranked_runs(record) if not run.is_final][:keep]}
        ended = {number: TrialFolder(folder.layout.trial(number)) for number in trials.ended()}
        files = [state for trial in ended.values() for state in trial.checkpoints.glob(STATES)]
        stripped = [trial for number, trial in ended.items() if number not in kept]
        files += [trial.best for trial in stripped if trial.best.exists()]
        # of those that stay, the states in a store go, as they do here
        stored = [(folder.mirror(trial.path), STATES if number in kept else "*") for number, trial in ended.items()]
        there = [size for mirror, pattern in stored if mirror for size in mirror.sizes(pattern)]
        size = sum(file.stat().st_size for file in files) + sum(there)
        if not dry_run:
            for mirror, pattern in stored:
                if mirror:
                    mirror.remove(pattern)
            for file in files:
                file.unlink()
    return len(files) + len(there), size
