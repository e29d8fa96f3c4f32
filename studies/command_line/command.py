"""One command line for every study script."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from studies.command_line.options import Asked, built, defaults_of, with_options
from studies.command_line.tables import print_plan, print_summary, warn_of_days
from studies.record.driver_lock import DriverLock
from studies.record.study_folder import StudyFolder
from studies.run.options import Budget, Options, Resources, Sinks, Storage
from studies.study import Study
from trainables import console, terminal
from trainables.console import checked_options
from trainables.errors import EndedEarly, ExitCode, UserError
from trainables.interrupts import hear_no_more
from trainables.process import lost

# for a shell: what to do where nothing more comes from the study's process before it has ended: give a terminal its
# cursor and its keys back, and print
_ENDED = """read -r line && exit
[ -t 1 ] && printf '\\033[?25h' && stty echo <&1
printf '%s\\n' "error: the study's process was killed, for want of memory or by somebody, or its Ray cluster is gone" \\
"the same command goes on from there" >&2
"""


def main(study: Study) -> None:
    """Run ``study`` as this process's command line; exits with one of `trainables.errors.ExitCode`."""

    def command(_version: console.Version = False, **values: Any) -> None:
        with checked_options():
            asked = built(Asked, values)
            planned = asked.planned(study)
            options = Options(
                data_dir=asked.data_dir and asked.data_dir.expanduser().absolute(),
                resources=built(Resources, values, placement=asked.placement()),
                budget=built(Budget, values),
                storage=Storage.of(asked.storage or []),
                sinks=built(Sinks, values),
                fresh=asked.fresh,
                report=asked.report,
            )
        folder, screen = asked.out or Path("runs") / planned.name, terminal.screen()
        DriverLock(StudyFolder(folder).layout).refuse_in_use()
        with checked_options():
            if asked.dry_run:
                print_plan(study, planned, folder, options, screen)
                return
            warn_of_days(planned, folder, options, screen)
        to_the_end(lambda: _run(planned, folder, options, screen), folder, screen)

    command.__doc__ = (
        f"Search {', '.join(study.space)} of a VAE on {study.base.dataset}, train some longer, and report.\n\n"
        "The same command again continues a study that was stopped, and more --trials extend one."
    )
    app = console.command_line()
    app.command()(with_options(command, [Asked, Resources, Budget, Sinks], defaults_of(study)))
    console.run(app, leave=leave)


def to_the_end(work: Callable[[], None], folder: Path, screen: Console) -> None:
    """Do a command's ``work`` in its folder; after Ctrl-C this process is left. Raises: as it does."""
    is_interrupted = False
    with _reporting_kill(), terminal.silent_keys() if screen.is_terminal else nullcontext():
        try:
            work()
            lost.clear()  # what could not be printed, the folder has
        except KeyboardInterrupt:  # typer would say that it was aborted
            hear_no_more()
            terminal.print_text(
                f"interrupted: {folder} keeps what is done; the same command goes on from there", screen
            )
            is_interrupted = True
    if is_interrupted:
        leave(ExitCode.INTERRUPTED)


def leave(code: int) -> NoReturn:
    """End the process, and the cluster that it may have started."""
    if "ray" in sys.modules:
        from cluster.connect import end_process

        end_process(code)
    sys.exit(code)


@contextmanager
def _reporting_kill() -> Iterator[None]:
    """Inside, a shell waits for this process, to tell of an end that it cannot tell of itself: a kill, or by Ray, which
    ends a driver without a word when the cluster is gone."""
    shell = subprocess.Popen(["sh", "-c", _ENDED], stdin=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            shell.communicate("\n")


def _run(study: Study, folder: Path, options: Options, screen: Console) -> None:
    """Run or continue a study, draw its report, and say what came of it, all under its lock. Raises: see
    `studies.run.runner.check_before` and `studies.run.runner.run`."""
    from studies.run.runner import check_before, run

    check_before(study, opened := StudyFolder(folder), options, screen)
    lock = DriverLock(opened.layout)
    with lock.acquired():
        try:
            run(study, opened, lock, options, screen)
        except EndedEarly:
            _show(study, opened.path, lock, options, screen, ended_early=True)
            raise
        _show(study, opened.path, lock, options, screen)


def _show(
    study: Study, folder: Path, lock: DriverLock, options: Options, screen: Console, ended_early: bool = False
) -> None:
    """The summary, and the report first; neither where nothing completed of what ``ended_early``. Raises: UserError
    where the report cannot be drawn, after the summary."""
    with suppress(OSError):
        lock.beat("reporting" if options.report else "closing")  # before seconds of imports
    from analysis.reading.best_runs import ranked_runs
    from studies.run.reporting import draw_report

    if ended_early and not ranked_runs(folder):
        return
    try:
        if options.report:
            draw_report(study, StudyFolder(folder), lock, options, screen)
    except Exception as error:  # also of a library: what was trained for hours is told of all the same
        print_summary(folder, screen, report=False)
        fault = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        what, _, way_out = fault.partition("\n")
        text = f"the study is done, but its report could not be drawn: {what}\n{way_out or 'mend that'}"
        raise UserError(f"{text}; then run the command above") from error
    print_summary(folder, screen, options.report)
