"""Whether each node of a cluster can do its part of a study; looked at before its first trial. What runs on the nodes
is sent there as it stands, as a node may lack this package: so at its top this module imports nothing of it."""

import hashlib
import importlib.metadata
import importlib.util
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.plan import Node
    from trainables.config import TrialConfig
    from trainables.records.object_store import Mirror

_ANSWER_SECONDS = 30.0
_PACKAGES = ("vae_models", "trainables")  # whose code runs on the nodes


@dataclass(frozen=True)
class Preflight:
    """What a study asks of a node: its folder, or the mirror of its checkpoints, and its data set."""

    folder: Path
    mirror: "Mirror | None"
    config: "TrialConfig"
    data_dir: Path | None

    def check(self, nodes: "Sequence[Node]") -> None:
        """Look at nodes, but for this driver's own: whether they have this code and its torch, and can write in the
        folder, or the mirror; then let each prepare the data, before its workers all want it at once. Raises: UserError
        for the first that cannot, or that does not answer."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        nodes = [node for node in nodes if node.id != here]
        if not nodes:
            return
        marker = self.folder / f".marker-{uuid.uuid4().hex[:12]}"
        marker.touch()
        try:
            needed = code(), importlib.metadata.version("torch"), self.mirror or marker
            _ask(nodes, fault_of, needed, _ANSWER_SECONDS)
        finally:
            for path in self.folder.glob(f"{marker.name}*"):
                path.unlink(missing_ok=True)
        _ask(nodes, data_fault, (self.config.dataset, self.data_dir, self.config.image_size), None)


def _ask(
    nodes: "Sequence[Node]", question: Callable[..., str], arguments: tuple[Any, ...], seconds: float | None
) -> None:
    """Put a question to all nodes at once, whose answer is a fault, or empty."""
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from trainables.errors import UserError

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        task = ray.remote(question).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[task.remote(*arguments)] = node
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
    for answer in [*ready, *late]:
        node = asked[answer]
        if answer in late:
            fault = f"did not answer within {_ANSWER_SECONDS:.0f} s\nsee what `ray status` says of it"
        else:
            try:
                fault = ray.get(answer)
            except ray.exceptions.TaskUnschedulableError:  # it has left
                continue
            except ray.exceptions.RayError as error:
                fault = f"could not be asked: {str(error).strip().splitlines()[-1]}"
        if fault:
            raise UserError(f"node {node.host} ({node.id[:8]}) {fault}")


def code() -> str:
    """A hash of the packages that nodes need, as they are here; empty where one is missing."""
    sha = hashlib.sha256()
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            return ""
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            sha.update(f"{name} {path.relative_to(root)}".encode() + path.read_bytes())
    return sha.hexdigest()


def fault_of(theirs: str, torch: str, place: "Path | Mirror") -> str:
    """On a node: what is wrong there, as the end of a sentence; ``place`` is a file to see, or a store to write to."""
    return next(_faults(theirs, torch, place), "")


def _faults(theirs: str, torch: str, place: "Path | Mirror") -> Iterator[str]:
    if not (ours := code()):
        yield f"must have the package vae-studies: its Python is {sys.executable}\ninstall there what this machine has"
    if ours != theirs:
        yield "must have the same code of vae-studies as this machine\nupdate it there"
    if (found := importlib.metadata.version("torch")) != torch:
        yield f"must have torch {torch}, as this machine, got {found}\ninstall there what this machine has"
    if isinstance(place, Path):
        if not place.exists():
            yield f"must see the folder {place.parent}\ngive an --out that all nodes share, or --storage"
        try:
            Path(f"{place}-{uuid.uuid4().hex[:12]}").write_bytes(b"x" * 4096)
        except OSError as error:
            yield f"must be able to write in {place.parent}: {error.strerror}\nmend that"
        return
    from trainables.errors import UserError

    try:
        place.check()
    except UserError as error:
        yield f"cannot do with this storage: {error}"


def data_fault(dataset: str, data_dir: Path | None, image_size: int | None) -> str:
    """On a node: why its data set cannot be had."""
    from trainables.data.datasets import load_dataset
    from trainables.errors import UserError

    try:
        load_dataset(dataset, data_dir, image_size)
    except UserError as error:
        return f"cannot prepare {dataset}: {error}"
    return ""
