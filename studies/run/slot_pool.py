"""How many slots a study opens, of what size, and how their number follows the cluster's."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.plan import Node, fitting, measured_pack, most_at_once, nodes, plan_slots
from cluster.preflight import Preflight
from cluster.ray_private import start_coordinator
from studies.run.options import Resources
from studies.search.lifecycle import Session
from studies.watch.live_view import View
from studies.watch.stopping import every
from trainables.errors import UserError
from trainables.slots.resources import MOST_IN_TURNS, SlotResources

if TYPE_CHECKING:
    from trainables.slots.slots import Slots

_JOIN_SECONDS = 3.0  # how often the cluster is asked for nodes that have joined


def search_slots(
    resources: Resources, cluster: list[Node], session: Session, left: int, retrained: int
) -> tuple[int, SlotResources]:
    """How many slots of which size train the trials that are left and the repeats. Raises: as `plan_slots`."""
    workers, most, share = resources.workers_per_trial, resources.max_concurrent, resources.gpus_per_worker
    trials, pack = session.ledger.plan.trials if left else None, chosen_pack(resources, cluster, session)
    count, slot = plan_slots(cluster, workers, most, share, trials, pack, resources.placement)
    return min(count, math.ceil((left or retrained) / slot.pack)), slot


def final_slot(resources: Resources, cluster: list[Node]) -> SlotResources:
    """What the final training takes. Raises: as `plan_slots`."""
    workers, share, placement = resources.final_workers, resources.gpus_per_worker, resources.placement
    return plan_slots(cluster, workers, 1, share, placement=placement)[1]


def chosen_pack(resources: Resources, cluster: list[Node], session: Session) -> int:
    """How many trials a process trains in turns: what is asked, or what the study was found to do best with on a GPU
    when it began; 1 without one. Raises: UserError where none is free to be measured, or too small for one trial."""
    if not resources.measures_pack(cluster):
        return resources.asked_pack or 1
    gpus = sum(int(node.gpus) for node in cluster)
    plan, folder = session.ledger.plan, session.folder
    if folder.pack is None:
        session.view.phase("measuring how many trials serve a GPU best")
        most = min(MOST_IN_TURNS, math.ceil((most_at_once(resources.max_concurrent, plan.trials) or 1) / gpus))
        placement, patience = resources.placement, resources.patience
        pack = measured_pack(plan.largest(), session.data_dir, most, placement, patience)
        folder.note(pack=pack)
        session.view.note(f"{pack} trial(s) share a GPU, as measured with the largest network")
        return pack
    return folder.pack


def open_slots(session: Session, resources: Resources, count: int, slot: SlotResources) -> "Slots":
    """Slots that open once they are entered."""
    from trainables.slots.slots import Slots

    session.view.phase(f"opening {count} slot(s) of {slot.workers} worker(s)")
    start_coordinator()
    # unique in a cluster, and never seen by Ray Train before: it would resume a run of the same name
    name = f"{session.ledger.plan.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    place = session.folder.layout.ray
    storage, shared = session.folder.mirror(place) or place, resources.address not in (None, "local")
    return Slots(name, count, slot, storage, resources.patience, shared)


@contextmanager
def following_nodes(slots: "Slots", before: list[Node], preflight: Preflight, most: int, view: View) -> Iterator[None]:
    """Inside, nodes that join the cluster get slots, up to what ``most`` trainings at once need."""
    known, unfit, seen = {node.id for node in before}, set[str](), before

    def watch() -> None:
        nonlocal known, unfit, seen
        view.left.at_once = max(1, min(slots.trials_at_once, most))
        alive = nodes()
        ids = {node.id for node in alive}
        for node in [node for node in seen if node.id not in ids]:
            view.phase(f"node {node.host} ({node.id[:8]}) has left")
        seen = alive
        now = [node for node in alive if node.id not in unfit]
        count = min(fitting(now, slots.resources), math.ceil(most / slots.resources.pack))
        new = [node for node in now if node.id not in known]
        if not new or count <= slots.count:
            return
        try:
            preflight.check(new)
        except UserError as error:
            view.note(f"a node has joined that is not used: {error}")
            unfit |= {node.id for node in new}
            return
        view.phase(f"{', '.join(node.host for node in new)} joined: {count} slots from now on")
        slots.grow(count)
        known = {node.id for node in now}

    with every(_JOIN_SECONDS, watch):
        yield
