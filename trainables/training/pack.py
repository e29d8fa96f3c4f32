"""How many trainings of one process, in turns, serve a GPU best."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from trainables.config import TrialConfig
from trainables.training.evaluate import calibrated_sigma
from trainables.training.loop import Run
from trainables.training.process_group import World, first_device, is_out_of_memory
from trainables.training.trial import load_pixels

_FILLED = 0.9  # share of a GPU's memory that is given away
_GROWTH = 1.1  # of the images a second, from which twice as many trainings are worth their memory
_SECONDS = 0.5  # of each measurement
_ENDLESS = 1_000_000  # epochs of a training that is only measured


def best_pack(config: TrialConfig, data_dir: Path | str | None, most: int) -> int:
    """How many trainings of ``config`` serve this process's first GPU best, from 1 to ``most``: twice as many, and
    twice as many again, as long as its memory holds them and they train a tenth more images a second together. Raises:
    as `load_pixels`; torch.OutOfMemoryError where not even one fits."""
    world = World(device=first_device())
    pixels = load_pixels(config, data_dir, world.device)
    endless = config.replace({"epochs": _ENDLESS})
    limit = _FILLED * torch.cuda.get_device_properties(world.device).total_memory
    runs: list[Run] = []
    best, speed = 1, 0.0
    while len(runs) < most:
        try:
            runs += [Run(endless, *pixels, world) for _ in range(min(most, max(1, 2 * len(runs))) - len(runs))]
            found = images_per_second(runs)
        except RuntimeError as error:
            if not is_out_of_memory(error) or not speed:
                raise
            break
        if found < _GROWTH * speed or torch.cuda.memory_reserved(world.device) > limit:
            break
        best, speed = len(runs), found
    return best


def images_per_second(runs: Sequence[Run], seconds: float = _SECONDS) -> float:
    """Of all of some runs in turns, measured for about so long, once they have warmed up."""
    first = runs[0]
    calibrated_sigma(first.model, first.validation, first.world)  # for the memory that an evaluation takes
    turns = [run.epochs() for run in runs]
    for each in turns * 2:
        next(each)
    first.world.wait()
    images, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        images += sum(run.batch * (next(each) is True) for run, each in zip(runs, turns, strict=True))
    first.world.wait()
    return images / (time.perf_counter() - began)
