"""Ray's processes, as tests find them in order to kill them."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress

import psutil

from cluster.local_cluster import descendants


def process_of(pid: int, kind: str) -> psutil.Process | None:
    """The first process below ``pid`` whose command line holds ``kind``; Ray puts the actor's class there."""
    for process in descendants(pid):
        with suppress(psutil.Error):
            if process.pid != pid and kind in " ".join(process.cmdline()):
                return process
    return None


def raylet_of(node: subprocess.Popen[bytes]) -> psutil.Process:
    """A node's raylet. Raises: LookupError where it is gone."""
    for process in descendants(node.pid):
        with suppress(psutil.Error):
            if process.name() == "raylet":
                return process
    raise LookupError(f"no raylet below process {node.pid}")


def is_gone(process: psutil.Process, seconds: float = 10.0) -> bool:
    """Whether the process ends in this time; one that was killed may need some to give back its memory."""
    for _ in range(int(seconds / 0.05)):
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False
