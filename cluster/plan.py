"""What a cluster holds, and how many slots fit."""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.machine import cores_for_workers
from trainables.slots.resources import Placement, SlotResources

# the variables by which a node's pod tells Ray of its labels
_LABELLED_BY = {
    "ray.io/market-type": "RAY_NODE_MARKET_TYPE",
    "ray.io/node-group": "RAY_NODE_TYPE_NAME",
    "ray.io/availability-region": "RAY_NODE_REGION",
    "ray.io/availability-zone": "RAY_NODE_ZONE",
}


@dataclass(frozen=True)
class Node:
    """What a node of the cluster has, whether it is in use or not."""

    cpus: float
    gpus: float
    id: str = ""
    host: str = ""
    accelerator: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def room(self, cpus: int, gpus: float) -> int:
        """How many workers that take so much fit on it."""
        by_cpus = int(self.cpus // cpus)
        if not gpus:
            return by_cpus
        # a share is of one GPU: 0.4 of it fits twice on each
        on_gpus = int(self.gpus + 1e-9) * int(1 / gpus + 1e-9) if gpus < 1 else int(self.gpus / gpus + 1e-9)
        return min(by_cpus, on_gpus)

    def is_in(self, placement: Placement) -> bool:
        """Whether it has the accelerator and the labels that are asked for."""
        return placement.accelerator in (None, self.accelerator) and placement.labels.items() <= self.labels.items()


def nodes() -> list[Node]:
    """The living nodes of the cluster this driver has joined."""
    import ray

    found = []
    for node in [node for node in ray.nodes() if node["Alive"]]:
        has, kind = node["Resources"], "accelerator_type:"  # what Ray calls the resource that tells it
        accelerator = next((key.removeprefix(kind) for key in has if key.startswith(kind)), "")
        host, labels = node["NodeManagerAddress"], node["Labels"]
        found.append(Node(has.get("CPU", 0), has.get("GPU", 0), node["NodeID"], host, accelerator, labels))
    return found


def chosen(nodes: list[Node], placement: Placement) -> list[Node]:
    """Those in ``placement``. Raises: UserError where there is none."""
    found = [node for node in nodes if node.is_in(placement)]
    if not found:
        asked = [f"--accelerator {placement.accelerator}"] if placement.accelerator else []
        asked += [f"--label {key}={value}" for key, value in placement.labels.items()]
        accelerators = sorted({node.accelerator for node in nodes} - {""})
        labels = sorted({f"{k}={v}" for node in nodes for k, v in node.labels.items() if k != "ray.io/node-id"})
        raise UserError(
            f"{' '.join(asked)} must fit a node of the cluster, got {len(nodes)} without: "
            f"accelerators {', '.join(accelerators) or 'none'}; labels {', '.join(labels) or 'none'}\n"
            f"{'choose one of those, or ' * bool(accelerators or labels)}leave out {' '.join(asked)}; "
            "`ray start --labels KEY=VALUE` gives a node a label"
        )
    return found


def here(gpus: int | None = None) -> list[Node]:
    """This machine as a node, without starting anything; torch is asked for its ``gpus`` where they are not given."""
    if gpus is None:
        import torch

        gpus = torch.cuda.device_count()
    return [Node(cores_for_workers(), gpus, labels=labels_here())]


def labels_here() -> dict[str, str]:
    """What Ray will label this machine with by its environment. What it finds of its accelerators is not known."""
    found = {label: os.environ[variable] for label, variable in _LABELLED_BY.items() if os.environ.get(variable)}
    with suppress(ValueError, TypeError):
        found |= json.loads(os.environ.get("RAY_OVERRIDE_LABELS") or "{}")
    return found


def plan_slots(
    nodes: list[Node],
    workers: int,
    max_concurrent: int | None = None,
    gpus_per_worker: float | None = None,
    trials: int | None = None,
    pack: int = 1,
    placement: Placement = Placement(),  # noqa: B008 (it does not change)
) -> tuple[int, SlotResources]:
    """How many slots of ``workers`` to open in ``placement``, each for ``pack`` trials, and what each worker takes. As
    many slots as ``max_concurrent`` trials need, or as fit; but for not more than a quarter of a study's ``trials``,
    so that most of them can learn from those before. A worker gets a GPU where there are any (a share of one where
    there are fewer than workers), and as many CPUs as leave room for all workers. Raises: UserError where there is no
    room."""
    nodes = chosen(nodes, placement)
    at_once = most_at_once(max_concurrent, trials)
    gpus = sum(node.gpus for node in nodes)
    # no pack takes what another GPU could
    pack = min(pack, math.ceil(at_once / max(1, int(gpus))) if at_once else pack)
    at_once_slots = math.ceil((max_concurrent or 1) / pack)
    share = gpus_per_worker
    if share is None:
        share = 1 / max(1, math.ceil(workers * at_once_slots / gpus)) if gpus else 0.0
    if share and not gpus:
        raise UserError(
            f"--gpus-per-worker must find a GPU, got {len(nodes)} node(s) without one that torch sees\n"
            "leave it out to train on CPUs"
        )
    room = sum(node.room(1, share) for node in nodes)
    slots = math.ceil(at_once / pack) if at_once else room // workers
    if max_concurrent is None:
        slots = max(1, min(slots, room // workers))
    if slots * workers > room:
        kind = f"{gpus:g} GPUs at {share:g} a worker" if share else "CPUs at 1 a worker"
        raise UserError(
            f"{slots * pack} trial(s) at once of {workers} worker(s) need room for {slots * workers} workers\n"
            f"the cluster holds {room} ({sum(node.cpus for node in nodes):g} CPUs; {kind}): lower "
            "--max-concurrent, --workers-per-trial or --final-workers" + (", or --gpus-per-worker" if share else "")
        )
    most = max(int(node.cpus) for node in nodes)
    # the largest share of CPUs at which all workers still find a node
    cpus = max(c for c in range(1, most + 1) if c == 1 or sum(node.room(c, share) for node in nodes) >= slots * workers)
    return slots, SlotResources(workers, cpus, share, pack, placement)


def fitting(nodes: list[Node], slot: SlotResources) -> int:
    """How many such slots fit on the nodes while nothing else runs there."""
    found = [node for node in nodes if node.is_in(slot.placement)]
    return sum(node.room(slot.cpus_per_worker, slot.gpus_per_worker) for node in found) // slot.workers


def most_at_once(max_concurrent: int | None, trials: int | None) -> int | None:
    """Trials to run at once, whatever the cluster; None: no limit."""
    return max_concurrent or (math.ceil(trials / 4) if trials else None)


def measured_pack(config: TrialConfig, data_dir: Path | None, most: int, placement: Placement, patience: float) -> int:
    """How many trainings of ``config`` in turns serve a GPU best, up to ``most``: measured on one that is free. Raises:
    UserError where none is within ``patience`` seconds, or not even one training fits."""
    import ray

    from trainables.training.pack import best_pack

    measure = ray.remote(num_cpus=1, num_gpus=1, max_calls=1, **placement.options())(best_pack)
    try:
        return int(ray.get(measure.remote(config, data_dir, most), timeout=patience))
    except ray.exceptions.RayError as error:  # a timeout is one too
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"--pack auto could not measure: {reason}\ngive a number instead") from error
