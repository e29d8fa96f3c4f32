"""What a data set costs: to prepare, to open, and in the memory of the processes that share it.

``python tests/benchmarks/data.py NAME`` opens the set, trains a batch of it, says how long that took, and
waits for a line before it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import psutil
from rounds import Comparison

SETS = ("mnist", "cifar10")
MB = 1 << 20


def opened(name: str) -> dict[str, float]:
    """Seconds to open the set, and to its first batch after that."""
    from trainables.data.datasets import load_dataset
    from trainables.errors import UserError
    from trainables.training.batches import Pixels

    began = time.perf_counter()
    try:
        data = load_dataset(name, may_download=False)
    except UserError as error:
        raise SystemExit(str(error)) from None
    seconds = time.perf_counter() - began
    Pixels(data.train.images).batch(np.random.default_rng(0).permutation(len(data.train.images))[:128])
    first = time.perf_counter() - began - seconds
    data.train.images.sum(dtype=np.int64)  # touches every page: all are resident
    return {"open": seconds, "first batch": first, "bytes": data.train.images.nbytes}


def start(name: str, cache: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, __file__, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"VAE_CACHE_DIR": cache},
    )
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise FileNotFoundError(name)
    return process, json.loads(line)


def twice(name: str) -> tuple[float, float, float, float, float]:
    """Seconds to prepare and open, to open again, and to a first batch; MiB that one of two processes has of
    the training images, and MiB of these."""
    with tempfile.TemporaryDirectory() as cache:
        first, cold = start(name, cache)
        second, warm = start(name, cache)
        maps = [m for m in psutil.Process(first.pid).memory_maps() if "train_images" in m.path]
        # the proportional set size: of a page that two processes map, half counts for each
        share = sum(m.pss for m in maps) / MB
        for process in (first, second):
            process.communicate("\n")
    return cold["open"], warm["open"], warm["first batch"], share, cold["bytes"] / MB


def costs(rounds: int) -> list[Comparison]:
    """(e) Opening a prepared set against preparing it; a process's share of memory against the set's size."""
    found = []
    for name in SETS:
        try:
            turns = [twice(name) for _ in range(rounds)]
        except FileNotFoundError:
            continue
        cold, warm, batch, shares, sizes = (list(values) for values in zip(*turns, strict=True))
        found += [
            Comparison(f"data, {name}", "opening it, prepared", "s", warm, "preparing it", cold),
            Comparison(f"data, {name}", "its first batch, opened", "s", batch, "preparing it", cold),
            Comparison(f"data, {name}", "a process's share of two", "MiB", shares, "its images", sizes),
        ]
    return found


if __name__ == "__main__":
    print(json.dumps(opened(sys.argv[1])), flush=True)
    sys.stdin.readline()
