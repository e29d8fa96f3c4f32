"""Training on a GPU: ours against a plain loop with 4 loader workers, each measurement a process of its own.

``python tests/benchmarks/gpu.py VARIANT NETWORK`` prints one as JSON. Needs torch, numpy, and what
`trainables.training` imports; not Ray.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rounds import Comparison, alternate
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[2]))  # where the project is not installed

from trainables.config import TrialConfig
from trainables.training import checkpoint
from trainables.training.batches import Pixels
from trainables.training.loop import Epoch, Run, seeded_vae
from trainables.training.pack import images_per_second
from trainables.training.process_group import World, first_device
from vae_models import ModelConfig
from vae_models.priors import kl_per_latent

NETWORKS = {
    "plain": ModelConfig(latent_dim=32),
    "depth 1": ModelConfig(latent_dim=32, depth=1),
    "cifar": ModelConfig(latent_dim=256, depth=2, width=64, image_shape=(3, 32, 32)),
}
BATCH = 128
ENDLESS = 1_000_000
VARIANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "one run": (1, {}),
    "one run, bfloat16": (1, {"precision": "bf16"}),
    "one run, compiled": (1, {"compile": True}),
    "one run, bfloat16, compiled": (1, {"precision": "bf16", "compile": True}),
    "4 runs": (4, {}),
    "4 runs, bfloat16": (4, {"precision": "bf16"}),
    "16 runs": (16, {}),
    "32 runs": (32, {}),
}
TABLE = {
    "plain": ["one run", "16 runs", "one run, compiled", "4 runs", "32 runs", "one run, bfloat16"],
    "depth 1": ["one run", "16 runs", "one run, compiled", "4 runs", "one run, bfloat16"],
    "cifar": ["one run, bfloat16", "4 runs, bfloat16", "one run", "4 runs", "one run, bfloat16, compiled"],
}
"""What is measured of each network, the plain loop first."""


class Decoded(Dataset[torch.Tensor]):
    """Images as a plain script has them: one at a time, made a float tensor in a loader's worker."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self.images[row]).float() / 255


def some_images(model: ModelConfig, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *model.image_shape), dtype=np.uint8)


def plain_loop(model: ModelConfig) -> dict[str, float]:
    """Eager float32, the loss read at every step."""
    images, device = some_images(model, 128 * 200), first_device()
    torch.backends.cudnn.deterministic = False  # as a plain script has it
    vae = seeded_vae(TrialConfig(model=model)).to(device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    loader = DataLoader(Decoded(images), BATCH, shuffle=True, num_workers=4, persistent_workers=True, pin_memory=True)
    seconds, total = [], 0.0
    for _ in range(3):
        began = time.perf_counter()
        for batch in loader:
            x = batch.to(device, non_blocking=True)
            output, posterior, _ = vae(x, torch.randn(len(x), model.latent_dim, device=device))
            loss = F.mse_loss(torch.tanh(output), 2 * x - 1) + kl_per_latent(posterior).sum(1).mean() / x[0].numel()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        seconds.append(time.perf_counter() - began)
    return {"images_per_second": len(images) / min(seconds)}


def ours(model: ModelConfig, count: int, fields: dict[str, Any], deterministic: bool = True) -> dict[str, float]:
    """``count`` runs in turns, captured as the product does; or with whatever algorithms cuDNN likes."""
    device = first_device()
    torch.backends.cudnn.deterministic = deterministic
    pixels = Pixels(some_images(model, 54_000), device=device)
    base = TrialConfig(model=model, batch_size=BATCH, epochs=ENDLESS).replace(fields)
    began = time.perf_counter()
    runs = [Run(base.replace({"seed": k}), pixels, pixels.spread(64), World(device=device)) for k in range(count)]
    torch.cuda.synchronize()
    begun = (time.perf_counter() - began) / count
    speed = images_per_second(runs, 3.0)
    mib = torch.cuda.max_memory_reserved() / 2**20
    return {"images_per_second": speed, "seconds_to_begin_a_run": begun, "memory_mib": mib}


def whole_epochs(model: ModelConfig, count: int) -> dict[str, float]:
    """Epochs of 54,000 images with evaluation on 6,000 and a checkpoint each, against training alone: the share that
    is not training."""
    device = first_device()
    images = some_images(model, 60_000)
    train, validation = Pixels(images[:54_000], device=device), Pixels(images[54_000:], device=device)
    base = TrialConfig(model=model, batch_size=BATCH, epochs=ENDLESS)
    runs = [Run(base.replace({"seed": k}), train, validation, World(device=device)) for k in range(count)]
    alone = images_per_second(runs, 2.0)
    runs = [Run(base.replace({"seed": k, "epochs": 4}), train, validation, World(device=device)) for k in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        torch.cuda.synchronize()
        began, turns, seen = time.perf_counter(), {run: run.epochs() for run in runs}, 0
        while turns:
            for run, each in list(turns.items()):
                turn = next(each, None)
                if turn is None:
                    del turns[run]
                elif isinstance(turn, Epoch):
                    seen += run.steps * run.batch
                    checkpoint.save(Path(folder), checkpoint.snapshot(turn, run.config))
        torch.cuda.synchronize()
        whole = seen / (time.perf_counter() - began)
    return {"images_per_second": whole, "share_beside_training": 1 - whole / alone}


def measured(variant: str, network: str) -> dict[str, float]:
    """In this process."""
    model = NETWORKS[network]
    others: dict[str, Callable[[ModelConfig], dict[str, float]]] = {
        "plain loop": plain_loop,
        "one run, not deterministic": lambda model: ours(model, 1, {}, deterministic=False),
        "whole epochs of one run": lambda model: whole_epochs(model, 1),
        "whole epochs of 16 runs": lambda model: whole_epochs(model, 16),
    }
    return others[variant](model) if variant in others else ours(model, *VARIANTS[variant])


def throughput(rounds: int) -> list[Comparison]:
    """What is in `TABLE` against the plain loop, in turns; nothing without a GPU."""
    found = []
    for network, variants in TABLE.items() if torch.cuda.is_available() else ():
        turns = {v: lambda v=v, n=network: in_a_process(v, n)["images_per_second"] for v in ("plain loop", *variants)}
        speeds = alternate(turns, rounds)
        found += [
            Comparison(f"GPU, {network}", v, "images/s", speeds[v], "plain loop", speeds["plain loop"])
            for v in variants
        ]
    return found


def in_a_process(variant: str, network: str, seconds: float | None = None) -> dict[str, float]:
    """`measured` in one of its own. Raises: RuntimeError with its last word, or where it takes longer."""
    command = [sys.executable, __file__, variant, network]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError("not measured: the time was up") from error
    if ended.returncode:
        raise RuntimeError((ended.stderr.strip().splitlines() or ["no word"])[-1])
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def rows(until: float) -> Iterator[dict[str, Any]]:
    """Every measurement as it is made, each in a process of its own, against the plain loop's; the last is over at
    ``until``, by `time.monotonic`. What matters most of each network comes first."""
    plan = [(network, "plain loop") for network in TABLE]
    rest = max(map(len, TABLE.values()))
    plan += [(network, each[k]) for k in range(rest) for network, each in TABLE.items() if k < len(each)]
    plan += [("plain", f"whole epochs of {count}") for count in ("one run", "16 runs")]
    plan += [("plain", "one run, not deterministic")]
    plain: dict[str, float] = {}
    for network, variant in plan:
        row: dict[str, Any] = {"network": network, "variant": variant}
        try:
            row |= in_a_process(variant, network, max(0.1, until - time.monotonic()))
        except RuntimeError as error:
            yield row | {"error": str(error)}
            continue
        if variant == "plain loop":
            plain[network] = row["images_per_second"]
        yield row | {"against_plain_loop": row["images_per_second"] / plain[network]} if network in plain else row


if __name__ == "__main__":
    print(json.dumps(measured(*sys.argv[1:])))
