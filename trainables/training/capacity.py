"""How many trainings a GPU holds at once, measured on it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from trainables.config import TrialConfig
from trainables.training.loop import Run, next_epochs
from trainables.training.process_group import World
from trainables.training.trial import load_pixels

_FILLED = 0.9  # share of a GPU's memory that is given away
_CONTEXT = 600 << 20  # bytes that a process takes on a GPU before its first tensor: a guess, not measured yet


def processes_per_gpu(config: TrialConfig, data_dir: Path | None, pack: int) -> int:
    """How many processes, each with ``pack`` trials of ``config``, fit on this process's GPU, at least 1: by what a few
    steps and an evaluation reserve there. Raises: as `load_pixels`, and torch.OutOfMemoryError where not even one fits.
    """
    device = torch.device("cuda")
    pixels = load_pixels(config, data_dir, device)
    runs = [Run(config, *pixels, World(device=device)) for _ in range(pack)]
    next_epochs(runs, track=lambda steps: islice(steps, 3))
    taken = torch.cuda.max_memory_reserved(device) + _CONTEXT
    return fitting(taken, torch.cuda.get_device_properties(device).total_memory)


def fitting(taken: int, memory: int) -> int:
    """How often ``taken`` bytes fit into a GPU of ``memory`` bytes, at least once."""
    return max(1, int(_FILLED * memory / taken))
