"""Studies of every kind, whose numbers follow a model of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from support.analysis_fixture import BASE, SIX, SPACE, Made, best_of, build_study, record, write_ledger

from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder

DIMENSIONS = 784


FLOOR = 2000.0


def physics(beta: float, latent_dim: int, depth: int, noise: float) -> tuple[float, float, int]:
    """Rate, calibrated distortion (nats) and active units, as of a VAE of 24 useful latents whose variances
    fall geometrically: probabilistic PCA with a KL weight keeps those above it (Lucas et al. 2019)."""
    variance = 40 * 0.8 ** np.arange(24)
    kept = variance[:latent_dim][variance[:latent_dim] > 2 * beta]
    rate = 0.5 * float(np.log(kept / max(beta, 0.02)).sum()) * (1 + 0.1 * depth)
    lost = 4 * float(variance.sum() - kept.sum() + beta * len(kept))
    return rate, FLOOR + lost - 25 * depth + noise, len(kept)


def synthetic(
    folder: Path,
    count: int,
    space: dict[str, BaseDistribution] = SPACE,
    draw: Callable[[np.random.Generator], dict[str, Any]] | None = None,
    states: Sequence[str] = ("COMPLETE", "COMPLETE", "COMPLETE", "PRUNED"),
    epochs: int = 12,
    seed: int = 0,
    objective: str = "bits_per_dim",
) -> Path:
    """A study of ``count`` trials whose numbers follow `physics`, through the ledger and the records."""
    rng = np.random.default_rng(seed)
    made, rows = [], []
    for number in range(count):
        params = draw(rng) if draw else drawn(rng)
        config = BASE.of_trial(number, params)
        rate, distortion, active = physics(
            config.beta, config.model.latent_dim, config.model.depth, rng.normal(scale=6)
        )
        state = states[number % len(states)]
        seen = 0 if state == "FAIL" else 4 if state in ("PRUNED", "RUNNING") else epochs
        told = [row(k, epochs, rate, distortion, active) for k in range(1, seen + 1)]
        rows.append(told)
        made.append(Made(state, params, [each["val_bits_per_dim"] for each in told]))
    base = BASE.replace({"epochs": epochs})
    best = []
    if objective == "rate_distortion":
        configs = [base.of_trial(number, each.params) for number, each in enumerate(made)]
        best = [best_of(told, config) if told else {} for told, config in zip(rows, configs, strict=True)]
    write_ledger(folder, made, base=base, space=space, objective=objective, best=best)
    for number, (each, told) in enumerate(zip(made, rows, strict=True)):
        record = TrialFolder(folder / "trials" / f"{number:04d}")
        record.create(base.of_trial(number, each.params))
        for line in told:
            record.append(line)
    return folder


def drawn(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "beta": float(np.exp(rng.uniform(math.log(0.1), math.log(10)))),
        "model.latent_dim": round(2 ** rng.uniform(1, 5)),
        "model.depth": int(rng.integers(0, 2)),
    }


def row(epoch: int, epochs: int, rate: float, distortion: float, active: int) -> dict[str, float]:
    late = 1 + 0.4 * (math.exp(-epoch / 3) - math.exp(-epochs / 3))
    nelbo = rate + distortion * late
    return {
        "epoch": epoch,
        "train_loss": nelbo,
        "train_distortion": 90 * late,
        "train_rate": rate,
        "grad_norm": 0.1,
        "images_per_second": 1000.0,
        "val_distortion": 250 + distortion * late / 4,  # of a wider likelihood than the calibrated one
        "val_rate": rate,
        "val_nelbo": nelbo,
        "val_bits_per_dim": nelbo / (DIMENSIONS * math.log(2)),
        "val_mse": 0.01 * late,
        "val_active_units": active,
        "sigma": 0.15,
        "lr": 1e-3,
        "epoch_seconds": 1.5,
    }


WIDE: dict[str, BaseDistribution] = {
    **SPACE,
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "optimizer": CategoricalDistribution(["adam", "adamw"]),
}


OWNED: dict[str, BaseDistribution] = {
    "beta": FloatDistribution(0.05, 20, log=True),
    "model.architecture": CategoricalDistribution(["convolutional", "linear"]),
    "model.activation": CategoricalDistribution(["silu", "relu"]),
    "model.prior": CategoricalDistribution(["standard_normal", "vamp"]),
    "model.pseudo_inputs": IntDistribution(20, 80),
}


def drawn_owned(rng: np.random.Generator) -> dict[str, Any]:
    """Of parameters that other parameters' choices have a use for or not."""
    return {
        "beta": float(np.exp(rng.uniform(math.log(0.1), math.log(10)))),
        "model.architecture": str(rng.choice(["convolutional", "linear"])),
        "model.activation": str(rng.choice(["silu", "relu"])),
        "model.prior": str(rng.choice(["standard_normal", "vamp"])),
        "model.pseudo_inputs": int(rng.integers(20, 81)),
    }


CASES: dict[str, Callable[[Path], Path]] = {
    "six": lambda folder: build_study(folder, SIX, final_bits=[2.6, 2.4, 2.35, 2.37]),
    "empty": lambda folder: build_study(folder, []),
    "one": lambda folder: build_study(folder, SIX[:1]),
    "failed": lambda folder: build_study(folder, [SIX[3]] * 4),
    "waiting": lambda folder: build_study(folder, [Made("WAITING", {})]),
    "running": lambda folder: synthetic(folder, 8, states=("RUNNING", "FAIL")),
    "beta 0": lambda folder: synthetic(
        folder, 18, {"beta": FloatDistribution(0, 8)}, lambda rng: {"beta": max(0.0, rng.uniform(-1, 8))}
    ),
    "one beta": lambda folder: synthetic(
        folder, 16, {"model.depth": IntDistribution(0, 1)}, lambda rng: {"model.depth": int(rng.integers(2))}
    ),
    "owned": lambda folder: synthetic(folder, 16, OWNED, drawn_owned),
    "five parameters": lambda folder: synthetic(
        folder,
        10,
        WIDE,
        lambda rng: {**drawn(rng), "lr": 10 ** rng.uniform(-4, -2), "optimizer": str(rng.choice(["adam", "adamw"]))},
    ),
}


def repeat(folder: Path, number: int, values: list[float], base: object = BASE) -> None:
    """Repeats of a trial of SIX whose best epochs have these bits per dimension."""
    config = BASE.of_trial(number, SIX[number].params)
    for k, value in enumerate(values, 1):
        record(TrialFolder(StudyLayout(folder).repeat(number, k)), config.of_repeat(k), [3.0, 2.9, value])
