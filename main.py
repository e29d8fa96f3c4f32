"""Train one VAE: ``python main.py --model VAE --dataset mnist --latent_dim 64 --vae_mode pp --visualize``."""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

import hashlib
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn

from trainables.config import TrialConfig
from trainables.console import Version, checked_options, command_line, folder_of, run, unwritable
from trainables.data.catalog import NAMES
from trainables.data.datasets import dataset_of, image_shape, load_dataset
from trainables.errors import ExitCode, UserError
from trainables.interrupts import hear_no_more
from trainables.machine import limit_threads
from trainables.metrics import Metrics, at_rate
from trainables.records.study_layout import obstacle, visu_name
from trainables.records.trial_folder import TrialFolder
from trainables.terminal import Column, Seldom, print_table, print_text, screen
from trainables.text import spoken
from vae_models import ModelConfig

app = command_line()
_RATES = (  # of a multi-rate network
    Column("beta", "KL weight", ".3g"),
    Column("val_rate", "rate, nats", ".2f"),
    Column("val_distortion", "distortion, nats", ".2f"),
    Column("val_active_units", "active units", ".0f"),
)
_FIRST_LINE = 10.0  # seconds of an epoch after which a line stands for the bars, in a log
_RANGE = " ".join(map(str, ModelConfig.model_fields["beta_range"].default))


def _option(name: str, help: str, **more: Any) -> Any:
    """An option that may be written with underscores or with hyphens."""
    return typer.Option(f"--{name}", f"--{name.replace('_', '-')}", help=help, **more)


def _names(field: str) -> str:
    """Those that a field of the network takes."""
    return ", ".join(get_args(ModelConfig.model_fields[field].annotation))


@app.command()
def train(
    model: Annotated[Literal["VAE"], typer.Option(help="The kind of model.")] = "VAE",
    dataset: Annotated[str, typer.Option(help=f"{', '.join(NAMES[:-1])} or {NAMES[-1]}.")] = "mnist",
    latent_dim: Annotated[int, _option("latent_dim", "Latent dimensions.")] = 32,
    vae_mode: Annotated[
        Literal["plain", "pp"] | None,
        _option("vae_mode", "plain: depth 0, pp: depth 1. [default: plain; cifar10: depth 2]"),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 50,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    visualize: Annotated[bool, typer.Option("--visualize", help="Draw the model's figures at the end.")] = False,
    beta: Annotated[float, typer.Option(help="The KL weight.")] = 1.0,
    multi_rate: Annotated[
        bool, typer.Option("--multi_rate", "--multi-rate", help="One network for every KL weight of --beta_range.")
    ] = False,
    beta_range: Annotated[
        tuple[float, float] | None,
        _option("beta_range", f"The lowest and the highest KL weight with --multi_rate. [default: {_RANGE}]"),
    ] = None,
    likelihood: Annotated[str, typer.Option(help=f"Of the pixels: {_names('likelihood')}.")] = "gaussian",
    binarise: Annotated[str, typer.Option(help=f"How pixels become 0 or 1: {_names('binarise')}.")] = "none",
    batch_size: Annotated[int, _option("batch_size", "Images a step.")] = 128,
    image_size: Annotated[int | None, _option("image_size", "Side of an imagefolder's images.")] = None,
    limit_train: Annotated[int | None, _option("limit_train", "Train on at most this many images.")] = None,
    limit_val: Annotated[int | None, _option("limit_val", "Validate, and test, on at most this many images.")] = None,
    data_dir: Annotated[
        Path | None,
        _option("data_dir", "Folder of the data sets.", envvar="VAE_DATA_DIR", parser=folder_of, metavar="PATH"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and noise.")] = 0,
    _version: Version = False,
) -> None:
    """Train one VAE, on all GPUs of this machine or on its CPU.

    Checkpoints go to models/VAE/, figures to visu/<dataset>_vae/. The same command again goes on from there."""
    depth, width = (2, 64) if dataset == "cifar10" else (0, 32)
    depth = depth if vae_mode is None else ("plain", "pp").index(vae_mode)
    with checked_options():
        shape = image_shape(dataset, image_size)
        network = {"image_shape": shape, "latent_dim": latent_dim, "depth": depth, "width": width}
        if beta_range and not multi_rate:
            low, high = beta_range
            raise ValueError(f"beta_range must be left out without multi_rate, got {low:g} and {high:g}")
        network |= {"multi_rate": multi_rate} | ({"beta_range": beta_range} if beta_range else {})
        network |= {"likelihood": likelihood, "binarise": binarise}
        images = {"dataset": dataset, "image_size": image_size, "limit_train": limit_train, "limit_val": limit_val}
        training = {"beta": beta, "epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
        config = TrialConfig.model_validate({"model": network, **images, **training})
        if config.model.reads_grey_as_binary:
            fault = f"--likelihood {likelihood} is of binary pixels, and those of {dataset} have 256 levels"
            raise UserError(f"{fault}\nmake them binary: --binarise dynamic, fixed or threshold")
        from trainables.training.trial import load_pixels  # torch takes seconds, which a wrong option need not wait for

        load_pixels(config, data_dir, "cpu")  # an error now leaves nothing behind
        if fault := unwritable(Path.cwd()):
            raise UserError(f"the working folder must be one that can be written: {fault}\nthis one is {Path.cwd()}")
        for place in (Path("models") / model, Path("visu") / visu_name(dataset)):
            if file := obstacle(place):
                raise UserError(f"{file} must be a folder, got a file\nmove it away: what is trained goes there")
    console = screen()
    for note in load_dataset(dataset, data_dir, image_size).notes:
        print_text(f"note: {note}", console)
    limit_threads()
    folder = find_folder(Path("models") / model, config)
    _train(config, folder, data_dir, console)
    _finish(config, folder, data_dir, visualize, console)


def find_folder(models: Path, config: TrialConfig) -> TrialFolder:
    """Where this training is or will be, below ``models``: its name is readable, and another for every other config, so
    that equal commands go on, and different ones never mix. One that is there is found by its config, as the hash in
    its name was another before the config had all its fields."""
    stem = f"{visu_name(config.dataset)}_latent{config.model.latent_dim}_depth{config.model.depth}"
    found = (TrialFolder(path) for path in sorted(models.glob(f"{stem}_*")))
    key = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:6]
    return next((folder for folder in found if folder.holds(config)), TrialFolder(models / f"{stem}_{key}"))


def _train(config: TrialConfig, folder: TrialFolder, data_dir: Path | None, console: Console) -> None:
    """Train with a progress bar, and a line an epoch."""
    from trainables.training.local import train_local
    from trainables.training.loop import NonFiniteError
    from trainables.training.process_group import first_device

    columns = (SpinnerColumn(), MofNCompleteColumn(), *Progress.get_default_columns())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            done = len(folder.rows())
            where = "its GPU(s)" if first_device().type == "cuda" else "its CPU, as no GPU is seen"
            text = f"{folder.path} holds {done} of {config.epochs} epochs; this machine trains on {where}"
            console.print(text, soft_wrap=True)
            epochs = progress.add_task("epoch", total=config.epochs, completed=done)
            steps = progress.add_task("step", total=None)
            bar = partial(progress.track, task_id=steps)
            track = bar if console.is_terminal else partial(_told, epochs=config.epochs, console=console)
            for row in train_local(config, folder, data_dir, track=track):
                progress.update(epochs, completed=row["epoch"])
                progress.reset(steps)
                console.print(_line(row), soft_wrap=True)
    except NonFiniteError as error:
        raise UserError(f"training stopped: {error}\ntry a lower --lr") from error
    except KeyboardInterrupt:
        hear_no_more()
        kept = f"{folder.path} keeps what is done; the same command goes on from there"
        console.print(f"\ninterrupted: {kept}", soft_wrap=True)
        raise SystemExit(ExitCode.INTERRUPTED) from None


def _told(steps: range, epochs: int, console: Console) -> Iterator[int]:
    """An epoch's steps, of which a line tells now and then where no bar is seen."""
    began, line = time.monotonic(), Seldom(_FIRST_LINE)
    for step in steps:
        yield step
        if line.is_due():
            done = step - steps.start + 1
            whole = spoken((time.monotonic() - began) / done * len(steps))
            console.print(f"step {done:,} of {len(steps):,}; an epoch takes about {whole}, {epochs:,} are asked for")


def _line(row: Metrics) -> str:
    return (
        f"epoch {row['epoch']:>3.0f}  train loss {row['train_loss']:.2f}  "
        f"val bits/dim {row['val_bits_per_dim']:.4f}  rate {row['val_rate']:.2f} nats  "
        f"mse {row['val_mse']:.5f}  {row['images_per_second']:,.0f} images/s"
    )


def _finish(config: TrialConfig, folder: TrialFolder, data_dir: Path | None, visualize: bool, console: Console) -> None:
    """Test metrics of the best epoch, loss curves and figures."""
    from analysis.figures.files import draw_model, save_figure
    from analysis.figures.model.curves import compute_curves, draw_curves
    from analysis.figures.registry import ModelContext, model_figures
    from analysis.measures.codes import encode
    from analysis.measures.test_metrics import PARTS, measure, warnings
    from analysis.progress import Steps, progress_bar
    from trainables.training.checkpoint import load_weights
    from trainables.training.local import known_images
    from trainables.training.process_group import first_device

    trained, metrics = load_weights(folder.best)
    best = (trained.at(config.main_beta) if config.model.multi_rate else trained).to(first_device())
    known_images(config, folder, data_dir)
    data = dataset_of(config, data_dir).limited(config.limit_train, config.limit_val)
    with progress_bar(console) as progress:
        codes = encode(best, data.test.images)
        steps = Steps(progress, len(PARTS)).of("measuring on the test set")
        test = measure(best, data, metrics["sigma"], codes, progress=steps)
    if config.model.multi_rate:
        _print_rates(config, metrics, console)
    at = f" at KL weight {config.main_beta:.3g}" if config.model.multi_rate else ""
    console.print(f"test set, epoch {metrics['epoch']:.0f}, the best of {config.epochs}{at}:")
    shown = {metric.name: metric for part in PARTS for metric in part.metrics}
    for name, value in ((name, value) for name, value in test.items() if not math.isnan(value)):
        bound = f"{shown[name].bound} " if name in shown and shown[name].is_bound(test) else ""
        console.print(f"  {name:22} {bound}{value:.5g}")
    for sentence in warnings(test):
        console.print(f"  {sentence}", soft_wrap=True)
    out = Path("visu") / visu_name(config.dataset)
    stem = f"{folder.path.name}_epoch_{int(metrics['epoch']):04d}"
    paths = [save_figure(draw_curves(compute_curves(folder.rows())), out / f"loss_{stem}.png")]
    if visualize:
        with progress_bar(console) as progress:
            steps = Steps(progress, len(model_figures())).of("drawing")
            paths += draw_model(ModelContext(best, data, codes, config.seed), out, stem, steps).values()
    lines = [f"checkpoints  {folder.checkpoints}", *(f"figure       {path}" for path in paths)]
    console.print(*lines, sep="\n", soft_wrap=True)


def _print_rates(config: TrialConfig, metrics: Metrics, console: Console) -> None:
    """What a multi-rate network trades at each of its KL weights, on the validation images."""
    names = [column.name for column in _RATES[1:]]
    rows = [
        {"beta": beta} | {name: metrics[at_rate(name, place)] for name in names}
        for place, beta in enumerate(config.betas)
    ]
    print_table(rows, _RATES, console, is_data=False)


if __name__ == "__main__":
    run(app)
