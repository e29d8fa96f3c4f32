"""How a model is optimised: the optimiser, its learning rate, and the model as it is called in training."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainables.config import TrialConfig
from trainables.metrics import Metrics
from trainables.training.process_group import World
from vae_models import VAE

_BURDA_ENDS = tuple(accumulate(3**stage for stage in range(8)))  # epochs after which its stages end, 3,280 the last
_COMPILED = 256  # models that a process may compile, each of its own: at torch's 8 it would go on without


def make_optimizer(config: TrialConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Over all parameters of ``model``, in one fused kernel a step. Its learning rate is a tensor, which a step reads
    anew: `learning_rate`."""
    device = next(model.parameters()).device
    # a CUDA kernel reads float32; on a CPU the rate is what Python says
    lr = torch.tensor(config.lr, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    capturable = device.type == "cuda"
    return kind(model.parameters(), lr=lr, weight_decay=config.weight_decay, fused=True, capturable=capturable)


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take the moments of an earlier epoch, on whatever device it was; all else stays as it was made."""
    (group,) = optimizer.param_groups
    made = {name: value for name, value in group.items() if name != "params"}
    optimizer.load_state_dict({**state, "param_groups": [{**made, "params": state["param_groups"][0]["params"]}]})
    optimizer.param_groups[0]["lr"] = made["lr"]  # the very tensor: loading copies it


def learning_rate(optimizer: torch.optim.Optimizer) -> Tensor:
    """The scalar tensor by which the optimiser's next step goes."""
    rate: Tensor = optimizer.param_groups[0]["lr"]
    return rate


class Schedule:
    """The learning rate at each of a run's ``steps`` an epoch, after the epochs of ``history``."""

    def __init__(self, config: TrialConfig, steps: int, history: Sequence[Metrics]) -> None:
        self._config, self._steps = config, steps
        unused = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=config.lr)
        self._plateau = ReduceLROnPlateau(unused, factor=0.5, patience=3)
        for row in history:
            self.epoch_ends(row)

    def epoch_ends(self, row: Metrics) -> None:
        """Heed what an epoch came to."""
        self._plateau.step(row["val_nelbo"])

    def rates(self, epoch: int) -> list[float]:
        """Of the steps of an epoch, counted from 0. The cosine is that of Loshchilov & Hutter 2017, arXiv:1608.03983;
        burda that of Burda et al. 2016, arXiv:1509.00519, section 5: lr 10^(-i/7) for 3^i epochs, i = 0 to 7, which are
        3,280 in all and of other lengths keep their shares. Their code rounds the rates to two digits."""
        config, steps = self._config, range(self._steps)
        if config.schedule == "burda":
            done = [(epoch * self._steps + step) * _BURDA_ENDS[-1] // (config.epochs * self._steps) for step in steps]
            return [config.lr * 10 ** (-bisect_right(_BURDA_ENDS, each) / 7) for each in done]
        if config.schedule == "cosine":
            progress = [(epoch + step / self._steps) / config.epochs for step in steps]
            return [config.lr * 0.5 * (1 + math.cos(math.pi * done)) for done in progress]
        lr: float = self._plateau.optimizer.param_groups[0]["lr"] if config.schedule == "plateau" else config.lr
        return [lr for _ in steps]


def on_device(config: TrialConfig, model: VAE, device: torch.device) -> VAE:
    """The model where it is trained, in the memory format that is fastest there: on a GPU the convolutions in bfloat16
    want their channels last."""
    if device.type == "cuda" and config.precision == "bf16":
        return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    return model.to(device)


def trained_module(config: TrialConfig, model: VAE, world: World) -> nn.Module:
    """The model as it is called in training: compiled if the config says so, in DDP where there are several ranks."""
    module: nn.Module = model
    if config.compile:
        import torch._dynamo  # a second, for those who compile

        torch._dynamo.config.recompile_limit = _COMPILED
        # Inductor's own cache keeps the code for the next trial of an architecture; static shapes, whatever came before
        compiled: Any = torch.compile(model, dynamic=False)
        module = compiled
    if world.size == 1:
        return module
    devices = [world.device] if world.device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)
