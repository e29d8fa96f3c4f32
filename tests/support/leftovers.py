"""What lives in a cluster, but for Ray's own services: python tests/support/leftovers.py ADDRESS"""

import sys
import time

from ray.util.state import list_actors, list_placement_groups

from cluster.connect import connected

SERVICES = {"TrainStateActor", "_AutoscalingCoordinatorActor"}
"""One of each a cluster, for all its drivers; the first to need one starts it for good."""

with connected(sys.argv[1]):
    for _ in range(100):  # a driver's actors end with it, soon
        actors = [a for a in list_actors(sys.argv[1], limit=1000) if a.state != "DEAD" and a.class_name not in SERVICES]
        groups = [g for g in list_placement_groups(sys.argv[1], limit=1000) if g.state != "REMOVED"]
        if not actors and not groups:
            break
        time.sleep(0.2)
    print(f"{len(actors)} actors, {len(groups)} placement groups")
    print(*(f"{actor.class_name} {actor.state}" for actor in actors), sep="\n", file=sys.stderr)
