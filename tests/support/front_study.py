"""A folder of a study of two objectives, of trials whose rates and distortions are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState, create_trial
from support.analysis_fixture import BASE, SPACE, metrics

from trainables.config import TrialConfig
from trainables.objective import values
from trainables.records.atomic_files import seal
from trainables.records.storage_urls import OWNER
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


def front_study(
    folder: Path,
    ran: Sequence[Ran],
    space: dict[str, BaseDistribution] = SPACE,
    base: TrialConfig = BASE,
    where: Sequence[str] = (),
) -> Path:
    """Trials that ended in their order, a minute each."""
    folder.mkdir(parents=True)
    info = {
        "id": "fixture",
        "name": "digits_vae",
        "created": "2026-01-01T12:00:00+00:00",
        "storage": None,
        "data_dir": None,
        "seed": 0,
        "command": "python studies/digits_vae.py",
        "objective": "rate_distortion",
        "where": list(where),
        "base": base.model_dump(mode="json"),
        "space": {path: distribution_to_json(distribution) for path, distribution in space.items()},
        "versions": {},
        "git_commit": "0123456789abcdef",
        "hardware": {"gpus": []},
    }
    (folder / "study.json").write_text(seal(info))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name="digits_vae", storage=f"sqlite:///{folder}/study.db", directions=["minimize"] * 2
    )
    study.set_user_attr(OWNER, "fixture")
    zero = datetime(2026, 1, 1)
    for number, each in enumerate(ran):
        config = base.of_trial(number, each.params)
        rows = [row(epoch, *point, config) for epoch, point in enumerate(each.points, 1)]
        record = TrialFolder(folder / "trials" / f"{number:04d}")
        record.create(config)
        for line in rows:
            record.append(line)
        done = each.state == "COMPLETE"
        trial = create_trial(
            state=TrialState[each.state],
            values=values("rate_distortion", config, config.best_row(rows)) if done else None,
            params=each.params,
            distributions={path: space[path] for path in each.params},
            user_attrs={"cause": "non-finite"} if each.state == "FAIL" else {},
        )
        trial.datetime_start = zero + timedelta(minutes=number)
        trial.datetime_complete = None if each.state == "RUNNING" else zero + timedelta(minutes=number + 1)
        study.add_trial(trial)
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
