"""A study of small trials, an epoch's row, and a driver without Ray, for tests of a study's parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution
from rich.console import Console

from studies.record.ledger import Ledger
from studies.record.study_folder import StudyFolder
from studies.search.lifecycle import Lifecycle, Session, search_trials
from studies.study import Study
from studies.watch.live_view import View
from studies.watch.stopping import Stop
from trainables.config import TrialConfig
from trainables.metrics import Metrics
from trainables.records.storage_urls import storage_url
from trainables.slots.messages import Job
from vae_models import ModelConfig

CONFIG = TrialConfig(model=ModelConfig(width=4, latent_dim=3), epochs=3, limit_train=200, limit_val=50)


def study(definitions: int = 2, **fields: object) -> Study:
    """By definitions 1 as a folder of before goes on: of bits per dimension."""
    space = {"beta": FloatDistribution(0.1, 10, log=True), "model.latent_dim": CategoricalDistribution((2, 4))}
    older = {"base": CONFIG.replace({"definitions": 1}), "objective": "bits_per_dim"} if definitions == 1 else {}
    plan = {"name": "small", "base": CONFIG, "space": space, "trials": 4} | older | fields
    return Study(**plan)  # type: ignore[arg-type]


def row(epoch: int, value: float, rate: float = 9.0) -> Metrics:
    """What a driver reads of an epoch; ``value`` stands for the bits per dimension, and for the distortion."""
    measured = {"val_bits_per_dim": value, "val_distortion": value, "val_rate": rate}
    return {"epoch": epoch, **measured, "epoch_seconds": 0.0, "images_per_second": 99.0}


def curve(config: TrialConfig, epoch: int) -> Metrics:
    """What a config measures at an epoch, a function of both: rate falls with the KL weight, distortion rises."""
    rate, distortion = np.random.default_rng([config.seed, epoch]).normal([12 / (1 + config.beta), 5], [0.5, 2])
    distortion += 4 * np.log1p(config.beta) + 30 / epoch
    return row(epoch, float(distortion), float(rate)) | {"val_active_units": config.seed % 4}


def session(path: Path, planned: Study, owner: str = "") -> Session:
    """A driver's, as a new process opens it."""
    path.mkdir(exist_ok=True)
    view = View(planned.name, planned.trials, planned.base.epochs, Console(quiet=True), planned.minimised)
    return Session(Ledger(planned, storage_url(path, None), owner), StudyFolder(path), None, view, Stop())


def lifecycle(path: Path, planned: Study) -> tuple[Lifecycle, Session]:
    """Of the search's trials."""
    opened = session(path, planned)
    return Lifecycle(opened, [search_trials(opened)]), opened


def train(
    trainings: Lifecycle, job: Job, measure: Callable[[TrialConfig, int], Metrics] = curve, until: int | None = None
) -> bool:
    """Train a job, as Tune would, to its end or ``until`` an epoch; whether it would go on."""
    for epoch in range(job.recorded + 1, 1 + (until or job.config.epochs)):
        if not trainings.report(job.id, measure(job.config, epoch)):
            return False
    if until is None:
        trainings.complete(job.id)
    return True
