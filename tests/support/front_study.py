"""A folder of a study of two objectives, of trials whose rates and distortions are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from support.analysis_fixture import BASE, Made, best_of, metrics, write_ledger

from trainables.config import TrialConfig
from trainables.records.trial_folder import TrialFolder


@dataclass(frozen=True)
class Ran:
    """One trial: what was drawn, the rate and the distortion of each of its epochs, and how it ended."""

    params: dict[str, Any]
    points: Sequence[tuple[float, float]]
    state: str = "COMPLETE"


def at(beta: float, latent_dim: int = 8, depth: int = 0) -> dict[str, Any]:
    return {"beta": beta, "model.latent_dim": latent_dim, "model.depth": depth}


def row(epoch: int, rate: float, distortion: float, config: TrialConfig) -> dict[str, float]:
    nelbo = distortion + 100 + rate
    bits = nelbo / (config.model.dimensions * math.log(2))
    return metrics(epoch, bits, config) | {"val_rate": rate, "val_distortion": distortion, "val_nelbo": nelbo}


def front_study(folder: Path, ran: Sequence[Ran], base: TrialConfig = BASE, **ledger: Any) -> Path:
    """Trials that ended in their order."""
    configs = [base.of_trial(number, each.params) for number, each in enumerate(ran)]
    rows = [
        [row(epoch, *point, config) for epoch, point in enumerate(each.points, 1)]
        for each, config in zip(ran, configs, strict=True)
    ]
    best = [best_of(of, config) if of else {} for of, config in zip(rows, configs, strict=True)]
    causes = {"FAIL": {"cause": "non-finite"}}
    made = [Made(each.state, each.params, attrs=causes.get(each.state, {})) for each in ran]
    write_ledger(folder, made, base=base, objective="rate_distortion", best=best, **ledger)
    for number, (config, of) in enumerate(zip(configs, rows, strict=True)):
        record = TrialFolder(folder / "trials" / f"{number:04d}")
        record.create(config)
        for each in of:
            record.append(each)
    return folder


def searched(folder: Path, count: int, prune: bool = True, seed: int = 0, epochs: int = 3) -> Path:
    """A study of trials along D = 800 - 30 log(1 + R) at their own prices, above it by what their architecture costs:
    a nat for each halving of the latent size from 32, two at depth 0; and noise."""
    rng = np.random.default_rng(seed)
    ran = []
    for number in range(count):
        params = at(float(10 ** rng.uniform(-1, 1)), round(2 ** rng.uniform(1, 5)), int(rng.integers(2)))
        rate = 30 / params["beta"] - 1 if params["beta"] < 29 else 0.0
        costs = 5 - math.log2(params["model.latent_dim"]) + 2 * (1 - params["model.depth"]) + rng.exponential(0.3)
        distortion = 800 - 30 * math.log1p(rate) + costs
        pruned = prune and number > 5 and number % 3 == 0
        points = [(rate * 0.8 ** (epochs - k), distortion + 20.0 * (epochs - k)) for k in range(1, epochs + 1)]
        ran.append(Ran(params, points[:1] if pruned else points, "PRUNED" if pruned else "COMPLETE"))
    base = BASE.replace({"epochs": epochs})
    return front_study(folder, ran, base=base)
