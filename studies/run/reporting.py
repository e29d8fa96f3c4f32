"""The report at a study's end: how long it takes, and that it is drawn under the study's lock."""

import time
from contextlib import suppress

from rich.console import Console

from analysis.progress import Expected, progress_bar
from analysis.report.cost import DRAWN, report_seconds
from studies.record.driver_lock import DriverLock
from studies.record.study_folder import StudyFolder
from studies.run.options import Options
from studies.study import Study
from studies.watch.stopping import every
from trainables.data.datasets import load_dataset
from trainables.errors import UserError
from trainables.machine import limit_threads
from trainables.text import spoken

_BEAT_SECONDS = 1.0


def foreseen_report(study: Study, folder: StudyFolder, options: Options) -> float:
    """Seconds that the report of a whole study takes: as `report_seconds` has it, and as many times that as the last
    one in this folder took. 0 where none is asked for."""
    if not options.report:
        return 0.0
    pace, models = 1.0 if options.fresh else folder.report_pace, min(DRAWN, study.trials) + bool(study.finals)
    return pace * report_seconds(study.trials, models, _test_images(study, options))


def _test_images(study: Study, options: Options) -> int:
    """0 where the data set is not here."""
    with suppress(UserError):
        data = load_dataset(study.base.dataset, options.data_dir, study.base.image_size, may_download=False)
        return len(data.test.labels)
    return 0


def draw_report(study: Study, folder: StudyFolder, lock: DriverLock, options: Options, screen: Console) -> None:
    """The report, under the study's lock, unless the one that is there was drawn after its last change. How long it
    still takes is shown, here and by `python -m studies status`; how long it took is recorded. Raises: UserError as
    `write_report`."""
    from analysis.reading.best_runs import ranked_runs
    from analysis.report.report import is_current, write_report  # seconds of imports

    if is_current(folder.path):
        return
    limit_threads()
    runs = ranked_runs(folder.path)
    models = min(DRAWN, sum(not run.is_final for run in runs)) + any(run.is_final for run in runs)
    foreseen = report_seconds(len(folder.layout.trial_folders()), models, _test_images(study, options))
    expected, began = Expected(folder.report_pace * foreseen), time.monotonic()

    def beat() -> None:
        with suppress(OSError):
            lock.beat("reporting", left=expected.left)

    if not screen.is_terminal:
        screen.print(f"drawing the report, which takes about {spoken(expected.left)}")
    with every(_BEAT_SECONDS, beat):
        with progress_bar(screen, expected) as progress:
            write_report(folder.path, data_dir=options.data_dir, progress=progress)
        if models:  # without one it takes moments, which say nothing of a whole report
            with suppress(OSError):  # it is drawn all the same
                folder.note(report={"seconds": round(time.monotonic() - began, 1), "foreseen": round(foreseen, 1)})
