"""A study's folder, made through the real interfaces: the ledger, the trials' records, their checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution, distribution_to_json
from optuna.trial import TrialState, create_trial

from trainables.config import TrialConfig
from trainables.objective import OBJECTIVES, values
from trainables.records.atomic_files import seal
from trainables.records.storage_urls import OWNER
from trainables.records.trial_folder import TrialFolder
from trainables.training.checkpoint import save_weights
from trainables.training.loop import seeded_vae
from vae_models import VAE, ModelConfig

BASE = TrialConfig(model=ModelConfig(width=8, latent_dim=8), dataset="digits", epochs=3, limit_train=256)
SPACE: dict[str, BaseDistribution] = {
    "beta": FloatDistribution(0.1, 10, log=True),
    "model.latent_dim": IntDistribution(2, 32, log=True),
    "model.depth": IntDistribution(0, 1),
}


@dataclass(frozen=True)
class Made:
    """One trial: its drawn parameters, how it ended, and the bits per dimension of its epochs."""

    state: str
    params: dict[str, Any]
    bits: Sequence[float] = ()
    attrs: dict[str, Any] = field(default_factory=dict)


SIX = [
    Made("COMPLETE", {"beta": 1.0, "model.latent_dim": 8, "model.depth": 0}, [3.0, 2.5, 2.6]),
    Made("COMPLETE", {"beta": 4.0, "model.latent_dim": 4, "model.depth": 1}, [2.9, 2.7, 2.65]),
    Made("PRUNED", {"beta": 9.0, "model.latent_dim": 2, "model.depth": 0}, [3.5]),
    Made("FAIL", {"beta": 0.2, "model.latent_dim": 32, "model.depth": 1}, attrs={"cause": "non-finite <script>"}),
    Made("COMPLETE", {"beta": 0.5, "model.latent_dim": 16, "model.depth": 1}, [2.8, 2.45, 2.4]),
    Made("RUNNING", {"beta": 0.3, "model.latent_dim": 16, "model.depth": 0}, [3.1]),
]
"""Best first: trials 4, 0, 1."""


def metrics(epoch: int, bits: float, config: TrialConfig) -> dict[str, float]:
    """A row that keeps the definitions: nelbo is bits times dimensions times ln 2, loss is D + beta R."""
    rate = 20 / (1 + config.beta) + epoch
    distortion = 600 + 100 * bits
    return {
        "epoch": epoch,
        "train_loss": distortion + config.beta * rate,
        "train_distortion": distortion,
        "train_rate": rate,
        "grad_norm": 0.1,
        "images_per_second": 1000.0,
        "val_distortion": distortion + 5,
        "val_rate": rate + 1,
        "val_nelbo": bits * config.model.dimensions * 0.6931471805599453,
        "val_bits_per_dim": bits,
        "val_mse": bits / 100,
        "val_active_units": min(3, config.model.latent_dim),
        "sigma": 0.15,
        "lr": 1e-3,
        "epoch_seconds": 1.5,
        "cpu_seconds": 3.0,
        "gpu_seconds": 1.5,
    }


def record(folder: TrialFolder, config: TrialConfig, bits: Sequence[float], model: VAE | None = None) -> None:
    """A trial's folder, with an untrained model's weights unless one is given."""
    folder.create(config)
    rows = [metrics(k, value, config) for k, value in enumerate(bits, 1)]
    for row in rows:
        folder.append(row)
    if rows:
        best = best_of(rows, config)
        folder.checkpoints.mkdir(exist_ok=True)
        vae = model or seeded_vae(config)
        save_weights(folder.best, vae.config, vae.state_dict(), best)


def best_of(rows: Sequence[dict[str, float]], config: TrialConfig) -> dict[str, float]:
    """The epoch that counts."""
    return min(rows, key=config.criterion)


def write_ledger(
    folder: Path,
    trials: Iterable[Made],
    name: str = "digits_vae",
    base: TrialConfig = BASE,
    space: dict[str, BaseDistribution] = SPACE,
    objective: str = "bits_per_dim",
    best: Sequence[dict[str, float]] = (),
    where: Sequence[str] = (),
) -> None:
    """``study.json`` and ``study.db``; of two objectives each trial's ``best`` row is told, as `best_of`."""
    folder.mkdir(parents=True)
    info = {
        "id": "fixture",
        "name": name,
        "created": "2025-01-01T12:00:00+00:00",
        "storage": None,
        "data_dir": None,
        "seed": 0,
        "command": "python studies/digits_vae.py --trials 6",
        "objective": "val_bits_per_dim" if objective == "bits_per_dim" else objective,
        "trials": 6,
        "where": list(where),
        "base": base.model_dump(mode="json"),
        "space": {path: distribution_to_json(distribution) for path, distribution in space.items()},
        "versions": {"torch": "2.15", "optuna": "5.0"},
        "git_commit": "0123456789abcdef",
        "hardware": {"cpu": "2 cores", "gpus": []},
        "final": {"epochs": 4, "workers": 2},
    }
    (folder / "study.json").write_text(seal(info))
    minimised = OBJECTIVES[objective]
    study = optuna.create_study(
        study_name=name, storage=f"sqlite:///{folder}/study.db", directions=["minimize"] * len(minimised)
    )
    study.set_user_attr(OWNER, "fixture")
    for number, made in enumerate(trials):
        told = None
        if made.state == "COMPLETE":
            config = base.of_trial(number, made.params)
            told = values(objective, config, best[number]) if best else [min(made.bits)]
        study.add_trial(
            create_trial(
                state=TrialState[made.state],
                values=told,
                params=made.params,
                distributions={path: space[path] for path in made.params},
                intermediate_values=dict(enumerate(made.bits, 1)) if len(minimised) == 1 else {},
                user_attrs=made.attrs,
            )
        )


def build_study(folder: Path, trials: Sequence[Made] = SIX, final_bits: Sequence[float] = (), **ledger: Any) -> Path:
    """A whole study's folder; with ``final_bits``, the best trial's config trained once more."""
    base: TrialConfig = ledger.get("base", BASE)
    if ledger.get("objective") == "rate_distortion":
        configs = [base.of_trial(number, made.params) for number, made in enumerate(trials)]
        rows = [
            [metrics(k, bits, config) for k, bits in enumerate(made.bits, 1)]
            for made, config in zip(trials, configs, strict=True)
        ]
        ledger["best"] = [best_of(each, config) if each else {} for each, config in zip(rows, configs, strict=True)]
    write_ledger(folder, trials, **ledger)
    for number, made in enumerate(trials):
        if made.bits:
            config = base.of_trial(number, made.params)
            record(TrialFolder(folder / "trials" / f"{number:04d}"), config, made.bits)
    if final_bits:
        complete = [number for number, made in enumerate(trials) if made.state == "COMPLETE"]
        number = min(complete, key=lambda number: min(trials[number].bits))
        config = base.replace({**trials[number].params, "epochs": 4})
        name = f"final_{number:04d}" if ledger.get("objective") == "rate_distortion" else "final"
        record(TrialFolder(folder / "trials" / name), config, final_bits)
    return folder
