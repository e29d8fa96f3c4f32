"""Ray's private names: all that this project uses of them is here, and each may be missing in another release. Each is
tried, and where it is not there the function does without it, as its docstring says. `NAMES` is what a test looks for
in the Ray that is installed."""

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any

_CONFIG = ("ray._raylet", "Config")
_NOTICES = ("ray._private.worker", "print_to_stdstream")
_ADDRESS = ("ray._private.services", "canonicalize_bootstrap_address")
_CHANNEL = ("ray._private.grpc_utils", "init_grpc_channel")
_REQUEST = ("ray.core.generated.gcs_service_pb2", "CheckAliveRequest")
_STUB = ("ray.core.generated.gcs_service_pb2_grpc", "NodeInfoGcsServiceStub")
_COORDINATOR = (
    "ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator",
    "get_or_create_autoscaling_coordinator",
)
NAMES = (_CONFIG, _NOTICES, _ADDRESS, _CHANNEL, _REQUEST, _STUB, _COORDINATOR)  # (module, name) of each


def find(module: str, name: str) -> Any:
    """What Ray has by a private name; None where it has nothing."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def read_environment() -> None:
    """Have Ray read its variables again, which it does when it is imported. Without the name, a process that imported
    it before it joins does not show its token."""
    config = find(*_CONFIG)
    if config is not None:
        config.initialize("")


def silence_notices() -> None:
    """Keep the raylet's notices, and those of the token, out of the terminal, for which Ray has no option; they are in
    its log anyway. Without the names they are printed over the live view."""
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    module, name = _NOTICES
    if find(module, name) is not None:
        setattr(import_module(module), name, lambda *_, **__: None)


def options_of_temp_dir(path: str) -> dict[str, str]:
    """What `ray.init` takes to keep its files below ``path``; nothing, and then below /tmp/ray, where it takes that no
    more."""
    return {"_temp_dir": path} if _is_taken("_temp_dir") else {}


def options_of_memory(size: int) -> dict[str, int]:
    """What `ray.init` takes to count so many bytes of memory; nothing, and then all that the machine has, where it
    takes that no more."""
    return {"_memory": size} if _is_taken("_memory") else {}


def _is_taken(name: str) -> bool:
    """Whether `ray.init` takes a keyword argument that only its documentation names, where Python keeps that."""
    import ray

    return ray.init.__doc__ is None or name in ray.init.__doc__


def running_here() -> str:
    """The address of the cluster that this machine is a node of. Without the name it is "auto", which `ray.init` finds.
    Raises: ConnectionError where there is none, or more than one."""
    resolve = find(*_ADDRESS)
    return "auto" if resolve is None else str(resolve("auto"))


def ask_whether_alive(address: str, seconds: float) -> None:
    """Ask a cluster's head whether it is one. Without the names nothing is asked, and `ray.init` itself finds out, in
    minutes. Raises: grpc.RpcError where what listens is none, or does not take this process's token."""
    channel_of, request, stub = find(*_CHANNEL), find(*_REQUEST), find(*_STUB)
    if None not in (channel_of, request, stub):
        with channel_of(address) as channel:
            stub(channel).CheckAlive(request(), timeout=seconds)


def start_coordinator() -> None:
    """Start an actor now that Ray Train's first controller would wait for; without the name it is a second slower."""
    start = find(*_COORDINATOR)
    if start is not None:
        start()


def command(python: Path | str) -> list[str]:
    """The `ray` command of an environment's ``python``, which need not be on the path."""
    return [str(python), "-m", "ray.scripts.scripts"]


def is_copied_for_a_job(path: Path) -> bool:
    """Whether a path is in the copy of a working directory that Ray makes for a job, and removes after it. False where
    Ray calls that otherwise."""
    return "working_dir_files" in path.parts and "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
