"""What a whole search finds, against random search at the same epochs: python tests/benchmarks/search.py studies

Each study runs through the product's own ledger and lifecycle, without Ray, one trial at a time on one core, in a
folder of its own below the folder ``studies``; one that lies there is gone on with, or only read.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from optuna.distributions import FloatDistribution, IntDistribution
from rich.console import Console

from analysis import load_trials
from analysis.reading.frames import complete_trials
from analysis.statistics.pareto import hypervolume_interval, reference_point
from studies.digits_vae import STUDY
from studies.record.ledger import Ledger
from studies.record.study_folder import StudyFolder
from studies.sampling import SAMPLERS
from studies.search.lifecycle import Lifecycle, Session, search_trials
from studies.study import Study
from studies.watch.live_view import View
from studies.watch.stopping import Stop
from trainables.records.storage_urls import storage_url
from trainables.records.trial_folder import TrialFolder
from trainables.training.loop import NonFiniteError
from trainables.training.trial import train

OWN_PRICE = "own price 0.25, TPE"
RULES = {OWN_PRICE: (0.25, "tpe"), "no pruning, random": (0.0, "random"), "no pruning, TPE": (0.0, "tpe")}
"""Quantile of the pruning and sampler; the first says how many epochs the others have."""
BETAS = np.geomspace(0.05, 20, 200)  # at which D + beta R is compared


def study_of(rule: str, seed: int, trials: int) -> Study:
    """The digits' study, made smaller; its space wider, with the learning rate. Of equal seeds the design that the
    first trials come from is the same, and the seed of trial n's training."""
    prune, sampler = RULES[rule]
    base = STUDY.base.replace({"model.width": 8, "limit_train": 600, "seed": 1000 * seed})
    space = {
        "beta": FloatDistribution(BETAS[0], BETAS[-1], log=True),
        "lr": FloatDistribution(3e-4, 2e-2, log=True),
        "model.latent_dim": IntDistribution(2, 32, log=True),
        "model.depth": IntDistribution(0, 1),
    }
    fields = {"prune": prune, "sampler": SAMPLERS[sampler], "seed": seed, "trials": trials}
    return replace(STUDY, base=base, space=space, final_epochs=0, objective="rate_distortion", **fields)


def run(path: Path, study: Study) -> pd.DataFrame:
    """The trials of a study, after what is left of it has been trained. Raises: UserError where the folder holds
    another."""
    path.mkdir(parents=True, exist_ok=True)
    folder = StudyFolder(path)
    ledger = Ledger(study, storage_url(path, None), folder.claim(study)["id"])
    view = View(path.name, study.trials, study.base.epochs, Console(quiet=True))
    session = Session(ledger, folder, None, view, Stop())
    lifecycle = Lifecycle(session, [search_trials(session)])
    while job := lifecycle.next_job():
        try:
            for row in train(job.config, TrialFolder(job.folder), job.data_dir, recorded=job.recorded):
                if not lifecycle.report(job.id, row):
                    break
            lifecycle.complete(job.id)
        except NonFiniteError as error:
            lifecycle.fail(job.id, str(error))
        print(f"{path.name}: trial {job.id} of {study.trials} has ended", flush=True)
    return load_trials(path)


def searched(folder: Path, seed: int, trials: int) -> dict[str, pd.DataFrame]:
    """The trials of each rule's study: ``trials`` of the first, of the others what the same epochs pay for whole."""
    found: dict[str, pd.DataFrame] = {}
    for rule in RULES:
        found[rule] = run(folder / "seed_{}-prune_{}-{}".format(seed, *RULES[rule]), study_of(rule, seed, trials))
        if rule == OWN_PRICE:
            trials = int(found[rule]["epochs"].sum()) // STUDY.base.epochs
    return found


def table(studies: Mapping[tuple[int, str], pd.DataFrame]) -> str:
    """A row a study, by seed and rule, in Markdown. ``hypervolume`` is that of its complete trials, from one reference
    point for all, as a share of the largest, and its bootstrap interval; ``excess`` by how much, on average over
    `BETAS`, its lowest D + beta R lies above the lowest of all studies, nats per image."""
    values = ["val_rate", "val_distortion"]
    points = {key: complete_trials(trials)[values].to_numpy().T for key, trials in studies.items()}
    corner = reference_point(*(tuple(point) for point in points.values()))
    areas = {key: hypervolume_interval(*point, corner) for key, point in points.items()}
    largest = max(area.estimate for area in areas.values())
    lowest = {key: (distortion + np.outer(BETAS, rate)).min(1) for key, (rate, distortion) in points.items()}
    envelope = np.min(list(lowest.values()), 0)
    lines = ["| seed | rule | trials | complete | epochs | hypervolume | excess |", "|---" * 7 + "|"]
    for (seed, rule), trials in studies.items():
        area, excess = areas[seed, rule], (lowest[seed, rule] - envelope).mean()
        share = f"{area.estimate / largest:.4f} ({area.low / largest:.4f} to {area.high / largest:.4f})"
        counts = f"{len(trials)} | {points[seed, rule].shape[1]} | {trials['epochs'].sum()}"
        lines.append(f"| {seed} | {rule} | {counts} | {share} | {excess:.2f} |")
    return "\n".join(lines)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the studies are, or come to be.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many, from 0.")] = 3,
    trials: Annotated[int, typer.Option(min=8, help="Of each study with pruning.")] = 48,
) -> None:
    """Run what is left of the studies, and print the table."""
    torch.set_num_threads(1)
    found = {(seed, rule): each for seed in range(seeds) for rule, each in searched(folder, seed, trials).items()}
    print(f"\n{table(found)}")


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
