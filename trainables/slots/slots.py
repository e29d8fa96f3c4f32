"""Slots: long-lived Ray Train runs whose DDP workers serve trial after trial from a mailbox.

A stock `TorchTrainer.fit()` takes many seconds to bring its workers up and down; a slot pays that once a
study. `Slots` opens them around one `trainables.slots.mailbox.Mailbox`; each worker runs `worker.run_worker`.
"""

import itertools
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainables.errors import EndedEarly, Interrupted
from trainables.records.object_store import Mirror
from trainables.slots.mailbox import IDLE_SECONDS, Mailbox
from trainables.slots.resources import START_ATTEMPTS, SlotResources
from trainables.slots.worker import run_worker

_MAX_RESTARTS = 5  # a slot whose workers died more often is opened anew, with another Train controller
_OPENING_CPUS = 2
"""How many cores a slot that opens keeps busy: its workers and five actors of Ray Train import at once."""


class Slots:
    """A context of ``count`` open slots around one mailbox; leaving it lets running jobs end.

    Args:
        name: of the Ray Train runs, unique in the cluster.
        count: slots.
        resources: of each slot.
        storage: a folder every node sees, or a place in an object store, for Ray Train's own files.
        patience: seconds after which the mailbox, if it does not answer, counts as lost.
        shared: whether the cluster outlives this process. A slot that is not closed leaves an actor of Ray
            Train there for good.
    """

    def __init__(
        self,
        name: str,
        count: int,
        resources: SlotResources,
        storage: Path | Mirror,
        patience: float = 120.0,
        shared: bool = False,
    ) -> None:
        self.resources, self.patience, self._storage = resources, patience, storage
        self._name = name
        self._shared, self._abandoned = shared, False
        self._closing = threading.Event()
        self._lost: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}
        names = self._add(count)
        self.mailbox: Any = (
            ray.remote(Mailbox)
            .options(
                num_cpus=0,
                max_concurrency=1000,
                max_restarts=-1,
                max_task_retries=-1,
                # beside the driver: another node may leave, and take it away for good
                scheduling_strategy=NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False),
            )
            .remote(names)
        )

    def _add(self, count: int) -> list[str]:
        """Make threads that will open so many more slots. No more at once than start up no slower for it: the first
        trials need not wait for the last slot.
        """
        abreast = max(1, int(ray.cluster_resources().get("CPU", 0) / _OPENING_CPUS))
        names = [f"{self._name}-{index}" for index in range(len(self._threads), len(self._threads) + count)]
        for slot, before in zip(names, [*[None] * abreast, *names], strict=False):
            self._threads[slot] = threading.Thread(target=self._keep_open, args=(slot, before), daemon=True)
        return names

    @property
    def count(self) -> int:
        """Slots that are open, or will be."""
        return len(self._threads) - len(self._lost)

    @property
    def trials_at_once(self) -> int:
        """How many trainings fit in them."""
        return self.count * self.resources.pack

    def grow(self, count: int) -> None:
        """Open more slots, up to ``count`` of them."""
        for slot in self._add(max(0, count - self.count)):
            self._threads[slot].start()

    def __enter__(self) -> "Slots":
        for thread in self._threads.values():
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        in_order = (EndedEarly, Interrupted) if self._shared else EndedEarly
        if kind is not None and not issubclass(kind, in_order):
            # the process ends next, and the slots with it (see `cluster.connect.end_process`): open none anew
            self._abandoned = True
            return
        self._closing.set()
        for thread in self._threads.values():
            while thread.is_alive():
                ray.get(self.mailbox.close.remote())  # again and again: a restarted mailbox has forgotten it
                thread.join(IDLE_SECONDS)

    def _keep_open(self, slot: str, before: str | None) -> None:
        """Open a slot, once the one ``before`` it is open, until the mailbox closes it; one that is lost
        before it asked for a job stays lost."""
        with suppress(ray.exceptions.RayError):
            while before and not ray.get(self.mailbox.is_open.remote(before)):
                pass
        if self._closing.is_set() or self._abandoned:
            return
        requests = 0
        for opening in itertools.count():
            try:
                self._trainer(slot, f"{slot}-{opening}").fit()
                return
            except Exception as error:
                if self._abandoned:
                    return
                with suppress(ray.exceptions.RayError):  # the whole cluster is going down: its readers hear
                    earlier, requests = requests, ray.get(self.mailbox.requests.remote(slot))
                    died = isinstance(error, ray.exceptions.RayActorError)  # the controller, not its workers
                    no_room = isinstance(error, ray.train.ControllerError)  # its workers found no place in time
                    if (requests != earlier and not no_room) or (died and opening < _MAX_RESTARTS):
                        continue
                    self._lost.add(slot)
                    cause = f"slot {slot} could not be opened: {str(error).strip().splitlines()[-1]}"
                    while not self._closing.is_set():  # again and again, as with close()
                        self.mailbox.lose.remote(slot, cause)
                        self._closing.wait(IDLE_SECONDS)
                return

    def _trainer(self, slot: str, name: str) -> ray.train.torch.TorchTrainer:
        resources, (files, path) = self.resources, (None, str(self._storage))
        if isinstance(self._storage, Mirror):
            files, path = self._storage.place()
        per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            per_worker["GPU"] = resources.gpus_per_worker
        # NCCL wants a GPU a rank; fractions of one, and CPUs, take gloo
        backend = "nccl" if resources.gpus_per_worker >= 1 else "gloo"
        # mypy sees Train's first version
        failures = ray.train.FailureConfig(
            max_failures=_MAX_RESTARTS,
            controller_failure_limit=START_ATTEMPTS - 1,  # type: ignore[call-arg]
        )
        return ray.train.torch.TorchTrainer(
            run_worker,
            train_loop_config={
                "name": slot,
                "mailbox": self.mailbox,
                "threads": resources.cpus_per_worker,
                "gpus": resources.gpus_per_worker,
                "pack": resources.pack,
            },
            torch_config=ray.train.torch.TorchConfig(backend=backend),
            scaling_config=ray.train.ScalingConfig(
                num_workers=resources.workers,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker=per_worker,
                **resources.placement.options(),
            ),
            run_config=ray.train.RunConfig(
                name=name, storage_path=path, storage_filesystem=files, failure_config=failures
            ),
        )
