"""How long an epoch of a config takes here, in seconds of measuring: a few steps and one batch of the evaluation, after
one of each to warm up, scaled to the whole of both. In a process of its own, whose memory goes with it."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainables.config import TrialConfig
from trainables.errors import UserError

if TYPE_CHECKING:  # torch is for the process that measures
    from trainables.training.batches import Pixels
    from trainables.training.process_group import World

_STEPS = 6  # at most measured, and at least 2
_STEP_SECONDS = 3.0  # after which no third step is measured
_FEW = 32  # images of a step that is tried first: of a large model a whole batch takes a CPU many seconds
_EVALUATED = 500  # images at most, the evaluation's batch; no more than a training's, which takes as much
_PATIENCE = 90.0  # seconds for a config


@dataclass(frozen=True)
class Pace:
    """What an epoch of training and evaluation takes, alone on a device: "cpu" with so many threads, or "cuda"."""

    seconds: float
    error: float  # of the mean step, as a share of it: two standard errors, or a half of a single step
    device: str


def paces(configs: Sequence[TrialConfig], data_dir: Path | None, threads: int) -> list[Pace]:
    """That of each config. Raises: UserError where one does not fit into memory, or takes more than `_PATIENCE`
    seconds to measure."""
    ours, theirs = Pipe(duplex=False)
    program = "from trainables.training.probe import measure_for; measure_for()"
    asked = [str(theirs.fileno()), str(threads), str(data_dir or ""), *(each.model_dump_json() for each in configs)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for this process alone
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, *asked],
        stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=[theirs.fileno()],
    )
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    found: list[Pace] = []
    try:
        for config in configs:
            if not ours.poll(_PATIENCE):
                raise UserError(
                    f"a few steps took more than {_PATIENCE:.0f} s: {_words(config)}\nmake the model smaller"
                )
            answer = ours.recv()
            if not isinstance(answer, Pace):
                raise UserError(
                    f"{_words(config)} cannot be trained here: {answer}\nmake it or the batch smaller, or change it"
                )
            found.append(answer)
    except EOFError as error:
        raise UserError(
            f"{_words(configs[len(found)])} was ended while it was measured\nit may need more memory than there is"
        ) from error
    finally:
        process.kill()
        process.wait()
    return found


def _words(config: TrialConfig) -> str:
    return f"a model of {config.model.latent_dim} latents, {config.model.layers}, {config.batch_size} images a batch"


def measure_for() -> None:
    """Answer `paces`, which has started this process, through the pipe that is the first of its arguments."""
    pipe, threads, data_dir, *asked = sys.argv[1:]
    answers = Connection(int(pipe), readable=False)
    warnings.simplefilter("ignore")  # what there is to say of the data, the process that asks has said
    import torch

    from trainables.training.process_group import World, first_device, keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(int(threads))
    for config in map(TrialConfig.model_validate_json, asked):
        try:
            answers.send(_pace(config, Path(data_dir) if data_dir else None, World(device=first_device())))
        except Exception as error:  # memory that is not there, a loss that is no number, data that has gone
            answers.send((str(error).splitlines() or [type(error).__name__])[0][:200])
            return


def _pace(config: TrialConfig, data_dir: Path | None, world: "World") -> Pace:
    from trainables.training.loop import Run
    from trainables.training.process_group import rest
    from trainables.training.trial import load_pixels

    train, validation = load_pixels(config, data_dir, world.device)
    batch = min(config.batch_size, len(train))
    # compiling takes longer than this measurement
    config = config.replace({"compile": False})

    def measured(images: int, steps: int, part: "Pixels") -> tuple[np.ndarray, float]:
        """Seconds of steps of so many images, and of an evaluation of the part, after one of each to warm up."""
        marks = list[float]()
        one = config.replace({"batch_size": images, "epochs": 2})
        is_warm = iter((False, True))

        def few(all_steps: range) -> Iterator[int]:
            return _timed(islice(all_steps, steps), marks, world) if next(is_warm) else islice(all_steps, 1)

        for turn in Run(one, train, part, world).epochs(few):
            rest(turn)
        return np.diff(marks), _now(world) - marks[-1]

    images = min(batch, _FEW)
    part = validation.spread(max(2, images))
    steps, evaluated = measured(images, 3, part)
    if steps.min() * batch / images < _STEP_SECONDS / 2:  # else what a step takes besides its images is nothing
        images = batch
        part = validation.spread(min(_EVALUATED, max(2, batch)))
        steps, evaluated = measured(batch, _STEPS, part)
    an_image, others = evaluated / len(part), len(validation) - len(part)
    if config.model.multi_rate and others:  # a part of its evaluation is the same for any number of images
        more = validation.spread(min(len(validation), 4 * len(part)))
        an_image = max(0.0, measured(images, 1, more)[1] - evaluated) / (len(more) - len(part))
    error = 2 * steps.std(ddof=1) / np.sqrt(len(steps)) / steps.mean() if len(steps) > 1 else 0.5
    whole = len(train) // batch * batch / images
    seconds = whole * float(steps.mean()) + evaluated + an_image * others
    return Pace(seconds, float(error), world.device.type)


def _timed(steps: Iterable[int], marks: list[float], world: "World") -> Iterator[int]:
    """Some of the steps; when each began, and the last ended, goes into ``marks``."""
    for step in steps:
        if len(marks) > 1 and _now(world) - marks[0] > _STEP_SECONDS:
            break
        marks.append(_now(world))
        yield step
    marks.append(_now(world))


def _now(world: "World") -> float:
    world.wait()
    return time.perf_counter()
