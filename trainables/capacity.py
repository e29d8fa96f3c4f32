"""How many trainings a GPU holds at once, measured on it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from trainables.config import TrialConfig
from trainables.loop import Run, next_epochs
from trainables.train import load_pixels

FILLED = 0.9
"""Share of a GPU's memory that is given away."""
CONTEXT = 600 << 20
"""Bytes that a process takes on a GPU before its first tensor, about."""


def trials_per_gpu(config: TrialConfig, data_dir: Path | None) -> int:
    """How many processes that train ``config`` fit on this process's GPU, at least 1: by what a few steps of
    it and one evaluation reserve there.

    Raises:
        UserError: see `trainables.train.load_pixels`.
    """
    device = torch.device("cuda")
    run = Run(config, *load_pixels(config, data_dir, device))
    next_epochs([run], track=lambda steps: islice(steps, 3))
    taken = torch.cuda.max_memory_reserved(device) + CONTEXT
    return fitting(taken, torch.cuda.get_device_properties(device).total_memory)


def fitting(taken: int, memory: int) -> int:
    """How often ``taken`` bytes fit into a GPU of ``memory`` bytes, at least once."""
    return max(1, int(FILLED * memory / taken))
