"""One trial on this machine without Ray: in this process, or in one process a GPU under DDP."""

import gc
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from trainables.config import TrialConfig
from trainables.data.datasets import load_dataset
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder
from trainables.training.loop import NonFiniteError, Track
from trainables.training.process_group import World, first_device, use_gpu
from trainables.training.trial import train

_Training = Callable[[World], Iterator[Metrics]]  # that of one process, which yields its rows


def train_local(
    config: TrialConfig, folder: TrialFolder, data_dir: Path | None, workers: int | None = None, track: Track = iter
) -> Iterator[Metrics]:
    """Train ``config`` in ``folder``, recording and yielding each epoch's row that was not recorded before, in so many
    ``workers``; by default a process a GPU, or one where there is none. One process alone iterates its steps through
    ``track``. Raises: as `train` and `known_images`; ProcessRaisedException where one of several processes raised
    another error."""
    folder.create(config)
    images = known_images(config, folder, data_dir)
    workers = workers or max(1, torch.cuda.device_count())
    train_in = partial(train, config, folder, data_dir, recorded=len(folder.rows()), images=images)
    rows = train_in(World(device=first_device()), track=track) if workers == 1 else _spawned(train_in, workers)
    for row in rows:
        folder.append(row)
        yield row


def known_images(config: TrialConfig, folder: TrialFolder, data_dir: Path | None) -> Mapping[str, Any]:
    """What the images of a training are known by, as of its beginning. Raises: UserError where others are there now."""
    data = load_dataset(config.dataset, data_dir, config.image_size)
    if (known := folder.keep_images(data.identity)) != data.identity:
        raise UserError(
            f"{folder.path} began with other images of {config.dataset} than are there now\n"
            "put those back, or move it away to begin anew: some that would test it now were trained on"
        )
    return known


def _spawned(train_in: _Training, workers: int) -> Iterator[Metrics]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    queue: Queue[Metrics | Exception] = multiprocessing.get_context("spawn").Queue()
    processes = spawn(_worker, (url, workers, train_in, queue), nprocs=workers, join=False)
    try:
        ended = False
        while not ended:
            ended = processes.join(timeout=0)  # before the queue is emptied: what they put there last is read, too
            with suppress(Empty):
                while True:
                    news = queue.get(timeout=0.2)
                    if isinstance(news, Exception):
                        raise news
                    yield news
    finally:
        for process in processes.processes:
            process.kill()  # those that have ended do not mind
            process.join()


def _worker(rank: int, url: str, workers: int, train_in: _Training, queue: "Queue[Metrics | Exception]") -> None:
    device = torch.device("cpu")
    if workers <= torch.cuda.device_count():
        device = torch.device("cuda", rank)
        use_gpu(device)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=url, rank=rank, world_size=workers)
    try:
        for row in train_in(World(rank, workers, device)):
            if rank == 0:
                queue.put(row)
    except (UserError, NonFiniteError) as error:  # of the run, and so of every rank
        if rank == 0:
            queue.put(error)
    gc.collect()  # DDP's cycles go before their group does
    dist.destroy_process_group()
    queue.close()
    queue.join_thread()
    os._exit(0)  # a normal exit unloads libraries under their running C++ threads, which was seen to abort
