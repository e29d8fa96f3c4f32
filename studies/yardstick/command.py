"""The command of the yardsticks: train, measure, compare; or list what there is."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from typer import Argument, Option

from studies.command_line.command import leave, to_the_end
from studies.command_line.options import built, with_options
from studies.command_line.tables import print_plan
from studies.record.driver_lock import DriverLock
from studies.record.study_folder import StudyFolder
from studies.run.options import Budget, Options, Resources
from studies.study import Study, at_least
from studies.watch.stopping import every
from studies.yardstick.declaration import Variant, Yardstick
from studies.yardstick.results import RESULTS, Results, overview
from trainables import console, terminal
from trainables.console import checked_options, folder_of
from trainables.errors import EndedEarly, OptionError, UserError
from trainables.machine import cores_for_workers, limit_threads
from trainables.records.atomic_files import digest
from trainables.terminal import Column, print_facts, print_table, print_text

if TYPE_CHECKING:  # torch is for who measures
    from analysis.reading.best_runs import Run

_BEAT_SECONDS = 1.0
_COLUMNS = (
    Column("name", "name", is_text=True),
    Column("study", "study", is_text=True),
    Column("published", "published", is_text=True),
    Column("unit", "unit", is_text=True),
    Column("title", "figure", is_text=True),
    Column("source", "source", is_text=True),
)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the command is asked besides `studies.run.options`."""

    quick: Annotated[bool, Option("--quick", help="A version of minutes, whose numbers are no figures.")] = False
    seeds: Annotated[int | None, Option(help="Trainings of each study, each with its own seed. [default: 3]")] = None
    out: Annotated[
        Path, Option(parser=folder_of, metavar="PATH", help="The folder of them all, each in one of its own.")
    ] = Path("runs/yardsticks")
    data_dir: Annotated[
        Path | None,
        Option(parser=folder_of, metavar="PATH", help="Folder of data sets and downloads.", envvar="VAE_DATA_DIR"),
    ] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plans and start nothing.")] = False

    def planned(self, yardstick: Yardstick) -> Yardstick:
        """It, as it is asked for. Raises: ValueError."""
        at_least(1, seeds=self.seeds)
        if self.quick and self.seeds:
            raise ValueError(f"--seeds must be left out with --quick, which has one, got {self.seeds}")
        if self.seeds:
            yardstick = yardstick.with_seeds(self.seeds)
        return yardstick.quick() if self.quick else yardstick


class _Clock:
    """How much of a command's budget is left, over all its studies."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._began = budget, time.monotonic()

    def check(self) -> None:
        """Raises: EndedEarly where its hours are over."""
        hours = self._budget.hours
        if hours is not None and time.monotonic() - self._began >= 3600 * hours:
            raise EndedEarly(f"its {hours:g} hours are over")

    def left(self) -> Budget:
        """Raises: as `check`."""
        self.check()
        if self._budget.hours is None:
            return self._budget
        return replace(self._budget, hours=self._budget.hours - (time.monotonic() - self._began) / 3600)


def main(yardsticks: Mapping[str, Yardstick]) -> None:
    """Run these as this process's command line; exits with one of `trainables.errors.ExitCode`."""

    def command(
        names: Annotated[
            list[str] | None, Argument(metavar="[NAME]...", help="Of one or several. [default: list them all]")
        ] = None,
        _version: console.Version = False,
        **values: Any,
    ) -> None:
        """Train by a published protocol, measure on the test set, and compare with what was published.

        Without a name it lists what there is. The same command again goes on with what was stopped, and trains and
        measures nothing twice."""
        screen = terminal.screen()
        with checked_options():
            asked = built(_Asked, values)
            options = Options(
                data_dir=asked.data_dir and asked.data_dir.expanduser().absolute(),
                resources=built(Resources, values),
                budget=built(Budget, values),
                report=False,
                is_protocol=True,
            )
            planned = [asked.planned(_named(yardsticks, name)) for name in dict.fromkeys(names or ())]
        if not planned:
            print_table(overview(yardsticks.values()), _COLUMNS, screen)
            return
        folders = {each.name: asked.out / each.name for each in planned}
        for each in planned:
            for variant in each.variants:
                DriverLock(_folder(folders[each.name], variant).layout).refuse_in_use()
        if asked.dry_run:
            with checked_options():
                _print_plans(planned, folders, options, screen)
            return
        clock = _Clock(options.budget)

        def work() -> None:
            for each in planned:
                _run(each, folders[each.name], options, clock, screen)

        to_the_end(work, asked.out, screen)

    app = console.command_line()
    app.command()(with_options(command, [_Asked, Resources, Budget], {}))
    console.run(app, leave=leave)


def _named(yardsticks: Mapping[str, Yardstick], name: str) -> Yardstick:
    """Raises: OptionError for a name that none has."""
    if name in yardsticks:
        return yardsticks[name]
    near = get_close_matches(name.lower().replace("-", "_"), yardsticks, 1)
    meant = f"did you mean {near[0]}?" if near else "without a name they are listed, with what was published"
    raise OptionError(f"NAME must be one of {', '.join(yardsticks)}, got {name!r:.80}\n{meant}")


def _folder(folder: Path, variant: Variant) -> StudyFolder:
    return StudyFolder(folder / variant.study.name)


def _abreast(study: Study, options: Options) -> Options:
    """As many of its trials at once as this machine has room for, and not a quarter of them as in a search, where most
    are to learn from those before. Of another cluster the room is not known yet."""
    resources = options.resources
    if resources.max_concurrent or resources.address not in (None, "local"):
        return options
    room = max(1, cores_for_workers() // resources.workers_per_trial)
    return replace(options, resources=replace(resources, max_concurrent=min(study.trials, room)))


def _print_plans(planned: list[Yardstick], folders: Mapping[str, Path], options: Options, screen: Console) -> None:
    """What would be trained, and about how long that takes. Raises: UserError."""
    for yardstick in planned:
        print_facts({yardstick.name: [yardstick.protocol, *filter(None, [yardstick.departures])]}, screen)
        for variant in yardstick.variants:
            study = variant.study
            folder = folders[yardstick.name] / study.name
            print_plan(study, study, folder, _abreast(study, options), screen)


def _run(yardstick: Yardstick, folder: Path, options: Options, clock: _Clock, screen: Console) -> None:
    """Train and measure what is left of one, and say what came of it, also where that ends early. Raises: UserError,
    EndedEarly."""
    results = Results.read(yardstick, folder)
    print_text(f"{yardstick.name}: {yardstick.protocol}", screen)
    try:
        for variant in yardstick.variants:
            _train_and_measure(variant, results, options, clock, screen)
    except EndedEarly:
        _show(results, screen)
        raise
    _show(results, screen)
    if failed := [text for variant in yardstick.variants for text in _failed(_folder(folder, variant).path)]:
        raise UserError(f"{failed[0]}\n--seeds of one more trains another in its place")


def _train_and_measure(variant: Variant, results: Results, options: Options, clock: _Clock, screen: Console) -> None:
    from studies.run.runner import check_before, run

    study, folder = variant.study, _folder(results.folder, variant)
    options = replace(_abreast(study, options), budget=clock.left())
    check_before(study, folder, options, screen)
    lock = DriverLock(folder.layout)
    with lock.acquired():
        run(study, folder, lock, options, screen)

        def beat() -> None:
            with suppress(OSError):
                lock.beat("closing")

        with every(_BEAT_SECONDS, beat):
            _measure(variant, results, folder.path, options, clock, screen)


def _measure(
    variant: Variant, results: Results, folder: Path, options: Options, clock: _Clock, screen: Console
) -> None:
    """What is not measured yet of the study's complete trials."""
    from analysis.progress import progress_bar
    from analysis.reading.best_runs import ranked_runs
    from studies.yardstick.measuring import MEASURES, Subject

    limit_threads()
    study, yardstick = variant.study, results.yardstick
    runs = [run for run in ranked_runs(folder) if not run.is_final and run.number < study.trials]
    for run in sorted(runs, key=lambda run: run.number):
        key = {"study": study.name, "trial": run.number, "weights": digest(run.folder.best.read_bytes())}
        key |= {"samples": yardstick.samples, "most_images": yardstick.images}
        if not results.measured(key):
            with progress_bar(screen) as show:
                step = partial(show, f"measuring {run.label} of {study.name}")
                subject = Subject(run, options.data_dir, yardstick.samples, yardstick.images, clock.check, step)
                results.add(key | _facts(run) | {"values": MEASURES[yardstick.measure](subject)})


def _facts(run: "Run") -> dict[str, Any]:
    """How a training went."""
    rows = run.folder.rows()
    seconds = sum(row["epoch_seconds"] for row in rows)
    return {
        "seed": run.config.seed,
        "epochs": len(rows),
        "best_epoch": int(run.best["epoch"]),
        "seconds": round(seconds, 1),
    }


def _show(results: Results, screen: Console) -> None:
    """The table, how far trainings are that have not ended, and where all is."""
    results.write()
    results.show(screen)
    for variant in results.yardstick.variants:
        for text in _underway(_folder(results.folder, variant).path):
            print_text(text, screen)
    path = str(results.folder / RESULTS)
    print_facts({"results": path}, screen, whole=["results"])


def _underway(folder: Path) -> list[str]:
    """How far the trials of a study are that have not ended."""
    from analysis.reading.study_record import read_study

    with suppress(UserError):
        study = read_study(folder)
        found = zip(study.trials, study.epochs, study.best, strict=True)
        return [
            f"{folder.name}, trial {trial.number}: {len(epochs)} of {study.base.epochs} epochs, lowest validation "
            f"distortion + beta rate {config.criterion(best):.2f} nats at epoch {best['epoch']:.0f}"
            for trial, epochs, best in found
            if best and (config := study.config(trial)) and not trial.state.is_finished()
        ]
    return []


def _failed(folder: Path) -> list[str]:
    """Of each trial of a study that failed, that it did and why."""
    from analysis.reading.study_record import read_study

    trials = read_study(folder).trials
    return [
        f"trial {trial.number} of {folder.name} failed: {trial.user_attrs.get('cause')}"
        for trial in trials
        if trial.state.name == "FAIL"
    ]
