"""What a cluster holds."""

from __future__ import annotations

import pytest

from cluster import ray_private
from cluster.plan import Node, chosen, here, labels_here, plan_slots
from trainables.errors import UserError
from trainables.slots.resources import Placement, SlotResources


@pytest.mark.parametrize(
    ("nodes", "workers", "concurrent", "gpus", "expected"),
    [
        ([Node(2, 0)], 1, None, None, (2, SlotResources(1, 1, 0.0))),
        ([Node(8, 0)], 2, 1, None, (1, SlotResources(2, 4, 0.0))),
        ([Node(2, 0)] * 3, 2, 1, None, (1, SlotResources(2, 2, 0.0))),
        ([Node(16, 4)], 2, None, None, (2, SlotResources(2, 4, 1.0))),
        ([Node(16, 1)], 1, None, 0.25, (4, SlotResources(1, 4, 0.25))),
        ([Node(16, 2)], 1, 1, 0.0, (1, SlotResources(1, 16, 0.0))),
        ([Node(16, 1)], 2, 1, None, (1, SlotResources(2, 8, 0.5))),
        ([Node(16, 2)], 1, 4, None, (4, SlotResources(1, 4, 0.5))),
    ],
)
def test_slots_fit_the_nodes(
    nodes: list[Node], workers: int, concurrent: int | None, gpus: float | None, expected: tuple
) -> None:
    assert plan_slots(nodes, workers, concurrent, gpus) == expected


def test_most_trials_can_learn_from_those_before() -> None:
    assert plan_slots([Node(64, 0)], 1, trials=12) == (3, SlotResources(1, 21, 0.0))
    assert plan_slots([Node(64, 0)], 1, trials=1) == (1, SlotResources(1, 64, 0.0))
    assert plan_slots([Node(64, 0)], 1, max_concurrent=9, trials=12)[0] == 9


def test_a_gpu_that_is_asked_for_and_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"--gpus-per-worker must find a GPU, got 2 node\(s\) without one") as error:
        plan_slots([Node(2, 0), Node(4, 0)], 1, gpus_per_worker=0.5)
    assert len(str(error.value).splitlines()) == 2


def test_packs_fill_gpus_before_they_grow() -> None:
    """No pack takes what another GPU could, and a process has a GPU to itself."""
    assert plan_slots([Node(16, 4)], 1, trials=64, pack=16) == (4, SlotResources(1, 4, 1.0, 4))
    assert plan_slots([Node(16, 1)], 1, trials=64, pack=8) == (1, SlotResources(1, 16, 1.0, 8))
    assert plan_slots([Node(16, 1)], 1, max_concurrent=8, pack=8) == (1, SlotResources(1, 16, 1.0, 8))


def test_packs_fill_slots() -> None:
    assert plan_slots([Node(64, 0)], 1, trials=24, pack=4) == (2, SlotResources(1, 32, 0.0, 4))
    assert plan_slots([Node(2, 0)], 1, max_concurrent=6, pack=3) == (2, SlotResources(1, 1, 0.0, 3))
    assert plan_slots([Node(2, 0)], 1, max_concurrent=2, pack=8) == (1, SlotResources(1, 2, 0.0, 2))
    assert plan_slots([Node(2, 0)], 1, max_concurrent=5, pack=3) == (2, SlotResources(1, 1, 0.0, 3))
    assert plan_slots([Node(2, 0)], 1, trials=9, pack=8) == (1, SlotResources(1, 2, 0.0, 3))
    assert plan_slots([Node(16, 1)], 1, None, 0.25, pack=2) == (4, SlotResources(1, 4, 0.25, 2))


def test_more_workers_than_the_cluster_holds_are_refused() -> None:
    with pytest.raises(UserError, match="need room for 6 workers\nthe cluster holds 2"):
        plan_slots([Node(2, 0)], 3, 2)


def test_the_labels_of_this_machine_are_those_that_ray_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ray_private.find("ray._private.resource_and_label_spec", "ResourceAndLabelSpec")
    for name in ("RAY_NODE_MARKET_TYPE", "RAY_NODE_TYPE_NAME", "RAY_NODE_REGION", "RAY_NODE_ZONE"):
        monkeypatch.setenv(name, name.lower())
    monkeypatch.setenv("RAY_OVERRIDE_LABELS", '{"ray.io/market-type": "spot", "zone": "a"}')
    found = labels_here()
    assert found == spec._get_default_labels(None) | spec._load_env_labels()
    assert len(found) == 5
    assert chosen(here(gpus=0), Placement(labels={"ray.io/market-type": "spot", "zone": "a"}))
    monkeypatch.setenv("RAY_OVERRIDE_LABELS", "no JSON")
    assert labels_here()["ray.io/market-type"] == "ray_node_market_type"
