"""What a study's command prints: its plan before anything starts, and a summary at the end."""

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from analysis.reading.states import by_state
from studies.run.options import Options, Resources
from studies.study import Study
from trainables.errors import UserError
from trainables.records.study_layout import StudyLayout
from trainables.space import describe
from trainables.terminal import Column, print_facts, print_table, print_text
from trainables.text import without_passwords

if TYPE_CHECKING:
    from analysis.reading.best_runs import Run

_BEST = (  # of each run, the most important first
    Column("trial", "trial", is_text=True),
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


def print_plan(study: Study, folder: Path, options: Options, console: Console) -> None:
    """The space, the budget and the resources; starts nothing. Raises: UserError where this machine has no room."""
    base, storage = study.base, options.storage
    kept = {"the ledger": storage.ledger and without_passwords(storage.ledger), "checkpoints": storage.checkpoints}
    plan = {
        "study": [f"{study.name} in {folder}"],
        "data": [f"{base.dataset} {base.model.image_shape} from {options.data_dir or 'the default folder'}"],
        "minimised": [" and ".join(study.objectives), *study.where],
        "space": [f"{path}: {describe(distribution)}" for path, distribution in study.space.items()],
        "budget": _budget(study, options),
        "storage": [f"{what} in {place}" for what, place in kept.items() if place],
        "resources": _resources(study, options.resources),
    }
    print_facts(plan, console)


def _budget(study: Study, options: Options) -> list[str]:
    base, budget = study.base, options.budget
    limit = f"at most {base.limit_train:,}" if base.limit_train else "all"
    lines = [
        f"{study.trials} trials of {base.epochs} epochs, {_pruned(study)}",
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


def _pruned(study: Study) -> str:
    if study.base.definitions == 1:
        return "pruned by the median of their peers"
    return f"pruned above the {study.prune:g} quantile at their own KL weight" if study.prune else "none pruned"


def _resources(study: Study, resources: Resources) -> list[str]:
    from cluster.plan import here, plan_slots

    if resources.address:
        lines = [f"{resources.workers_per_trial} worker(s) a trial on {resources.address}"]
    else:
        share, most = resources.share_of_gpu(), resources.max_concurrent
        count, slot = plan_slots(here(), resources.workers_per_trial, most, share, study.trials, resources.pack)
        plan_slots(here(), resources.final_workers, 1, resources.gpus_per_worker)
        each = f"{slot.cpus_per_worker} CPU(s)" + (f", {slot.gpus_per_worker:g} GPU" if slot.gpus_per_worker else "")
        trials = f"{count * slot.pack} trial(s) at once" + (f", {slot.pack} together" if slot.pack > 1 else "")
        lines = [f"{trials}, on {count} x {slot.workers} worker(s) with {each}"]
        if resources.trials_per_gpu == "auto":
            lines.append("or as many more as a GPU's memory holds, which is measured first")
    where = [resources.placement.accelerator or "", *map("=".join, resources.placement.labels.items())]
    if any(where):
        lines.append(f"on nodes with {', '.join(filter(None, where))} alone")
    return lines


def print_summary(folder: Path, console: Console, report: bool) -> None:
    """A short table of the best runs, and where everything is. Raises: UserError where no trial has completed."""
    from analysis.reading.best_runs import ranked_runs
    from analysis.reading.frames import load_trials

    frame, runs = load_trials(folder), ranked_runs(folder)
    counts = by_state(Counter(frame["state"].astype(str)))
    if runs:
        print_text(f"{folder.name}: {len(frame)} trials ({counts})", console)
        print_table([_facts(run) for run in runs[:5]], _BEST, console, is_data=False)
    layout = StudyLayout(folder)
    if report:
        places = {"report": layout.report, "tables": layout.trials_csv, "best models": layout.models}
        places["figures"] = layout.visu("").parent
        print_facts({what: str(path) for what, path in places.items()}, console, whole=places)
    else:
        way = f"python -m analysis report {shlex.quote(str(folder))}"
        print_facts({"to draw the report": way}, console, whole=["to draw the report"])
    if not runs:
        causes = frame["cause"].dropna().tolist()
        reason = f"the first cause: {causes[0]}" if causes else "more --trials or --epochs may help"
        raise UserError(f"no trial of {folder.name} completed ({counts}): there is no best model\n{reason}")


def _facts(run: "Run") -> dict[str, Any]:
    """What the summary says of a run."""
    label = run.label.removeprefix("trial ").replace("final of trial", "final")
    return {**run.best, **run.config.model_dump(), **run.config.model.model_dump(), "trial": label}
