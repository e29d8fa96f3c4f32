"""``python -m studies status runs/<study>``, and ``pause``, ``resume``, ``stop``, ``prune-checkpoints``."""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from studies.command_line.command import leave
from studies.record.driver_lock import DriverLock
from trainables.console import command_group, run
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout, study_of
from trainables.terminal import print_facts, screen
from trainables.text import python_command

app = command_group("Look at studies and steer them, from any machine that sees their folders.")
_StudyPath = Annotated[
    Path, typer.Argument(parser=study_of, metavar="STUDY", help="The study's folder, such as runs/digits_vae.")
]
_Wait = Annotated[bool, typer.Option(help="Wait until it is so: running epochs end first.")]
# exit codes of ``status``; 1 and 2 are errors, as everywhere: see `trainables.errors.ExitCode`
_FINISHED, _UNFINISHED, _RUNNING, _PAUSED = 0, 3, 4, 5
_POLL_SECONDS = 0.5


@app.command()
def status(study: _StudyPath, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """How far a study is, and what it cost. Exits with 0 where it is finished, 3 where it is not and nobody
    runs it, 4 while it runs, 5 while it is paused."""
    from studies.run.operations import described, status_of

    found = status_of(study)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_facts(described(found), screen(), whole=["study", "go on by", "made by"])
    if found["driver"] is None:
        raise typer.Exit(_FINISHED if found["is_finished"] else _UNFINISHED)
    raise typer.Exit(_PAUSED if found["driver"]["phase"] == "paused" else _RUNNING)


@app.command()
def pause(study: _StudyPath, wait: _Wait = True) -> None:
    """Let the running epochs end, then free the cluster; the driver waits for ``resume``."""
    _order(study, "pause", "paused", wait)


@app.command()
def resume(study: _StudyPath, wait: _Wait = True) -> None:
    """Go on after ``pause``."""
    _order(study, "resume", "running", wait)


@app.command()
def stop(study: _StudyPath, wait: _Wait = True) -> None:
    """End a study in order after the running epochs; the same command goes on from there."""
    _order(study, "stop", None, wait)


@app.command("prune-checkpoints")
def prune_checkpoints(
    study: _StudyPath,
    keep: Annotated[int, typer.Option(min=1, help="Of how many of the best trials to keep the weights.")] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
) -> None:
    """Remove the weights of all ended trials but the best, and what is left of states to go on from."""
    from studies.run.operations import prune

    files, size = prune(study, keep, dry_run)
    print(f"{'would remove' if dry_run else 'removed'} {files} files, {size / 1e6:,.1f} MB")


def _order(study: Path, what: str, phase: str | None, wait: bool) -> None:
    """Ask a driver, and wait until it has read that and is at ``phase``, or has trained all where that is
    None. Raises: UserError where it is gone before, and while it draws its report."""
    layout = StudyLayout(study.resolve())
    lock = DriverLock(layout)
    driver = lock.driver()
    if driver is None:
        raise _nobody_runs(study)
    who = f"process {driver.pid} on {driver.host}"
    if driver.phase == "reporting":
        raise UserError(f"it is too late to {what} {study}: {who} has trained, and draws its report\nwait for it")
    name = lock.ask(what)
    if not wait:
        print(f"asked: {who}")
        return
    asked = driver.pid, driver.host
    while (now := lock.driver()) is not None and (now.pid, now.host) == asked and now.phase != "reporting":
        if phase == now.phase and now.order == name:
            print(f"{phase}: {who}")
            return
        time.sleep(_POLL_SECONDS)
    if phase:
        raise UserError(f"the study ended before it was {phase}\nsee `{_status_of(study)}`")
    print(f"stopped: {who}")


def _nobody_runs(study: Path) -> UserError:
    """With what may be done instead."""
    from studies.run.operations import status_of

    with suppress(UserError):  # of a study that cannot be read: its command says so
        if status_of(study)["is_finished"]:
            way = "nothing of it is left to train; its own command, with more --trials, extends it"
            return UserError(f"nobody runs {study}: it is finished\n{way}")
    way = f"the study's own command goes on with it: see `{_status_of(study)}`"
    return UserError(f"nobody runs {study}\n{way}")


def _status_of(study: Path) -> str:
    """A command to paste."""
    return python_command("-m", "studies", "status", study)


if __name__ == "__main__":
    run(app, "python -m studies", leave)
