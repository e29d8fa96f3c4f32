"""How many trainings a GPU of the cluster holds."""

from __future__ import annotations

from pathlib import Path

import ray

from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.slots.resources import Placement
from trainables.training.capacity import processes_per_gpu


def measured_processes_per_gpu(
    config: TrialConfig, data_dir: Path | None, pack: int, placement: Placement, patience: float
) -> int:
    """How many processes, each with ``pack`` trials of ``config``, fit on a GPU: measured on one that is free.

    Raises:
        UserError: where none is within ``patience`` seconds, or not even one fits.
    """
    measure = ray.remote(num_cpus=1, num_gpus=1, max_calls=1, **placement.options())(processes_per_gpu)
    try:
        return int(ray.get(measure.remote(config, data_dir, pack), timeout=patience))
    except ray.exceptions.RayError as error:  # a timeout is one too
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"--trials-per-gpu auto could not measure: {reason}\ngive a number instead") from error
