"""What a long study costs: python tests/benchmarks/driver.py --trials 100 --trials 10000

Makes finished studies of so many trials of 50 epochs, and times what the driver and the analysis do with
them: each time is the median of three, in seconds.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from rounds import Comparison, alternate

from analysis import load_epochs, load_trials
from studies.record.front import Front
from studies.record.ledger import BITS, Ledger
from studies.record.study_folder import StudyFolder
from studies.search.pruning import Peers
from studies.study import Study
from trainables.config import TrialConfig
from trainables.metrics import EPOCH
from trainables.records.atomic_files import seal, unseal
from trainables.records.storage_urls import storage_url
from trainables.records.trial_folder import TrialFolder

EPOCHS = 50
SPACE: dict[str, BaseDistribution] = {
    "beta": FloatDistribution(0.05, 5.0, log=True),
    "model.latent_dim": CategoricalDistribution((2, 4, 8, 16, 32)),
    "model.depth": IntDistribution(0, 1),
}
STUDY = Study(name="scale", base=TrialConfig(epochs=EPOCHS), space=SPACE, trials=100_000)
SIZES = (100, 1_000, 10_000)


def row(config: TrialConfig, epoch: int, rng: np.random.Generator) -> dict[str, Any]:
    """What an epoch measures: the rate falls with the KL weight, the distortion rises, and falls over the epochs."""
    rate, noise = 20 / (1 + config.beta), rng.exponential(5)
    found = dict.fromkeys((metric.name for metric in EPOCH), 5 + float(np.exp(-epoch / 9)))
    distortion = config.model.distortion_constant + 50 + 10 * np.log1p(config.beta) + 90 / epoch + noise
    return found | {"epoch": epoch, "val_active_units": 4, "val_rate": rate, "val_distortion": float(distortion)}


def make(folder: StudyFolder, trials: int) -> Ledger:
    """A study of finished trials, written straight into Optuna's tables: asking for each would take hours."""
    owner = folder.claim(STUDY)["id"]
    Ledger(STUDY, storage_url(folder.path, None), owner)
    rng = np.random.default_rng(0)
    with sqlite3.connect(folder.path / "study.db") as db:
        for number in range(trials):
            key = number + 1
            when = "2026-01-01 00:00:00.000000"
            db.execute(
                "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
                "VALUES (?, ?, 1, 'COMPLETE', ?, ?)",
                (key, number, when, when),
            )
            drawn = (float(np.exp(rng.uniform(-2.9, 1.6))), int(rng.integers(5)), int(rng.integers(2)))
            db.executemany(
                "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
                [(key, path, drawn[k], distribution_to_json(SPACE[path])) for k, path in enumerate(SPACE)],
            )
            choices = SPACE["model.latent_dim"].choices  # type: ignore[attr-defined]
            drawn_values = (drawn[0], choices[drawn[1]], drawn[2])
            config = STUDY.base.of_trial(number, dict(zip(SPACE, drawn_values, strict=True)))
            rows = [row(config, epoch, rng) for epoch in range(1, EPOCHS + 1)]
            best = config.best_row(rows)
            db.executemany(
                "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, 'FINITE')",
                [(key, k, value) for k, value in enumerate(STUDY.values(config, best))],
            )
            db.execute(
                "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
                (key, BITS, json.dumps(best[BITS])),
            )
            TrialFolder(folder.layout.trial(number)).create(config)
            lines = "".join(seal(each) + "\n" for each in rows)
            (folder.layout.trial(number) / "metrics.jsonl").write_text(lines)
    return Ledger(STUDY, storage_url(folder.path, None), owner)


def timed(action: Callable[[], Any]) -> float:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def reports(ledger: Ledger, folder: StudyFolder) -> Callable[[], None]:
    """Judges a new trial at its first epoch, again and again, after its record was written."""
    number, peers = ledger.ask(), Peers.recorded(ledger, folder)
    config, record = STUDY.base.of_trial(number, ledger.parameters(number)), TrialFolder(folder.layout.trial(number))
    record.create(config)
    epochs, measured = itertools.count(1), row(config, 1, np.random.default_rng(1))

    def report() -> None:
        record.append(measured | {"epoch": next(epochs)})
        peers.add(number, config, measured)
        peers.prune(number, config, measured)

    return report


def measure(trials: int) -> dict[str, float]:
    """Seconds by what is done, in a study of ``trials``."""
    with tempfile.TemporaryDirectory() as place:
        folder = StudyFolder(Path(place) / "scale")
        folder.path.mkdir()
        ledger = make(folder, trials)
        url, owner = storage_url(folder.path, None), unseal(folder.layout.question.read_bytes())["id"]
        seconds = {"opening": timed(lambda: Peers.recorded(Ledger(STUDY, url, owner), folder))}
        seconds["load_trials"] = timed(lambda: load_trials(folder.path))
        seconds["load_epochs"] = timed(lambda: load_epochs(folder.path))
        seconds["a report and its pruning decision"] = timed(reports(ledger, folder))
        asked: list[int] = []
        seconds["a suggestion"] = timed(lambda: asked.append(ledger.ask()))
        best = row(STUDY.base, EPOCHS, np.random.default_rng(1))

        def end() -> None:
            ledger.end(asked.pop(), "complete", best)
            Front.of(ledger)

        seconds["a trial's end and the front"] = timed(end)
        number = ledger.ask()
        seconds["resuming a trial"] = timed(lambda: Ledger(STUDY, url, owner).resume(number))
        return seconds


def costs(rounds: int) -> list[Comparison]:
    """(f) What the driver does for each trial and epoch, by how many trials the study has already."""
    actions: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        for count in SIZES:
            folder = StudyFolder(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "scale")
            folder.path.mkdir()
            ledger = make(folder, count)
            actions[f"ask {count}"] = partial(timed, ledger.ask)
            actions[f"report {count}"] = partial(timed, reports(ledger, folder))
        times = alternate(actions, rounds)
    few = SIZES[0]
    return [
        Comparison(
            f"driver, {count:,} trials", what, "s", times[f"{name} {count}"], f"{few} trials", times[f"{name} {few}"]
        )
        for name, what in {"ask": "a suggestion", "report": "a report, pruning decision"}.items()
        for count in SIZES[1:]
    ]


def main(trials: Annotated[list[int], typer.Option(help="Trials of a study; may be repeated.")]) -> None:
    """Print a table: what is done, by the number of trials."""
    results = {count: measure(count) for count in trials}
    print("| seconds | " + " | ".join(f"{count:,} trials" for count in results) + " |")
    print("|---" * (len(results) + 1) + "|")
    for name in next(iter(results.values())):
        print(f"| {name} | " + " | ".join(f"{seconds[name]:.3f}" for seconds in results.values()) + " |")


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
