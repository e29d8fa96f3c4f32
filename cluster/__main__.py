"""``python -m cluster local --nodes 2``: a Ray cluster of several nodes on this machine, to try things on."""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

import signal
import time
from contextlib import suppress
from typing import Annotated

import typer

from cluster.local_cluster import local_cluster
from trainables.console import command_group, run
from trainables.errors import UserError
from trainables.machine import cores_for_workers
from trainables.text import python_command

app = command_group("A Ray cluster of several nodes on this machine, to try things on.")


@app.command()
def local(
    nodes: Annotated[int, typer.Option(min=1, max=64, help="Nodes, the head among them.")] = 2,
    workers_per_node: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Workers of one CPU that a node holds. [default: its share of the cores]"),
    ] = None,
) -> None:
    """Start the nodes, say how to use them, and stop them at Ctrl-C. Each is a `ray start` of its own, with
    its own raylet; all their processes end with this one, unless it is killed."""
    each = workers_per_node or max(1, cores_for_workers() // nodes)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        print(f"starting {nodes} node(s) of {each} CPU(s)", flush=True)
        with local_cluster([each] * nodes) as cluster:
            study = "python studies/digits_vae.py"
            submit = f"ray job submit --address http://{cluster.dashboard} --working-dir ."
            print(f"address    {cluster.address}")
            print(f"dashboard  http://{cluster.dashboard} (it asks for the token in ~/.ray/auth_token)")
            print(f"study      {python_command('-m', 'studies.digits_vae', '--address', cluster.address)}")
            print(f"job        RAY_AUTH_MODE=token {submit} -- {study} --out ~/runs/digits_vae")
            for index, node in enumerate(cluster.nodes):
                print(f"node {index}     process {node.pid}")
            print("Ctrl-C stops it", flush=True)
            running = dict(enumerate(cluster.nodes))
            while 0 in running:
                time.sleep(1)
                for index in [index for index, node in running.items() if node.poll() is not None]:
                    del running[index]
                    print(f"node {index} has ended", flush=True)
            raise UserError("the head has ended: there is no cluster without it\nstart another")
    print("\nstopped", flush=True)


if __name__ == "__main__":
    run(app, "python -m cluster")
