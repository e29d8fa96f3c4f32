"""The report at a study's end."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.small_study import CONFIG, session, study

from analysis.report.cost import report_seconds
from studies.__main__ import pause, stop
from studies.command_line import command
from studies.record.driver_lock import DriverLock
from studies.record.study_folder import StudyFolder
from studies.run.options import Options
from studies.run.reporting import draw_report, foreseen_report
from studies.search.lifecycle import Lifecycle, search_trials
from trainables.errors import UserError
from trainables.records.driver import Driver, driver_of

PLAN = study(final_epochs=0)


@pytest.fixture
def failed(tmp_path: Path) -> StudyFolder:
    """A study of four trials that failed: its report has no model to draw, and is there in seconds."""
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    record = folder.claim(PLAN, trials=4, seeds=0, final={"epochs": 0, "workers": 1, "trials": 0}, data_dir=None)
    trainings = Lifecycle(opened := session(folder.path, PLAN, record["id"]), [search_trials(opened)])
    while (job := trainings.next_job()) is not None:
        trainings.fail(job.id, "non-finite at epoch 1")
    return folder


def test_a_report_is_foreseen_by_what_it_draws(tmp_path: Path) -> None:
    folder, options = StudyFolder(tmp_path / "s"), Options()
    assert foreseen_report(PLAN, folder, options) == report_seconds(4, 2, 359)  # digits
    assert foreseen_report(study(trials=1, final_epochs=9), folder, options) == report_seconds(1, 2, 359)
    assert foreseen_report(PLAN, folder, replace(options, report=False)) == 0
    elsewhere = study(final_epochs=0, base=CONFIG.replace({"dataset": f"imagefolder:{tmp_path}/none"}))
    assert foreseen_report(elsewhere, folder, options) == report_seconds(4, 2, 0)


def test_the_last_report_says_how_fast_this_machine_is(failed: StudyFolder) -> None:
    failed.note(report={"seconds": 30.0, "foreseen": 20.0})
    again = StudyFolder(failed.path)
    assert again.report_pace == 1.5
    assert foreseen_report(PLAN, again, Options()) == pytest.approx(1.5 * report_seconds(4, 2, 359))
    assert foreseen_report(PLAN, again, Options(fresh=True)) == report_seconds(4, 2, 359)
    again.claim(replace(PLAN, trials=9), trials=9)  # as a command that extends it
    assert StudyFolder(failed.path).report_pace == 1.5
    for nonsense in (None, 3, {}, {"seconds": "1", "foreseen": 2}, {"seconds": 1, "foreseen": 0}, {"seconds": -1.0}):
        again.note(report=nonsense)
        assert StudyFolder(failed.path).report_pace == 1


def test_while_it_is_drawn_its_driver_says_so_and_nobody_else_runs_the_study(failed: StudyFolder) -> None:
    seen, refused, done = list[Driver](), list[str](), threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            if driver := driver_of(failed.layout):
                seen.append(driver)
                try:
                    DriverLock(failed.layout).refuse_in_use()
                except UserError as error:
                    refused.append(str(error))

    thread = threading.Thread(target=look)
    shown, lock = StringIO(), DriverLock(failed.layout)
    with lock.acquired():
        lock.beat("reporting")
        thread.start()
        try:
            draw_report(PLAN, failed, lock, Options(), Console(file=shown, width=100))
        finally:
            done.set()
            thread.join()
    assert {driver.phase for driver in seen} == {"reporting"}
    assert re.search(r" is in use: process \d+ on \S+ draws its report\nwait for it$", refused[0])
    assert driver_of(failed.layout) is None
    assert shown.getvalue() == "drawing the report, which takes about 1.5 s\n"
    assert StudyFolder(failed.path).report_pace == 1  # it says nothing of one with models
    assert failed.layout.report.exists()
    assert not failed.layout.sessions.exists()
    before = failed.layout.report.stat().st_mtime_ns
    draw_report(PLAN, failed, lock, Options(), Console(file=shown, width=100))  # it is current
    assert failed.layout.report.stat().st_mtime_ns == before


def test_what_is_asked_of_a_driver_that_reports_comes_too_late(failed: StudyFolder) -> None:
    """The study has ended: there is nothing to stop, and nothing to pause."""
    with (lock := DriverLock(failed.layout)).acquired():
        lock.beat("reporting")
        for order in (stop, pause):
            with pytest.raises(UserError, match=f"it is too late to {order.__name__} .* draws its report\nwait for it"):
                order(failed.path)


@pytest.mark.heavy
def test_training_and_report_have_one_lock(failed: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that was trained before: there is no moment in which nobody has it."""
    phases = list[str]()
    held = DriverLock.beat

    def beat(lock: DriverLock, phase: str, *more: object, **fields: object) -> None:
        held(lock, phase, *more, **fields)  # type: ignore[arg-type]
        phases.append(phase)

    def reported(_folder: object, screen: Console, report: bool) -> None:
        assert report
        with pytest.raises(UserError, match="draws its report"), DriverLock(failed.layout).acquired():
            pass

    monkeypatch.setattr(DriverLock, "beat", beat)
    monkeypatch.setattr(command, "print_summary", reported)
    command._run(PLAN, failed.path, Options(), Console(file=StringIO()))
    assert phases[:2] == ["starting", "reporting"]
    assert set(phases[2:]) <= {"reporting"}
    assert driver_of(failed.layout) is None
    assert failed.layout.report.exists()
