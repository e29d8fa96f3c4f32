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

RULES = {
    "own price 0.25, TPE": (0.25, "tpe"),
    "no pruning, random": (0.0, "random"),
    "no pruning, TPE": (0.0, "tpe"),
    "own price 0.25, random": (0.25, "random"),
}
"""Quantile of the pruning and sampler; what the first spends, the others may."""
BETAS = np.geomspace(0.05, 20, 300)  # at which D + beta R is compared


def study_of(prune: float, sampler: str, seed: int, trials: int) -> Study:
    """The digits' study, made smaller, its space wider and with the learning rate. Where seeds are equal, so are the
    first 8 trials, by design, and the seed of trial n's training."""
    base = STUDY.base.replace({"model.width": 8, "limit_train": 600, "seed": 1000 * seed})
    space = {
        "beta": FloatDistribution(BETAS[0], BETAS[-1], log=True),
        "lr": FloatDistribution(3e-4, 2e-2, log=True),
        "model.latent_dim": IntDistribution(2, 32, log=True),
        "model.depth": IntDistribution(0, 1),
    }
    asked = replace(STUDY, base=base, space=space, objective="rate_distortion", final_epochs=0, trials=trials)
    return replace(asked, prune=prune, sampler=SAMPLERS[sampler], seed=seed)


def run(path: Path, study: Study, budget: int) -> pd.DataFrame:
    """The trials of a study, after what is left of it has been trained; none is begun that the epochs left of its
    ``budget`` would not pay for whole. Raises: UserError where the folder holds another study."""
    path.mkdir(parents=True, exist_ok=True)
    folder = StudyFolder(path)
    ledger = Ledger(study, storage_url(path, None), folder.claim(study)["id"])
    view = View(path.name, study.trials, study.base.epochs, Console(quiet=True))
    session = Session(ledger, folder, None, view, Stop())
    lifecycle = Lifecycle(session, [search_trials(session)])

    def is_paid() -> bool:
        spent = sum(len(TrialFolder(folder.layout.trial(number)).rows()) for number in ledger.ended())
        return spent + study.base.epochs <= budget

    while is_paid() and (job := lifecycle.next_job()):
        try:
            for row in train(job.config, TrialFolder(job.folder), job.data_dir, recorded=job.recorded):
                if not lifecycle.report(job.id, row):
                    break
            lifecycle.complete(job.id)
        except NonFiniteError as error:
            lifecycle.fail(job.id, str(error))
        print(f"{path.name}: trial {job.id} has ended", flush=True)
    return load_trials(path)


def searched(folder: Path, seed: int, trials: int) -> dict[str, pd.DataFrame]:
    """The trials of each rule's study: ``trials`` of the first, of the others what the same epochs pay for."""
    found: dict[str, pd.DataFrame] = {}
    for rule, (prune, sampler) in RULES.items():
        first = next(iter(found.values()), None)
        budget = trials * STUDY.base.epochs if first is None else int(first["epochs"].sum())
        study = study_of(prune, sampler, seed, trials if first is None else budget)
        found[rule] = run(folder / f"seed_{seed}-prune_{prune}-{sampler}", study, budget)
    return found


def measured(studies: Mapping[tuple[int, str], pd.DataFrame]) -> pd.DataFrame:
    """A row a study, by its seed and rule. ``hypervolume``, ``low``, ``high``: that of its complete trials, from one
    reference point for all, as a share of the largest, and its bootstrap interval. ``excess``, and the same over each
    third of `BETAS`: how far its lowest D + beta R lies above the lowest of all studies, on average, nats per image."""
    done = {key: complete_trials(trials) for key, trials in studies.items()}
    points = {key: (each["val_rate"].to_numpy(), each["val_distortion"].to_numpy()) for key, each in done.items()}
    lowest = {key: (distortion + np.outer(BETAS, rate)).min(1) for key, (rate, distortion) in points.items()}
    corner, envelope, rows = reference_point(*points.values()), np.min(list(lowest.values()), 0), []
    for (seed, rule), trials in studies.items():
        area, above = hypervolume_interval(*points[seed, rule], corner), lowest[seed, rule] - envelope
        assert area is not None, "a study has several complete trials"
        counts = {"trials": len(trials), "complete": len(done[seed, rule]), "epochs": trials["epochs"].sum()}
        row = {"seed": str(seed), "rule": rule, **counts, "hypervolume": area.estimate, "low": area.low}
        row |= {"high": area.high, "excess": above.mean()}
        for part, betas in zip(np.array_split(above, 3), np.array_split(BETAS, 3), strict=True):
            row[f"at beta {betas[0]:.2g} to {betas[-1]:.2g}"] = part.mean()
        rows.append(row)
    found = pd.DataFrame(rows)
    found[["hypervolume", "low", "high"]] /= found["hypervolume"].max()
    return found


def table(found: pd.DataFrame) -> str:
    """A row a study in Markdown, then the mean of each rule, in brackets its range over the seeds."""
    rules = found.drop(columns="seed").groupby("rule", sort=False)
    ends = {"low": rules["hypervolume"].min(), "high": rules["hypervolume"].max()}
    rows = pd.concat([found, rules.mean().assign(seed="mean", **ends).reset_index()]).set_index(["seed", "rule"])
    counts, excesses = rows.columns[:3], rows.columns[6:]
    lines = [f"| seed | rule | {' | '.join([*counts, 'hypervolume', *excesses])} |", "|---" * rows.shape[1] + "|"]
    for key, row in rows.iterrows():
        area = "{:.3f} ({:.3f} to {:.3f})".format(*row[["hypervolume", "low", "high"]])
        cells = [*key, *row[counts].map("{:.0f}".format), area, *row[excesses].map("{:.1f}".format)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the studies are, or come to be.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many, from 0.")] = 3,
    trials: Annotated[int, typer.Option(min=8, help="Of each study with pruning.")] = 48,
) -> None:
    """Run what is left of the studies, and print the table."""
    torch.set_num_threads(1)
    found = {(seed, rule): each for seed in range(seeds) for rule, each in searched(folder, seed, trials).items()}
    print(f"\n{table(measured(found))}")


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
