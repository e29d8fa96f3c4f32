"""How a model is optimised: the optimiser, its learning rate, and the model as it is called in training."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainables.config import TrialConfig
from trainables.training.process_group import World
from vae_models import VAE

_COMPILE_STEPS = 20_000  # from which a run compiles by itself on a GPU: a guess, not measured yet


def make_optimizer(config: TrialConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Over all parameters of ``model``, in one fused kernel a step."""
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)


def trained_module(config: TrialConfig, model: VAE, world: World, steps: int) -> nn.Module:
    """The model as it is trained for ``steps``: compiled where that pays, in DDP where there are several ranks."""
    module: nn.Module = model
    if pays_to_compile(config, world, steps):
        # on a GPU into CUDA graphs; Inductor's own cache keeps the code for the next trial of an architecture
        compiled: Any = torch.compile(model, mode="reduce-overhead" if world.device.type == "cuda" else None)
        module = compiled
    if world.size == 1:
        return module
    devices = [world.device] if world.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


def pays_to_compile(config: TrialConfig, world: World, steps: int) -> bool:
    """What ``config.compile`` says; by default only where the work ahead is long, on a GPU: on a CPU the compiled step
    was measured no faster, for 8 to 30 s of compiling."""
    if config.compile is not None:
        return config.compile
    return world.device.type == "cuda" and steps >= _COMPILE_STEPS


def set_lr(optimizer: torch.optim.Optimizer, config: TrialConfig, progress: float) -> None:
    """Cosine decay (Loshchilov & Hutter 2017, arXiv:1608.03983) at ``progress`` of the whole run."""
    for group in optimizer.param_groups:
        group["lr"] = config.lr * 0.5 * (1 + math.cos(math.pi * progress))
