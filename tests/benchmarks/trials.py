"""What a trial costs beyond its training, and a whole study beside a plain script that asks the same.

``python tests/benchmarks/trials.py trial WORKERS`` prints the seconds a trial of a stock Train-in-Tune run,
with ``first`` those until its first ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import psutil
from rounds import Comparison, alternate
from training import plain_epochs

from analysis import load_epochs
from analysis.reading.study_record import read_study
from trainables.data.datasets import load_dataset
from trainables.errors import UserError
from vae_models import ModelConfig

ROOT = Path(__file__).parents[2]
TINY = ("--set", "model.width=4", "--set", "batch_size=16", "--limit-train", "64", "--limit-val", "32")
TRIALS, STOCK_TRIALS = 12, 3
STUDY_TRIALS, STUDY_EPOCHS, STUDY_IMAGES = 8, 4, 12_800


def study(out: Path, *options: str) -> float:
    """Run studies/digits_vae.py; wall seconds."""
    began = time.perf_counter()
    script = [sys.executable, ROOT / "studies" / "digits_vae.py"]
    subprocess.run(
        [*script, "--out", out, "--no-report", "--final-epochs", "0", *options],
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - began


def overhead(workers: int) -> float:
    """Seconds a trial beyond its epochs: from the end of the first trial to that of the last, without the
    epochs between. Ledger, records, checkpoints, suggestions and the way through Tune are in it."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "study"
        study(
            out,
            *TINY,
            "--epochs",
            "1",
            "--trials",
            str(TRIALS),
            "--max-concurrent",
            "1",
            "--workers-per-trial",
            str(workers),
        )
        first, *rest = (trial.datetime_complete for trial in read_study(out).trials)
        epochs = load_epochs(out)
    if first is None or rest[-1] is None:
        raise RuntimeError("a trial of the benchmark did not end")
    trained = epochs.loc[epochs["number"] > 0, "epoch_seconds"].sum()
    return ((rest[-1] - first).total_seconds() - trained) / (TRIALS - 1)


def first_trial() -> float:
    """Seconds from the command to the end of its first trial of one short epoch."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "study"
        began = datetime.now()  # as Optuna writes its times
        study(out, *TINY, "--epochs", "1", "--trials", "6")
        ends = [trial.datetime_complete for trial in read_study(out).trials]
    return (min(end for end in ends if end) - began).total_seconds()


def stock(workers: int, what: str = "trial") -> float:
    """The same of a `TorchTrainer` inside a Tune function trainable, as Ray's documentation shows it; its
    training, a single step, included."""
    command = [sys.executable, __file__, what, str(workers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def run_stock(what: str, workers: int) -> float:
    began = psutil.Process().create_time()
    import ray
    from ray import train, tune
    from ray.train.torch import TorchTrainer, prepare_model
    from ray.tune.integration.ray_train import TuneReportCallback

    def loop(config: dict[str, Any]) -> None:
        import torch

        model = prepare_model(torch.nn.Linear(8, 1))
        loss = (model(torch.ones(4, 8)) * config["scale"]).square().mean()
        loss.backward()
        train.report({"loss": loss.item()})

    def trial(config: dict[str, Any]) -> None:
        TorchTrainer(
            loop,
            train_loop_config=config,
            # less than a CPU each: the Tune trial has a share of one, and the rest must hold all workers
            scaling_config=train.ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 0.5}),
            run_config=train.RunConfig(
                name=f"trial-{tune.get_context().get_trial_id()}", storage_path=place, callbacks=[TuneReportCallback()]
            ),
        ).fit()

    with tempfile.TemporaryDirectory() as place:
        ray.init(log_to_driver=False, include_dashboard=True)
        tuner = tune.Tuner(
            tune.with_resources(trial, {"CPU": 0.001}),
            param_space={"scale": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(num_samples=STOCK_TRIALS, max_concurrent_trials=1),
            run_config=tune.RunConfig(storage_path=place, verbose=0),
        )
        ends = sorted(result.metrics["timestamp"] for result in tuner.fit() if result.metrics)
        ray.shutdown()
    return ends[0] - began if what == "first" else (ends[-1] - ends[0]) / (len(ends) - 1)


def plain_optuna() -> float:
    """Seconds a trial of Optuna alone, one process, in memory."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0)
    asked = optuna.create_study(sampler=sampler, pruner=optuna.pruners.MedianPruner())

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("beta", 0.05, 5, log=True)
        trial.suggest_categorical("latent_dim", (2, 4, 8, 16, 32))
        trial.suggest_int("depth", 0, 1)
        trial.report(1.0, 1)
        trial.should_prune()
        return 1.0

    began = time.perf_counter()
    asked.optimize(objective, n_trials=TRIALS)
    return (time.perf_counter() - began) / TRIALS


def overheads(rounds: int) -> list[Comparison]:
    """(c) Seconds a trial beyond its training."""
    turns = {
        "ours, 1 worker": lambda: overhead(1),
        "ours, 2 workers": lambda: overhead(2),
        "stock, 1 worker": lambda: stock(1),
        "stock, 2 workers": lambda: stock(2),
        "plain Optuna": plain_optuna,
        "first": first_trial,
        "stock, first": lambda: stock(1, "first"),
    }
    times = alternate(turns, rounds)
    pairs = [
        ("ours, 1 worker", "stock, 1 worker"),
        ("ours, 2 workers", "stock, 2 workers"),
        ("ours, 1 worker", "plain Optuna"),
    ]
    found = [
        Comparison("a trial beyond its training", one, "s", times[one], other, times[other]) for one, other in pairs
    ]
    what = "from the command to its end"
    return [*found, Comparison("the first trial", what, "s", times["first"], "stock", times["stock, first"])]


def whole_study(rounds: int) -> list[Comparison]:
    """(d) Images per second of a whole study, from the command to its tables, against Optuna around the plain
    loop: the same trials, epochs and images of MNIST, the plain network. Images count that were trained on:
    ours prunes, the plain script does not."""
    try:
        images = load_dataset("mnist", may_download=False).train.images[:STUDY_IMAGES]
    except UserError as error:
        print(f"no whole study: {error}", file=sys.stderr)
        return []

    def ours() -> float:
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "study"
            seconds = study(
                out,
                "--set",
                "dataset=mnist",
                "--set",
                "model.width=32",
                "--set",
                "model.depth=0",
                "--set",
                "batch_size=128",
                "--limit-train",
                str(STUDY_IMAGES),
                "--limit-val",
                "500",
                "--trials",
                str(STUDY_TRIALS),
                "--epochs",
                str(STUDY_EPOCHS),
            )
            return len(load_epochs(out)) * STUDY_IMAGES / seconds

    def plain() -> float:
        def objective(trial: optuna.Trial) -> float:
            trial.suggest_float("beta", 0.05, 5, log=True)
            size = trial.suggest_categorical("latent_dim", (2, 4, 8, 16, 32))
            return sum(plain_epochs(ModelConfig(latent_dim=size), images, 128, STUDY_EPOCHS))

        began = time.perf_counter()
        optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0)).optimize(objective, STUDY_TRIALS)
        return STUDY_TRIALS * STUDY_EPOCHS * STUDY_IMAGES / (time.perf_counter() - began)

    speeds = alternate({"ours": ours, "plain": plain}, rounds)
    what = f"{STUDY_TRIALS} trials x {STUDY_EPOCHS} epochs x {STUDY_IMAGES:,} images"
    return [Comparison("whole study", what, "images/s", speeds["ours"], "Optuna, plain loop", speeds["plain"])]


if __name__ == "__main__":
    print(run_stock(sys.argv[1], int(sys.argv[2])))
