"""One network for every KL weight against networks dedicated to one each: how far it lies above them.

    python tests/benchmarks/multi_rate.py rates.json --dataset mnist --dataset fashion_mnist --seeds 3

trains, for each data set and seed, ten dedicated networks, one of all weights for as many epochs, and one for two and a
half times as many, which costs about what three of the ten do, and prints by how many per cent D (without its constant)
+ beta R of each lies above the dedicated network's, on the validation images. What is in the JSON file already is not
trained again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from trainables.config import TrialConfig
from trainables.records.atomic_files import write_atomic
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.loop import fit
from trainables.training.process_group import World
from trainables.training.trial import load_pixels
from vae_models import VAE, ModelConfig

BETAS = np.geomspace(0.1, 10, 10).tolist()
TIMES = (1, 2.5)  # the epochs of a dedicated network


def trained(config: TrialConfig, train: Pixels) -> tuple[VAE, float]:
    """The network after its last epoch, and the seconds of one core that its steps took."""
    seconds = [0.0]

    def timed(steps: range) -> Iterator[int]:
        began = time.process_time()
        yield from steps
        seconds.append(time.process_time() - began)

    (*_, epoch) = fit(config, train, train.spread(10), timed)
    return epoch.model, sum(seconds)


def loss(model: VAE, validation: Pixels, beta: float) -> float:
    """D without its constant + beta R, nats per image."""
    found = evaluate(model, validation, 0.1, World())
    return found["distortion"] - model.config.distortion_constant + beta * found["rate"]


def measured(config: TrialConfig) -> dict[str, list[float]]:
    """The losses at each of `BETAS`, and the steps' seconds, by what was trained."""
    train, validation = load_pixels(config, None, "cpu")
    trained(config.replace({"epochs": 1}), train)  # what a process does once is no training's cost
    found: dict[str, list[float]] = {"dedicated": [], "dedicated seconds": []}
    for beta in BETAS:
        model, seconds = trained(config.replace({"beta": beta}), train)
        found["dedicated"].append(loss(model, validation, beta))
        found["dedicated seconds"].append(seconds)
    for times in TIMES:
        one = {"model.multi_rate": True, "model.beta_range": (BETAS[0], BETAS[-1])}
        model, seconds = trained(config.replace(one | {"epochs": round(times * config.epochs)}), train)
        found[f"{times:g} x"] = [loss(model.at(beta), validation, beta) for beta in BETAS]
        found[f"{times:g} x seconds"] = [seconds]
    return found


def rows(results: dict[str, dict[str, list[float]]]) -> Iterator[tuple[str, ...]]:
    """Of the table: per cent above the dedicated network, by KL weight, and means over the seeds."""
    for times in TIMES:
        excesses: dict[str, list[list[float]]] = {}
        for name, found in results.items():
            dataset, _, seed = name.partition(" ")
            pairs = zip(found[f"{times:g} x"], found["dedicated"], strict=True)
            over = [100 * (ours / theirs - 1) for ours, theirs in pairs]
            excesses.setdefault(dataset, []).append(over)
            cost = found[f"{times:g} x seconds"][0] / np.mean(found["dedicated seconds"])
            yield row(f"{times:g} x, {dataset}, {seed}", over, float(cost))
        for dataset, of_seeds in excesses.items():
            yield row(f"{times:g} x, {dataset}, mean", np.mean(of_seeds, axis=0).tolist(), math.nan)


def row(label: str, over: list[float], cost: float) -> tuple[str, ...]:
    return (label, *(f"{each:.1f}" for each in over), f"{np.mean(over):.1f}", f"{max(over):.1f}", f"{cost:.2f}")


def main(
    out: Path,
    dataset: Annotated[list[str], typer.Option()] = ["mnist"],  # noqa: B006
    seeds: int = 3,
    epochs: int = 12,
    images: int = 3000,
) -> None:
    """Train what is not in ``out`` yet, and print all that is."""
    torch.set_num_threads(1)
    results = json.loads(out.read_text()) if out.exists() else {}
    for seed in range(seeds):
        for name in dataset:
            config = TrialConfig(
                model=ModelConfig(latent_dim=32, width=16), dataset=name, limit_train=images, limit_val=2000,
                epochs=epochs, batch_size=64, lr=2e-3, seed=seed,
            )  # fmt: skip
            if (key := f"{name} seed {seed}") not in results:
                results[key] = measured(config)
                write_atomic(out, json.dumps(results, indent=1) + "\n")
    table = Table("", *(f"{beta:.2g}" for beta in BETAS), "mean", "most", "cost", box=None)
    for each in rows(results):
        table.add_row(*each)
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
