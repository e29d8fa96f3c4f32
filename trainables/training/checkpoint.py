"""Checkpoints that a crash cannot tear: the name of each holds the hash of its content.

checkpoints/epoch_0003.5f0c6a21b9d4e870.pt    full state, the last two of them
checkpoints/best.safetensors                  weights of the best epoch so far"""

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.atomic_files import digest, write_atomic
from trainables.records.trial_folder import BEST, STATES
from trainables.training.loop import Epoch, State
from vae_models import VAE, ModelConfig

_KEPT_STATES = 2


@dataclass(frozen=True)
class Snapshot:
    """A copy of an epoch's state on the host, which no later step changes; ``copied`` says when it is there."""

    config: TrialConfig
    history: list[Metrics]
    model: dict[str, Tensor]
    optimizer: State
    copied: "torch.cuda.Event | None" = None

    @property
    def metrics(self) -> Metrics:
        """Of its epoch."""
        return self.history[-1]


def snapshot(epoch: Epoch, config: TrialConfig) -> Snapshot:
    """Take one; on a GPU the copies are queued, behind what computes the state and before what changes it."""
    moments = epoch.optimizer.state_dict()
    copied = {name: {key: _on_host(value) for key, value in each.items()} for name, each in moments["state"].items()}
    groups = [{**group, "lr": config.lr} for group in moments["param_groups"]]  # a tensor's value would be waited for
    model = {name: _on_host(tensor) for name, tensor in epoch.model.state_dict().items()}
    event = None
    if next(epoch.model.parameters()).is_cuda:
        event = torch.cuda.Event(blocking=True)  # who waits for it sleeps
        event.record()
    return Snapshot(config, epoch.history, model, {"state": copied, "param_groups": groups}, event)


def _on_host(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", non_blocking=True, copy=True)


def save(folder: Path, taken: Snapshot) -> list[str]:
    """Write an epoch's weights if they are the best, and its full state; keep the last two states. Returns the names of
    what was written, the state's last."""
    if taken.copied is not None:
        taken.copied.synchronize()
    state: State = {"config": taken.config.model_dump_json(), "history": taken.history}
    state |= {"model": taken.model, "optimizer": taken.optimizer}
    torch.save(state, buffer := io.BytesIO())
    content = buffer.getvalue()
    names = [f"epoch_{len(taken.history):04d}.{digest(content)}.pt"]
    if taken.config.best_row(taken.history) is taken.metrics:
        save_weights(folder / BEST, taken.config.model, taken.model, taken.metrics)
        names.insert(0, BEST)
    write_atomic(folder / names[-1], content)
    for old in states(folder)[_KEPT_STATES:]:
        old.unlink(missing_ok=True)
    return names


def states(folder: Path) -> list[Path]:
    """Full states, newest first."""
    return sorted(folder.glob(STATES), key=lambda path: (len(path.name), path.name), reverse=True)


def load_latest(folder: Path, config: TrialConfig, device: torch.device | str) -> State | None:
    """The newest state that is whole, with its best weights, and was made with ``config``; None without one. Raises:
    UserError for a file that has its hash and is none of ours. A file whose content does not match its hash is passed
    over: the one before is as good, training is deterministic."""
    for path in states(folder):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # a worker that was taken for dead writes here still
            continue
        if digest(content) != path.name.split(".")[1]:
            continue
        try:
            state: State = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:  # not written by `save`
            raise UserError(f"{path} is no checkpoint of this project\nremove it") from error
        if TrialConfig.of_record(json.loads(state["config"])) == config and _best_is_there(folder, state, config):
            return state
    return None


def _best_is_there(folder: Path, state: State, config: TrialConfig) -> bool:
    """Whether the best epoch's weights that go with a state are whole, or newer than it."""
    best = config.best_row(state["history"])["epoch"]
    try:
        epoch = load_weights(folder / BEST)[1]["epoch"]
    except (UserError, KeyError, TypeError):
        return False
    return epoch == best or epoch > len(state["history"])


def save_weights(path: Path, config: ModelConfig, weights: Mapping[str, Tensor], metrics: Metrics) -> None:
    """A model's state as safetensors, with its config, the epoch's metrics and a hash in the header."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    metadata = {"model": config.model_dump_json(), "metrics": json.dumps(metrics)}
    write_atomic(path, safetensors.torch.save(weights, metadata | {"sha256": weights_hash(weights, metadata)}))


def load_weights(path: Path) -> tuple[VAE, dict[str, float]]:
    """The model of a weights file, on the CPU, to be used and not trained, and its epoch's metrics. Raises: UserError
    where the file is missing, torn or altered, or does not fit its own config."""
    if not path.is_file():
        raise UserError(
            f"no weights at {path}\nthe run has not finished its first epoch, or they were removed: restore them"
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if metadata.pop("sha256") != weights_hash(weights, metadata):
            raise ValueError("its content does not match its hash")
        with torch.device("meta"):  # what the file says takes no memory before it fits the file's weights
            model = VAE(ModelConfig.model_validate_json(metadata["model"]))
        asked, found = ({name: it.shape for name, it in of.items()} for of in (model.state_dict(), weights))
        if asked != found:
            fault = f"{path} has other weights than its config says: another version of this program wrote it"
            raise UserError(f"{fault}\nread it with that version, or train its run again")
        model.load_state_dict(weights, assign=True)
        metrics = json.loads(metadata["metrics"])
        if not isinstance(metrics, dict):
            raise ValueError("its metrics are no object")
        return model.float().eval().requires_grad_(False), metrics
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        fault = f"{path} is not a whole weights file: it is cut off, altered, or another program's"
        raise UserError(f"{fault}\nrestore it from a copy, or train its run again") from error


def weights_hash(weights: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    """What the header of a weights file says of all the rest of it."""
    sha = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(weights):
        sha.update(f"{name} {tuple(weights[name].shape)} {weights[name].dtype}".encode())
        sha.update(weights[name].numpy().tobytes())
    return sha.hexdigest()
