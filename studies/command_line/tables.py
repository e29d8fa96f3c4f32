"""What a study's command prints: its plan before anything starts, and a summary at the end."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis.reading.states import by_state
from analysis.reading.validation import flat
from studies.record.study_folder import StudyFolder
from studies.run.checks import Foreseen, foresee, sees_gpu
from studies.run.estimate import Estimate, estimated, may_take_long, smaller
from studies.run.options import Options, Resources
from studies.run.reporting import foreseen_report
from studies.study import Study
from trainables.config import TrialConfig, idle
from trainables.data.datasets import MissingDataError, dataset_of, load_dataset, training_images
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.space import describe
from trainables.terminal import Column, print_facts, print_table, print_text
from trainables.text import python_command, without_passwords

if TYPE_CHECKING:
    from analysis.reading.best_runs import Run
    from analysis.reading.study_record import StudyRecord

_OWN = ("--out", "--storage", "--mlflow")  # options of one study alone, of which some may hold a password
_LONG = 3600.0  # seconds from which a study on a CPU is warned of
_BEST = (  # of each run, the most important first
    Column("trial", "trial", is_text=True),
    Column("val_relative_loss", "relative loss", ".3f"),  # of multi-rate runs alone
    Column("val_rate", "rate, nats", ".2f"),
    Column("val_distortion", "distortion, nats", ".2f"),
    Column("val_bits_per_dim", "bits/dim", ".4f"),
    Column("beta", "KL weight", ".3g"),
    Column("latent_dim", "latent size"),
    Column("depth", "depth"),
    Column("val_active_units", "active units", ".0f"),
    Column("val_mse", "mse", ".5f"),
    Column("epochs", "epochs"),
)


def print_plan(study: Study, planned: Study, folder: Path, options: Options, console: Console) -> None:
    """What a command would do with a ``study`` as it is ``planned``, and about how long that takes, measured; starts
    and downloads nothing. Raises: UserError as `studies.run.checks.foresee`."""
    options = replace(options, may_download=False)
    seen = foresee(planned, StudyFolder(folder), options)
    base, storage = seen.study.base, options.storage
    kept = {"the ledger": storage.ledger and without_passwords(storage.ledger), "checkpoints": storage.checkpoints}
    plan = {
        "study": f"{planned.name} in {folder}: {seen.folder}",
        "data": _data(base, options.data_dir),
        "changed": _changed(study, planned),
        "minimised": [" and ".join(seen.study.objectives), *seen.study.where],
        "space": [f"{path}: {describe(distribution)}" for path, distribution in planned.space.items()],
        "budget": _budget(seen.study, options),
        "storage": [f"{what} in {place}" for what, place in kept.items() if place],
        "resources": _resources(seen, options.resources),
    }
    print_facts(plan, console)
    if not seen.is_finished:
        print_facts({"time".ljust(max(map(len, plan))): _time(seen, folder, options, console)}, console)


def _changed(study: Study, planned: Study) -> list[str]:
    """What the options change of what the script declares."""
    before, now = flat(study.base), flat(planned.base)
    lines = [f"{path}: {before[path]} -> {it}" for path, it in now.items() if path != "model" and it != before[path]]
    return lines + [f"{path} is searched no more" for path in study.space if path not in planned.space]


def _estimated(seen: Foreseen, folder: Path, options: Options) -> Estimate:
    """With the report. Raises: UserError as `studies.run.estimate.estimated`."""
    report = foreseen_report(seen.study, StudyFolder(folder), options)
    return estimated(seen.study, options, seen.slots, seen.slot, report)


def _time(seen: Foreseen, folder: Path, options: Options, console: Console) -> list[str]:
    if options.resources.address not in (None, "local"):
        return ["not measured: the study runs elsewhere"]
    base = seen.study.base
    try:
        load_dataset(base.dataset, options.data_dir, base.image_size, may_download=False)
    except MissingDataError:
        return ["not measured: the data set is not there"]
    print_text("measuring how long this takes", console)
    has_begun = not options.fresh and StudyFolder(folder).layout.question.exists()
    try:
        return [
            *_estimated(seen, folder, options).lines,
            *["that is of all trials, those that are done, too"] * has_begun,
        ]
    except UserError as error:
        return ["not known", *str(error).splitlines()]


def warn_of_days(study: Study, folder: Path, options: Options, console: Console) -> None:
    """Before a new study begins on this machine's CPU: where it takes more than an hour, say so, and what takes
    minutes. Raises: UserError as `foresee`."""
    is_new = options.fresh or not StudyFolder(folder).layout.question.exists()
    if options.resources.address not in (None, "local") or not is_new:
        return
    if not may_take_long(study, len(training_images(study.base, options.data_dir).rows)) or sees_gpu():
        return
    print_text("no GPU is seen here: measuring how long this takes", console)
    seen = foresee(study, StudyFolder(folder), options)
    try:
        time = _estimated(seen, folder, options)
    except UserError as error:
        print_facts({"time": ["not known", *str(error).splitlines()]}, console)
        return
    if time.seconds > _LONG:
        command = python_command(*_with(smaller(study, folder), sys.argv))
        print_facts({"time": time.lines, "smaller": command}, console, whole=["smaller"])
        print_text("Ctrl-C, twice, ends this one at once; the same command goes on with it", console)


def _with(options: Mapping[str, str], arguments: Sequence[str]) -> Iterator[str]:
    """A command line with ``options``, which are as of `smaller`, in place of those that ask for the same, and without
    those of one study alone."""
    replaced = {*_OWN, *options, *(f"--set {option[2:].replace('-', '_')}" for option in options)}
    given = list[list[str]]()  # each option with its value
    for word in arguments:
        if word.startswith("--") or not given:
            given.append([])
        given[-1].append(word)
    for words in given:
        option, _, value = "=".join(words).partition("=")
        if option not in replaced and f"{option} {value.partition('=')[0]}" not in replaced:
            yield from words
    for option, value in options.items():
        name, _, field = option.partition(" ")
        yield from (name, f"{field}={value}" if field else value)


def _data(base: TrialConfig, data_dir: Path | None) -> list[str]:
    """The data set, prepared, where it is there: what is wrong with it is said now."""
    place = "" if ":" in base.dataset else f" from {data_dir or 'the default folder'}"
    lines = [f"{base.dataset} {base.model.image_shape}{place}"]
    try:
        data = dataset_of(base, data_dir, may_download=False)
    except MissingDataError as error:
        return [*lines, f"not there, so the study first downloads or unpacks it: {str(error).splitlines()[0]}"]
    counts = len(data.training_rows()), len(data.validation_rows), len(data.test.labels)
    lines.append("{:,} images to train on, {:,} to validate on, {:,} to test on".format(*counts))
    return [*lines, *data.notes]


def _budget(study: Study, options: Options) -> list[str]:
    base, budget = study.base, options.budget
    limit = f"at most {base.limit_train:,}" if base.limit_train else "all"
    lines = [
        f"{study.trials} trials of {base.epochs} epochs{_patience(base)}, {_pruned(study)}",
        f"on {limit} training images, {base.batch_size} a batch",
    ]
    best = "of the best" if len(study.objectives) == 1 else "of the front"
    if study.seeds:
        lines.append(f"then 3 {best} again, with {study.seeds} other seed(s) each")
    if study.finals:
        workers = options.resources.final_workers
        lines.append(f"then {study.finals} {best} once more: {study.final_epochs} epochs, {workers} worker(s)")
    limits = {"hours of this command": budget.hours, "GPU hours in all": budget.gpu_hours}
    return lines + [f"at most {most:g} {what}" for what, most in limits.items() if most]


def _patience(base: TrialConfig) -> str:
    return f" at most, patience {base.patience}" if base.patience else ""


def _pruned(study: Study) -> str:
    if study.base.definitions == 1:
        return "pruned by the median of their peers"
    of = "of val_relative_loss" if study.base.model.multi_rate else "at their own KL weight"
    return f"pruned above the {study.prune:g} quantile {of}" if study.prune else "none pruned"


def _resources(seen: Foreseen, resources: Resources) -> list[str]:
    slot, last = seen.slot, seen.last_slot
    each = f"{slot.cpus_per_worker} CPU(s)" + (f", {slot.gpus_per_worker:g} GPU" if slot.gpus_per_worker else "")
    trials = f"{seen.slots * slot.pack} trial(s) at once" + (f", {slot.pack} in turns" if slot.pack > 1 else "")
    where = f" of {resources.address}" if resources.address else ""
    lines = [f"{trials}, on {seen.slots} x {slot.workers} worker(s) with {each}{where}"]
    if seen.measures_pack:
        lines.append("or several in turns on each GPU, as many as serve it best: that is measured first, and recorded")
    if seen.study.finals and last != slot:
        lines.append(f"the last trainings on {last.workers} worker(s) with {last.cpus_per_worker} CPU(s)")
    placement = [resources.placement.accelerator or "", *map("=".join, resources.placement.labels.items())]
    if any(placement):
        lines.append(f"on nodes with {', '.join(filter(None, placement))} alone")
    return lines


def print_summary(folder: Path, console: Console, report: bool) -> None:
    """A short table of the best runs, and where everything is. Raises: UserError where no trial has completed."""
    from analysis.reading.best_runs import ranked_runs
    from analysis.reading.frames import load_trials
    from analysis.reading.study_record import read_study

    record = read_study(folder)
    frame, runs = load_trials(record), ranked_runs(record)
    counts = by_state(Counter(frame["state"].astype(str)))
    if runs:
        print_text(f"{folder.name}: {len(frame)} trials ({counts})", console)
        rows = [_facts(run) for run in runs[:5]]
        known = [it for it in _columns(record) if not all(it.is_unknown(row) for row in rows)]
        print_table(rows, known, console, is_data=False)
    layout = StudyLayout(folder)
    if report:
        places = {"report": layout.report, "tables": layout.trials_csv, "best models": layout.models}
        places["figures"] = layout.visu("").parent
        print_facts({what: str(path) for what, path in places.items()}, console, whole=places)
    else:
        way = python_command("-m", "analysis", "report", folder)
        print_facts({"to draw the report": way}, console, whole=["to draw the report"])
    if not runs:
        causes = frame["cause"].dropna().tolist()
        reason = f"the first cause: {causes[0]}" if causes else "more --trials or --epochs may help"
        raise UserError(f"no trial of {folder.name} completed ({counts}): there is no best model\n{reason}")


def _columns(record: "StudyRecord") -> list[Column]:
    """Of the summary: `_BEST`, and what else is searched; first the likelihood, without which no distortion says what
    it is."""
    known = {it.name for it in _BEST}
    more = [name for path, name in record.columns.items() if path in record.space and name not in known]
    first = [Column(name, name, is_text=True) for name in more if name == "likelihood"]
    return [_BEST[0], *first, *_BEST[1:], *(Column(name, name) for name in more if name != "likelihood")]


def _facts(run: "Run") -> dict[str, Any]:
    """What the summary says of a run; None for what its network has no use for."""
    label = run.label.removeprefix("trial ").replace("final of trial", "final")
    found = {**run.best, **run.config.model_dump(), **run.config.model.model_dump(), "trial": label}
    unused = dict.fromkeys(path.rpartition(".")[2] for path in idle(flat(run.config)))
    return found | unused | {"beta": run.config.main_beta}  # that of a multi-rate run's rate and distortion
