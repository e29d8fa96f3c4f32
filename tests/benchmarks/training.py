"""Training throughput: ours against a plain loop, and both against what the machine can do.

Every measurement is a process of its own, so that none finds another's threads or memory:
``python tests/benchmarks/training.py VARIANT NETWORK`` prints images per second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rounds import Comparison, alternate
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.v2.functional import to_dtype, to_image

from trainables.config import TrialConfig
from trainables.training import loop
from trainables.training.batches import Pixels
from trainables.training.loop import Run, fit, seeded_vae
from trainables.training.optimization import make_optimizer
from trainables.training.pack import images_per_second
from trainables.training.process_group import keep_freed_memory
from vae_models import ModelConfig
from vae_models.blocks import UpConv
from vae_models.priors import kl_per_latent


@dataclass(frozen=True)
class Network:
    """One of the three that a study trains, and how many images a measurement takes."""

    model: ModelConfig
    images: int
    batch: int = 128


NETWORKS = {
    "plain": Network(ModelConfig(latent_dim=32), 128 * 100),
    "pp": Network(ModelConfig(latent_dim=32, depth=1), 128 * 20),
    "cifar": Network(ModelConfig(latent_dim=256, depth=2, width=64, image_shape=(3, 32, 32)), 128 * 3),
}
VARIANTS = {
    "one": "one trial on all cores",
    "bf16": "one trial, in bfloat16",
    "each": "a trial a core, their sum",
    "each bf16": "a trial a core, in bfloat16",
    "pack": "4 trials in turns in one process, their sum",
}
PACK = 4
EPOCHS = 3
"""Of which the fastest counts: the first warms up."""


class Decoded(Dataset[torch.Tensor]):
    """Images as a plain script has them: one at a time, made a float tensor in a loader's worker."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> torch.Tensor:
        return to_dtype(to_image(self.images[row].transpose(1, 2, 0).copy()), torch.float32, scale=True)


def some_images(network: Network) -> np.ndarray:
    shape = (network.images, *network.model.image_shape)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def as_published(module: nn.Module) -> nn.Module:
    """The same function, with every `UpConv` taken apart again."""
    for name, child in module.named_children():
        if isinstance(child, UpConv):
            plain = nn.Conv2d(child.in_channels, child.out_channels, 3, padding=1)
            plain.load_state_dict(child.state_dict())
            setattr(module, name, nn.Sequential(nn.Upsample(scale_factor=2), plain))
        else:
            as_published(child)
    return module


def plain_epochs(model: ModelConfig, images: np.ndarray, batch: int, epochs: int) -> Iterator[float]:
    """A plain loop: a DataLoader of 4 workers, eager float32, the loss read at every step. Yields the seconds
    of each epoch."""
    vae = as_published(seeded_vae(TrialConfig(model=model)))
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # of 4 workers, on fewer cores
    loader = DataLoader(Decoded(images), batch, shuffle=True, num_workers=4, persistent_workers=True)
    total = 0.0
    for _ in range(epochs):
        began = time.perf_counter()
        for x in loader:
            output, posterior, _ = vae(x, torch.randn(len(x), model.latent_dim))
            loss = F.mse_loss(torch.tanh(output), 2 * x - 1) + kl_per_latent(posterior).sum(1).mean() / x[0].numel()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield time.perf_counter() - began


def reference(network: Network) -> float:
    """Images per second of the plain loop."""
    return network.images / min(plain_epochs(network.model, some_images(network), network.batch, EPOCHS))


def ours(network: Network, precision: str = "float32", threads: int | None = None, keep: bool = True) -> float:
    if threads:
        torch.set_num_threads(threads)
    if keep:
        keep_freed_memory()
    images = some_images(network)
    config = TrialConfig.model_validate(
        {"model": network.model, "batch_size": network.batch, "epochs": EPOCHS, "precision": precision}
    )
    epochs = fit(config, Pixels(images), Pixels(images[:64]))
    return max(epoch.metrics["images_per_second"] for epoch in epochs)


def packed(network: Network) -> float:
    """Images per second of PACK trials in turns, over all of them."""
    keep_freed_memory()
    images = Pixels(some_images(network))
    base = TrialConfig(model=network.model, batch_size=network.batch, epochs=1_000)
    runs = [Run(base.replace({"seed": seed}), images, images.spread(64)) for seed in range(PACK)]
    return images_per_second(runs, EPOCHS * network.images / 1_000)


def measured(variant: str, name: str) -> float:
    """Images per second of a fresh process; of those called "each", the sum of one a core at once."""
    count = torch.get_num_threads() if variant.startswith("each") else 1
    command = [sys.executable, __file__, variant, name]

    def one(_: int) -> float:
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(one, range(count)))


def resident() -> float:
    """The most memory that this process alone has had, MiB."""
    status = Path("/proc/self/status").read_text()  # getrusage counts what forked it, too
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory(rounds: int) -> list[Comparison]:
    """(e) The most memory that a training process has, libraries, model and batches; the plain loop's without
    its loaders."""
    found = []
    for name in NETWORKS:
        turns = {v: lambda v=v, n=name: measured(v, n) for v in ("memory", "reference memory")}
        peaks = alternate(turns, rounds)
        what = "the most of one process"
        found.append(
            Comparison(f"memory, {name}", what, "MiB", peaks["memory"], "plain loop", peaks["reference memory"])
        )
    return found


def throughput(rounds: int) -> list[Comparison]:
    """(a) Each variant against the plain loop, in turns."""
    found = []
    for name in NETWORKS:
        times = alternate({v: lambda v=v, n=name: measured(v, n) for v in ("reference", *VARIANTS)}, rounds)
        found += [
            Comparison(f"training, {name}", VARIANTS[v], "images/s", times[v], "plain loop", times["reference"])
            for v in VARIANTS
        ]
    return found


def parts(rounds: int) -> list[Comparison]:
    """What each optimisation gains: one trial against the same without it."""
    without = {"unkept": "without kept memory", "unfused": "upsampling apart"}
    found = []
    for name in NETWORKS:
        times = alternate({v: lambda v=v, n=name: measured(v, n) for v in ("one", *without)}, rounds)
        found += [
            Comparison(f"parts, {name}", VARIANTS["one"], "images/s", times["one"], label, times[v])
            for v, label in without.items()
        ]
    return found


def multi_rate(rounds: int) -> list[Comparison]:
    """What conditioning on the KL weight costs a step: a network for all of them against one for one."""
    found = []
    for name in NETWORKS:
        times = alternate({v: lambda v=v, n=name: measured(v, n) for v in ("multi-rate", "one")}, rounds)
        what = "one trial, every KL weight"
        found.append(Comparison(f"step, {name}", what, "images/s", times["multi-rate"], "one KL weight", times["one"]))
    return found


def flops_per_image(name: str) -> float:
    """Forward, backward and optimiser of our network, a multiplication and an addition as two."""
    network = NETWORKS[name]
    config = TrialConfig(model=network.model)
    model = seeded_vae(config)
    optimizer = make_optimizer(config, model)
    x = torch.rand(8, *network.model.image_shape)
    with FlopCounterMode(display=False) as counter:
        output, posterior, _ = model(x, torch.randn(8, network.model.latent_dim))
        (model.likelihood.distortion(output, x) + kl_per_latent(posterior).sum(1)).sum().backward()
        optimizer.step()
    return counter.get_total_flops() / 8


def best_rate() -> float:
    """FLOP/s, float32, all cores: the faster of a large matrix product and a large convolution."""
    a, x, weight = torch.rand(2048, 2048), torch.rand(32, 128, 32, 32), torch.rand(128, 128, 3, 3)
    kinds = [(2 * 2048**3, lambda: a @ a), (2 * 32 * 128 * 128 * 9 * 32 * 32, lambda: F.conv2d(x, weight, padding=1))]
    best = 0.0
    for operations, work in kinds:
        for _ in range(6):
            began = time.perf_counter()
            work()
            best = max(best, operations / (time.perf_counter() - began))
    return best


def limit(rounds: int) -> list[Comparison]:
    """(b) The FLOP/s that training reaches, against the best rate measured in the same turn."""
    found = []
    for name in NETWORKS:
        work = flops_per_image(name)
        turns = {"ours": lambda n=name, w=work: measured("one", n) * w / 1e9, "best": lambda: best_rate() / 1e9}
        rates = alternate(turns, rounds)
        what = f"{work / 1e6:.1f} MFLOP an image"
        found.append(Comparison(f"limit, {name}", what, "GFLOP/s", rates["ours"], "best operation", rates["best"]))
    return found


if __name__ == "__main__":
    variant, network = sys.argv[1], NETWORKS[sys.argv[2]]
    match variant:
        case "reference":
            print(reference(network))
        case "one":
            print(ours(network))
        case "bf16":
            print(ours(network, "bf16"))
        case "multi-rate":
            print(ours(replace(network, model=network.model.model_copy(update={"multi_rate": True}))))
        case "unkept":
            print(ours(network, keep=False))
        case "unfused":
            loop.seeded_vae = lambda config: as_published(seeded_vae(config))
            print(ours(network))
        case "each":
            print(ours(network, threads=1))
        case "each bf16":
            print(ours(network, "bf16", threads=1))
        case "pack":
            print(packed(network))
        case "memory":
            ours(network)
            print(resident())
        case "reference memory":
            reference(network)
            print(resident())
