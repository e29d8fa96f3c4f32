"""What each rule of pruning costs and loses, replayed on real trainings:
python tests/benchmarks/pruning.py curves --dataset mnist --dataset digits

Trains random configs once, without pruning, and keeps their curves in the folder ``curves``; what lies there is not
trained again. Then the trials arrive in random orders, one at a time, under each rule. What is held out of the training
is halved: the rules and the choice of each trial's epoch see the half A alone, and B checks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import pandas as pd
import torch
import typer

from analysis.statistics.pareto import hypervolume, pareto_front, reference_point
from studies.search.pruning import Peers
from trainables.config import TrialConfig
from trainables.data.datasets import load_dataset
from trainables.data.splits import limit
from trainables.records.atomic_files import write_atomic
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.loop import fit
from trainables.training.process_group import World, keep_freed_memory

EPOCHS = 8
IMAGES = {"mnist": 2_000, "digits": 1_000}  # that are trained on
HELD_OUT = 2_000  # of the others, at most


def config_of(dataset: str, seed: int, number: int) -> TrialConfig:
    """The ``number``-th random config, whatever the number of others."""
    rng = np.random.default_rng([seed, number])
    base = TrialConfig(dataset=dataset, epochs=EPOCHS, batch_size=32, limit_train=IMAGES[dataset], seed=seed)
    base = base.replace({"definitions": 1})  # whose bits per dimension the median of version 1 is of
    drawn = {
        "beta": float(np.exp(rng.uniform(np.log(0.05), np.log(20)))),
        "lr": float(np.exp(rng.uniform(np.log(3e-4), np.log(5e-3)))),
        "model.latent_dim": int(rng.choice([8, 16, 32, 64])),
        "model.depth": int(rng.integers(2)),
        "model.width": 16,
    }
    return base.of_trial(number, drawn)


def curve(config: TrialConfig) -> list[dict[str, Any]]:
    """A row an epoch of a training: its config, bits per dimension on A, rate and distortion on A and on B."""
    data = load_dataset(config.dataset, may_download=False).limited(config.limit_train)
    held_out = limit(data.validation_rows, HELD_OUT)
    parts = (data.training_rows(), held_out[::2], held_out[1::2])
    train, half_a, half_b = (Pixels(data.train.images, rows) for rows in parts)
    drawn = {"beta": config.beta, "lr": config.lr, "latent_dim": config.model.latent_dim, "depth": config.model.depth}
    rows = []
    for epoch in fit(config, train, half_a):
        found, check = epoch.metrics, evaluate(epoch.model, half_b, epoch.metrics["sigma"], World())
        row = {"epoch": found["epoch"], **drawn, "bits_per_dim": found["val_bits_per_dim"]}
        row |= {"rate_a": found["val_rate"], "distortion_a": found["val_distortion"]}
        rows.append(row | {"rate_b": check["rate"], "distortion_b": check["distortion"]})
    return rows


def train(dataset: str, folder: Path, configs: int, seed: int) -> pd.DataFrame:
    """The curves of the first ``configs`` trials, a row an epoch; what the folder lacks is trained now."""
    path = folder / f"{dataset}-{seed}.csv"
    curves = [pd.read_csv(path)] if path.exists() else []
    there = {number for frame in curves for number in frame["number"]}
    for number in sorted(set(range(configs)) - there):
        curves.append(pd.DataFrame(curve(config_of(dataset, seed, number))).assign(number=number))
        write_atomic(path, pd.concat(curves).to_csv(index=False))
        print(f"{dataset}: trained trial {number} of {configs}", flush=True)
    found = pd.concat(curves)
    return found[found["number"] < configs]


@dataclass(frozen=True)
class Trials:
    """What N trials had after each of E epochs on the half A, and on both halves, A first."""

    beta: np.ndarray  # (N,)
    bits: np.ndarray  # (N, E)
    rate: np.ndarray  # (2, N, E)
    distortion: np.ndarray  # (2, N, E), the likelihood's constant in it, which moves no price and no area below

    @classmethod
    def of(cls, curves: pd.DataFrame) -> "Trials":
        """The trials of a frame with a row an epoch."""
        wide = curves.pivot(index="number", columns="epoch")
        rate, distortion = (np.stack([wide[f"{name}_{half}"] for half in "ab"]) for name in ("rate", "distortion"))
        return cls(wide["beta"].to_numpy()[:, 0], wide["bits_per_dim"].to_numpy(), rate, distortion)

    def points(self, lasts: np.ndarray) -> np.ndarray:
        """Rate and distortion of both halves, (2 halves, 2, N), at each trial's own best epoch up to its last, (N,):
        where D + beta R is lowest on A."""
        price = self.distortion[0] + self.beta[:, None] * self.rate[0]
        epochs = np.arange(price.shape[1])
        best = np.where(epochs < lasts[:, None], price, np.inf).argmin(1)
        each = np.arange(len(best))
        return np.stack([self.rate[:, each, best], self.distortion[:, each, best]], 1)


Rule = Callable[[Trials, Sequence[int]], np.ndarray]
"""Lets trials arrive in an order, each after the end of the one before, and returns the last epoch of each, (N,)."""


def whole(trials: Trials, order: Sequence[int]) -> np.ndarray:
    """No pruning."""
    return np.full(len(order), trials.bits.shape[1])


def median_of_bits(trials: Trials, order: Sequence[int]) -> np.ndarray:
    """Version 1: above the median bits per dimension of the complete trials, from the sixth trial and epoch 2 on."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    study, lasts = optuna.create_study(pruner=pruner), whole(trials, order)
    for number in order:
        trial, bits = study.ask(), trials.bits[number]
        for epoch, value in enumerate(bits[:-1], start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                lasts[number] = epoch
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            trial.report(bits[-1], len(bits))
            study.tell(trial, bits.min())
    return lasts


def own_price(quantile: float, trials: Trials, order: Sequence[int]) -> np.ndarray:
    """Above this quantile of all trials' D + beta R at its own beta."""
    peers, lasts = Peers(quantile), whole(trials, order)
    for number in order:
        config = TrialConfig(beta=trials.beta[number], epochs=trials.bits.shape[1])
        for epoch, (distortion, rate) in enumerate(
            zip(trials.distortion[0, number], trials.rate[0, number], strict=True), start=1
        ):
            row = {"epoch": epoch, "val_distortion": distortion, "val_rate": rate}
            peers.add(number, config, row)
            if peers.prune(number, config, row):
                lasts[number] = epoch
                break
    return lasts


RULES: dict[str, Rule] = {
    "none": whole,
    "median of bits per dimension": median_of_bits,
    **{f"own price, {quantile}": partial(own_price, quantile) for quantile in (0.15, 0.25, 0.35, 0.5)},
}


def replay(trials: Trials, orders: int, seed: int, rules: Mapping[str, Rule] = RULES) -> pd.DataFrame:
    """A row an order and rule, everything as a share.

    ``cost``: of all epochs, those that were trained.
    ``A`` and ``B``: of the hypervolume of the unpruned trials, that of the complete ones, on each half, measured from
        the `reference_point` of the unpruned ones.
    ``A, whole`` and ``B, whole``: the same of the order's first trials that cost as much without pruning.
    ``A, all``: as ``A``, a pruned trial's best epoch counted as well, as it was recorded.
    ``front lost``: of the front's trials on A, the pruned ones.
    """
    count, epochs = trials.bits.shape
    points = trials.points(np.full(count, epochs))
    corners = [reference_point(tuple(half)) for half in points]
    full = [hypervolume(*half, corner) for half, corner in zip(points, corners, strict=True)]

    def area(half: int, at: np.ndarray, kept: np.ndarray) -> float:
        return hypervolume(*at[half][:, kept], corners[half]) / full[half]

    front, rows = pareto_front(*points[0]), []
    for index in range(orders):
        order = np.random.default_rng([seed, index]).permutation(count).tolist()
        first = np.array([[area(half, points, np.array(order[:k], int)) for k in range(count + 1)] for half in (0, 1)])
        for name, rule in rules.items():
            lasts = rule(trials, order)
            kept, cost = lasts == epochs, float(lasts.sum() / (count * epochs))
            row: dict[str, Any] = {"rule": name, "order": index, "cost": cost}
            for half, letter in enumerate("AB"):
                row[letter] = area(half, points, kept)
                row[f"{letter}, whole"] = np.interp(cost * count, np.arange(count + 1), first[half])
            row["A, all"] = area(0, trials.points(lasts), np.full(count, True))
            rows.append(row | {"front lost": 1 - kept[front].mean()})
    return pd.DataFrame(rows)


def table(replayed: pd.DataFrame) -> str:
    """A row a rule, in Markdown: means over the orders, of three with their quartiles, and the share of the orders in
    which the rule beats the same cost without pruning on both halves."""
    columns = replayed.columns[2:]
    lines = [f"| rule | {' | '.join(columns)} | better |", "|---" * (len(columns) + 2) + "|"]
    for rule, rows in replayed.groupby("rule", sort=False):
        cells = {name: f"{rows[name].mean():.3f}" for name in columns}
        for name in ("cost", "A", "B"):
            cells[name] += " ({:.3f} to {:.3f})".format(*rows[name].quantile([0.25, 0.75]))
        better = (rows["A"] > rows["A, whole"]) & (rows["B"] > rows["B, whole"])
        lines.append(f"| {rule} | {' | '.join(cells.values())} | {better.mean():.0%} |")
    return "\n".join(lines)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the curves are, or come to be.")],
    dataset: Annotated[list[str], typer.Option(help=f"Of {', '.join(IMAGES)}; may be repeated.")],
    configs: Annotated[int, typer.Option(min=6, help="Trials.")] = 64,
    orders: Annotated[int, typer.Option(min=1, help="In which they arrive.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the configs, their trainings and the orders.")] = 0,
) -> None:
    """Train what is not there yet, on one core, replay it, and print a table a data set."""
    torch.set_num_threads(1)  # so that two data sets can be trained at once, by two processes
    keep_freed_memory()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    for name in dataset:
        trials = Trials.of(train(name, folder, configs, seed))
        print(f"\n{name}, {configs} trials of {EPOCHS} epochs, seed {seed}, {orders} orders\n")
        print(table(replay(trials, orders, seed)))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
