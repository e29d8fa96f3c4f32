"""Slots: long-lived Ray Train runs whose DDP workers serve trial after trial from a mailbox. A stock
`TorchTrainer.fit()` takes many seconds to bring its workers up and down; a slot pays that once a study."""

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
_OPENING_CPUS = 2  # cores that a slot which opens keeps busy: its workers and five actors of Ray Train import at once


class Slots:
    """A context of ``count`` open slots around one mailbox; leaving it lets running jobs end. Ray Train calls its runs
    ``name``-..., and has files of its own in ``storage``, a folder that every node sees or a place in an object store.
    A mailbox that is silent for ``patience`` seconds counts as lost. A cluster that is ``shared`` outlives this
    process, and a slot that is not closed leaves an actor of Ray Train there for good."""

    def __init__(
        self,
        name: str,
        count: int,
        resources: SlotResources,
        storage: Path | Mirror,
        patience: float = 120.0,
        shared: bool = False,
    ) -> None:
        self.resources, self.patience = resources, patience
        self._name, self._storage, self._shared = name, storage, shared
        self._abandoned = False
        self._closing = threading.Event()
        self._lost: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}
        # beside the driver: another node may leave, and take it away for good
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        tireless = {"max_concurrency": 1000, "max_restarts": -1, "max_task_retries": -1}
        mailbox: Any = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here, **tireless)
        self.mailbox = mailbox.remote(self._add(count))

    def _add(self, count: int) -> list[str]:
        """Make threads that will open so many more slots. No more at once than start up no slower for it: the first
        trials need not wait for the last slot."""
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
        added = self._add(max(0, count - self.count))
        ray.get(self.mailbox.expect.remote(added))
        for slot in added:
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
                    reason = str(error).strip().splitlines()[-1]
                    if "TIMEOUT" in reason:  # a variable of Ray's
                        reason = f"no node had room for it within --patience {self.patience:g} seconds"
                    cause = f"slot {slot} could not be opened: {reason}"
                    while not self._closing.is_set():  # again and again, as with close()
                        self.mailbox.lose.remote(slot, cause)
                        self._closing.wait(IDLE_SECONDS)
                return

    def _trainer(self, slot: str, name: str) -> ray.train.torch.TorchTrainer:
        storage, resources, gpus = self._storage, self.resources, self.resources.gpus_per_worker
        files, path = storage.place() if isinstance(storage, Mirror) else (None, str(storage))
        each: dict[str, float] = {"CPU": resources.cpus_per_worker} | ({"GPU": gpus} if gpus else {})
        scaling = ray.train.ScalingConfig(
            num_workers=resources.workers, use_gpu=gpus > 0, resources_per_worker=each, **resources.placement.options()
        )
        # mypy sees Train's first version
        failures = ray.train.FailureConfig(
            max_failures=_MAX_RESTARTS,
            controller_failure_limit=START_ATTEMPTS - 1,  # type: ignore[call-arg]
        )
        run = ray.train.RunConfig(name=name, storage_path=path, storage_filesystem=files, failure_config=failures)
        return ray.train.torch.TorchTrainer(
            run_worker,
            train_loop_config={"name": slot, "mailbox": self.mailbox, "resources": resources},
            # NCCL wants a GPU a rank; fractions of one, and CPUs, take gloo
            torch_config=ray.train.torch.TorchConfig(backend="nccl" if gpus >= 1 else "gloo"),
            scaling_config=scaling,
            run_config=run,
        )
