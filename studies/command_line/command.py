"""One command line for every study script."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from studies.run.options import Budget, Options, Resources, Sinks, Storage
from studies.study import Study
from trainables.console import command_line, guarded, tell
from trainables.errors import Early, UserError, explain
from trainables.slots.resources import Placement
from trainables.space import describe
from trainables.text import without_passwords

ENDED_EARLY, INTERRUPTED = 3, 130


def main(study: Study) -> None:
    """Run ``study`` as this process's command line; exits with 0, 1 or 2, with 3 where it ended early by
    order or for its budget, or 130 after Ctrl-C."""
    app = command_line()

    def command(
        data_dir: Annotated[
            Path | None, typer.Option(envvar="VAE_DATA_DIR", help="Folder of the data sets; downloads go there too.")
        ] = None,
        out: Annotated[Path | None, typer.Option(help=f"The study's folder. [default: runs/{study.name}]")] = None,
        trials: Annotated[int, typer.Option(help="Trials in all; more than before extends.")] = study.trials,
        epochs: Annotated[int, typer.Option(help="Epochs of a trial.")] = study.base.epochs,
        final_epochs: Annotated[
            int, typer.Option(help="Epochs of the last training, of the best configuration; 0: none.")
        ] = study.final_epochs,
        limit_train: Annotated[
            int | None, typer.Option(help="Train on at most this many images.")
        ] = study.base.limit_train,
        limit_val: Annotated[
            int | None, typer.Option(help="Validate on at most this many images.")
        ] = study.base.limit_val,
        seeds: Annotated[
            int, typer.Option(help="Train the three best trials so often again, with other seeds; 0: never.")
        ] = study.seeds,
        seed: Annotated[int, typer.Option(help="Of the search and of every training.")] = study.seed,
        set_: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="FIELD=VALUE", help="Set any field of the base config; may be repeated."),
        ] = None,
        workers_per_trial: Annotated[int, typer.Option(help="DDP workers of a trial.")] = 1,
        max_concurrent: Annotated[
            int | None,
            typer.Option(help="Trials at once. [default: what the cluster holds, up to a third of the trials]"),
        ] = None,
        gpus_per_worker: Annotated[
            float | None,
            typer.Option(help="May be a fraction. [default: 1, or less where there are fewer GPUs than workers]"),
        ] = None,
        trials_per_gpu: Annotated[
            str | None,
            typer.Option(
                metavar="N|auto", help="Trials that share a GPU; auto: what its memory holds, measured first."
            ),
        ] = None,
        pack: Annotated[
            int,
            typer.Option(help="Trials a process trains together, as one where architecture and batch are the same."),
        ] = 1,
        final_workers: Annotated[int, typer.Option(help="DDP workers of the last training.")] = 1,
        address: Annotated[
            str | None,
            typer.Option(
                envvar="RAY_ADDRESS",
                help="A running Ray cluster, host:port or auto. [default: RAY_ADDRESS, or this machine]",
            ),
        ] = None,
        trusted_network: Annotated[
            bool, typer.Option("--trusted-network", help="Join a cluster on other machines without TLS.")
        ] = False,
        accelerator: Annotated[
            str | None,
            typer.Option(metavar="TYPE", help="Train on nodes with this accelerator, as Ray calls it: H100."),
        ] = None,
        label: Annotated[
            list[str] | None, typer.Option(metavar="KEY=VALUE", help="Train on nodes with this label; may be repeated.")
        ] = None,
        patience: Annotated[
            float, typer.Option(help="Seconds until a worker that does not answer, or finds no place, is given up.")
        ] = 120.0,
        storage: Annotated[
            list[str] | None,
            typer.Option(
                metavar="URL",
                envvar="VAE_STORAGE",
                help="A database for the Optuna ledger; s3:// or gs:// for the checkpoints. May be repeated."
                " [default: the study's folder]",
            ),
        ] = None,
        max_hours: Annotated[
            float | None, typer.Option(help="Hours after which this command ends the study in order.")
        ] = None,
        max_gpu_hours: Annotated[
            float | None, typer.Option(help="GPU hours of training, in all, after which the study ends.")
        ] = None,
        on_finish: Annotated[
            str | None,
            typer.Option(
                metavar="CMD",
                help="Shell command to run at the end, told by VAE_STUDY, VAE_FOLDER, "
                "VAE_OUTCOME (finished, early, interrupted, failed) and VAE_EXIT_CODE.",
            ),
        ] = None,
        tensorboard: Annotated[
            bool, typer.Option("--tensorboard", help="Write event files too, a folder a trial.")
        ] = False,
        mlflow: Annotated[
            str | None, typer.Option(metavar="URI", help="Write MLflow runs too, one a trial, there.")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and start nothing.")] = False,
        fresh: Annotated[bool, typer.Option("--fresh", help="Start over; the earlier study is moved aside.")] = False,
        report: Annotated[bool, typer.Option(help="Draw the figures and the page at the end.")] = True,
    ) -> None:
        overrides = {"epochs": epochs, "limit_train": limit_train, "limit_val": limit_val, "seed": seed}
        for path, value in map(parse_setting, set_ or []):
            if path in overrides:
                raise ValueError(f"{path} is set twice: use --{path.replace('_', '-')}, or --set once")
            overrides[path] = value
        plan = {"trials": trials, "final_epochs": final_epochs, "seeds": seeds, "seed": seed}
        planned = Study(**{**vars(study), **plan})
        planned = planned.with_overrides(overrides)
        resources = Resources(
            address=address,
            workers_per_trial=workers_per_trial,
            max_concurrent=max_concurrent,
            gpus_per_worker=gpus_per_worker,
            trials_per_gpu=trials_per_gpu,
            pack=pack,
            final_workers=final_workers,
            patience=patience,
            trusted_network=trusted_network,
            placement=Placement(accelerator, parse_labels(label or [])),
        )
        options = Options(
            data_dir=data_dir and data_dir.expanduser().absolute(),
            resources=resources,
            budget=Budget(hours=max_hours, gpu_hours=max_gpu_hours),
            storage=Storage.of(storage or []),
            sinks=Sinks(tensorboard=tensorboard, mlflow=mlflow),
            fresh=fresh,
        )
        folder = out or Path("runs") / planned.name
        console = Console(highlight=False, markup=False)
        if dry_run:
            print_plan(planned, folder, options, console)
        else:
            try:
                with telling(on_finish, planned.name, folder):
                    execute(planned, folder, options, report, console)
            except KeyboardInterrupt:  # typer would say that it was aborted
                print(f"\ninterrupted: {folder} keeps what is done; the same command goes on from there")
                leave(INTERRUPTED)

    command.__doc__ = study_help(study)
    app.command()(command)
    run_command(app)


def run_command(app: typer.Typer) -> None:
    """Run a command line; what is wrong with its options becomes a line, too, and exit code 2."""
    try:
        with guarded(leave):
            app()
    except Early as early:
        print(f"the study ended early: {early}; the same command goes on from there")
        leave(ENDED_EARLY)
    except ValidationError as error:
        tell(explain(error))
        leave(2)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        tell(str(error))
        leave(2)


def leave(code: int) -> NoReturn:
    """End the process, and the cluster that it may have started."""
    if "ray" in sys.modules:
        from cluster.connect import end_process

        end_process(code)
    sys.exit(code)


@contextmanager
def telling(command: str | None, study: str, folder: Path) -> Iterator[None]:
    """Run ``command`` when what is inside has ended, however it did: see `studies.run.farewell`."""
    outcome, code = "failed", 1
    last = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).parents[1] / "run/farewell.py")],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert last.stdin is not None
    facts = {"VAE_STUDY": study, "VAE_FOLDER": str(folder.absolute())}
    last.stdin.write(json.dumps({"command": command, "facts": facts}) + "\n")
    last.stdin.flush()
    try:
        yield
        outcome, code = "finished", 0
    except Early:
        outcome, code = "early", ENDED_EARLY
        raise
    except KeyboardInterrupt:
        outcome, code = "interrupted", INTERRUPTED
        raise
    finally:
        with last, suppress(BrokenPipeError):
            last.stdin.write(json.dumps({"VAE_OUTCOME": outcome, "VAE_EXIT_CODE": str(code)}) + "\n")


def parse_labels(texts: list[str]) -> dict[str, str]:
    """["zone=b"] -> {"zone": "b"}. Raises: ValueError for what is no label, or is given twice."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals) or key in found:
            raise ValueError(f"--label must be KEY=VALUE, each key once, got {text!r}")
        found[key] = value
    return found


def study_help(study: Study) -> str:
    searched = ", ".join(study.space)
    return (
        f"Search {searched} of a VAE on {study.base.dataset}, train the best once more, and report.\n\n"
        "The same command again continues a study that was stopped, and more --trials extend one."
    )


def parse_setting(text: str) -> tuple[str, Any]:
    """ "model.width=16" -> ("model.width", 16); what is no JSON is taken as text."""
    path, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set must be FIELD=VALUE, got {text!r}")
    try:
        return path, json.loads(value)
    except ValueError:
        return path, value


def execute(study: Study, folder: Path, options: Options, report: bool, console: Console) -> None:
    """Run or continue a study, draw its report, and say what came of it. Raises: see `studies.run.runner.run`."""
    from studies.run.runner import run

    early: Early | None = None
    path = folder.expanduser().resolve()
    try:
        run(study, folder, options, console)
    except Early as reason:
        early = reason
    if report and (early is None or has_models(path)):
        draw_report(path, options.data_dir, console)
    if early is None or has_models(path):
        print_summary(path, console, report)
    if early:
        raise early


def has_models(folder: Path) -> bool:
    from analysis.reading.best_runs import ranked_runs

    return bool(ranked_runs(folder))


def draw_report(folder: Path, data_dir: Path | None, console: Console) -> None:
    """Write the report, unless the one that is there was drawn after the study's last change."""
    from analysis.progress import progress_bar
    from analysis.report.report import is_current, write_report

    if is_current(folder):
        return
    if not console.is_terminal:
        console.print("drawing the report")
    with progress_bar(console) as progress:
        write_report(folder, data_dir=data_dir, progress=progress)


def print_summary(folder: Path, console: Console, report: bool) -> None:
    """A short table of the best runs, and where everything is."""
    from analysis.reading.best_runs import ranked_runs
    from analysis.reading.study_record import load_trials

    frame, runs = load_trials(folder), ranked_runs(folder)
    names = {"RUNNING": "interrupted", "WAITING": "interrupted"}  # as nothing runs any more
    states = frame["state"].astype(str).map(lambda state: names.get(state, state.lower()))
    counts = ", ".join(f"{n} {state}" for state, n in states.value_counts().items() if n)
    table = Table(
        title=f"{folder.name}: {len(frame)} trials ({counts})", title_justify="left", box=None, pad_edge=False
    )
    columns = ("trial", "bits/dim", "rate, nats", "mse", "active units", "KL weight", "latent size", "depth", "epochs")
    for name in columns:
        table.add_column(name, justify="left" if name == "trial" else "right")
    for run in runs[:5]:
        row, config = run.best, run.config
        table.add_row(
            run.label.removeprefix("trial "),
            f"{row['val_bits_per_dim']:.4f}",
            f"{row['val_rate']:.2f}",
            f"{row['val_mse']:.5f}",
            f"{row['val_active_units']:.0f}",
            f"{config.beta:.3g}",
            str(config.model.latent_dim),
            str(config.model.depth),
            str(config.epochs),
        )
    if runs:
        console.print(table)
    places = {"report": "report.html", "tables": "trials.csv", "best models": "models/VAE", "figures": "visu"}
    if report:
        for what, name in places.items():
            console.print(f"{what:12} {folder / name}", soft_wrap=True)
    else:
        console.print(f"to draw the report: python -m analysis report {folder}", soft_wrap=True)
    if not runs:
        reason = first_cause(frame["cause"].dropna().tolist())
        raise UserError(f"no trial of {folder.name} completed ({counts}): there is no best model\n{reason}")


def first_cause(causes: list[str]) -> str:
    return f"the first cause: {causes[0]}" if causes else "more --trials or --epochs may help"


def print_plan(study: Study, folder: Path, options: Options, console: Console) -> None:
    """The space, the budget and the resources; starts nothing."""
    from cluster.plan import here, plan_slots

    base, resources, budget, storage = study.base, options.resources, options.budget, options.storage
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("study", f"{study.name} in {folder}")
    source = options.data_dir or "the default folder"
    table.add_row("data", f"{base.dataset} {tuple(base.model.image_shape)} from {source}")
    for path, distribution in study.space.items():
        table.add_row("space", f"{path}: {describe(distribution)}")
    table.add_row("budget", f"{study.trials} trials of {base.epochs} epochs, pruned by the median of their peers")
    limit = f"at most {base.limit_train:,}" if base.limit_train else "all"
    table.add_row("", f"on {limit} training images, {base.batch_size} a batch")
    if study.seeds:
        table.add_row("", f"then the best three again, with {study.seeds} other seed(s) each")
    if study.final_epochs:
        table.add_row("", f"then the best once more: {study.final_epochs} epochs, {resources.final_workers} worker(s)")
    limits = {"hours of this command": budget.hours, "GPU hours in all": budget.gpu_hours}
    for what, most in limits.items():
        if most:
            table.add_row("", f"at most {most:g} {what}")
    kept = {"the ledger": storage.ledger and without_passwords(storage.ledger), "checkpoints": storage.checkpoints}
    for what, place in kept.items():
        if place:
            table.add_row("storage", f"{what} in {place}")
    if resources.address:
        table.add_row("resources", f"{resources.workers_per_trial} worker(s) a trial on {resources.address}")
    else:
        count, slot = plan_slots(
            here(),
            resources.workers_per_trial,
            resources.max_concurrent,
            resources.share_of_gpu(),
            study.trials,
            resources.pack,
        )
        plan_slots(here(), resources.final_workers, 1, resources.gpus_per_worker)
        each = f"{slot.cpus_per_worker} CPU(s)" + (f", {slot.gpus_per_worker:g} GPU" if slot.gpus_per_worker else "")
        together = f", {slot.pack} together" if slot.pack > 1 else ""
        trials = f"{count * slot.pack} trial(s) at once{together}"
        table.add_row("resources", f"{trials}, on {count} x {slot.workers} worker(s) with {each}")
        if resources.trials_per_gpu == "auto":
            table.add_row("", "or as many more as a GPU's memory holds, which is measured first")
    where = [resources.placement.accelerator or "", *map("=".join, resources.placement.labels.items())]
    if any(where):
        table.add_row("", f"on nodes with {', '.join(filter(None, where))} alone")
    console.print(table)
