"""A cluster of several nodes on this machine, to try things on: each is a `ray start` of its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from cluster import ray_private
from cluster.access import ensure_token, temporary_root
from trainables.errors import UserError

# without the second the dashboard knows of no training runs
_NODE_ENVIRONMENT = {"RAY_AUTH_MODE": "token", "RAY_TRAIN_ENABLE_STATE_TRACKING": "1"}
_START_SECONDS = 60.0
_RAY_PORTS = range(10_001, 20_000)  # of a node's client server and its workers; it refuses to start on one of them


class LocalCluster:
    """A head and further nodes, each a group of processes below this one. Use `local_cluster`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # of what the nodes write, a folder each; no other user enters it
        self._ports: set[int] = set()
        self.address = f"127.0.0.1:{self._port()}"
        self.dashboard = f"127.0.0.1:{self._port()}"
        self.nodes: list[subprocess.Popen[bytes]] = []

    def add_node(self, cpus: int, *options: str, python: Path | str = sys.executable) -> subprocess.Popen[bytes]:
        """Start a node, by `ray start` with further ``options`` in an environment's ``python``, and wait until it has
        joined; the first is the head. Raises: UserError where it does not come up within a minute."""
        port, dashboard_port = (address.rpartition(":")[2] for address in (self.address, self.dashboard))
        head = ["--head", f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard_port}"]
        # of its own, as on a machine of its own: nodes unpack a job's files over each other's otherwise
        folder = self.folder / str(len(self.nodes))
        log = folder.with_suffix(".log")
        command = [*ray_private.command(python), "start", "--block", "--disable-usage-stats"]
        command += ["--address", self.address] if self.nodes else head
        command += ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={self._port()}"]
        command += [f"--num-cpus={cpus}", f"--temp-dir={folder}", *options]
        environment = os.environ | _NODE_ENVIRONMENT
        with log.open("wb") as output:
            node = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment)
        self.nodes.append(node)
        began = time.monotonic()
        while b"terminate" not in log.read_bytes():  # --block says so once the node is up
            if node.poll() is not None or time.monotonic() - began > _START_SECONDS:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise UserError(f"a Ray node must start within {_START_SECONDS:.0f} s: {' '.join(last)}")
            time.sleep(0.1)
        return node

    def _port(self) -> int:
        """A free port that no node was told before, and that no worker of Ray's will want."""
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in _RAY_PORTS and port not in self._ports:
                self._ports.add(port)
                return port

    def stop(self) -> None:
        """End every process that the nodes started."""
        started = [process for node in self.nodes for process in descendants(node.pid)]
        for process in started:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(started, timeout=10)
        for node in self.nodes:
            node.kill()
            node.wait()


@contextmanager
def local_cluster(cpus: Sequence[int]) -> Iterator[LocalCluster]:
    """A cluster of one node for each of ``cpus``, the first the head; gone at the end. Raises: as `add_node`."""
    ensure_token()
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=temporary_root()))  # short, as sockets' paths are
    cluster = LocalCluster(folder)
    try:
        for count in cpus:
            cluster.add_node(count)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def descendants(pid: int) -> list[psutil.Process]:
    """The processes below ``pid`` and itself; none where it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
