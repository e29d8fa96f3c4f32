"""Joining a Ray cluster, or starting one here."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

from trainables.errors import UserError
from trainables.slots.resources import START_ATTEMPTS

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
ADDRESS_HINT = "it is that of the head's `ray start --head`, such as 10.0.0.1:6379, and not the dashboard's"
PATIENCE = 120.0
"""Seconds after which what does not answer, or finds no place, counts as lost."""

DRIVER_ENVIRONMENT = {
    # Tune would swallow Ctrl-C; its and Train's banners would tear the live view
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # nobody listens to it, and it costs a process a slot
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # a slot ends when it ends: do not poll it for its health every two seconds only
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
SHARED_ENVIRONMENT = {
    # who else looks at the cluster finds the training runs; it costs 2 s of a core before the first trial
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1"
}
WORKER_ENVIRONMENT = {
    # a worker that does not answer does not say goodbye either; Train would wait for 30 s
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5"
}


@contextmanager
def connected(address: str | None, patience: float = PATIENCE, trusted_network: bool = False) -> Iterator[str | None]:
    """A context in which this process is a Ray driver; yields the dashboard's address.

    ``address`` is that of a running cluster ("host:port", "auto"); without one, a cluster is started on
    this machine and stopped at the end. After an exception it is left as it is: see `end_process`. A worker
    that is silent for ``patience`` seconds is replaced, and one that finds no place for as long is given up.

    Raises:
        UserError: where no cluster answers at ``address``.
    """
    address = check_address(address, trusted_network)
    if address is None:
        ensure_token()
    ours = DRIVER_ENVIRONMENT | (SHARED_ENVIRONMENT if address else WORKER_ENVIRONMENT)
    os.environ.update({k: v for k, v in ours.items() if k not in os.environ})
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(patience)
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(patience / START_ATTEMPTS)
    import ray
    import ray._private.services as ray_services
    import ray._private.worker as ray_worker
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    # the raylet's notices go to its log anyway; Ray has no option that keeps them out of the terminal
    ray_worker.print_to_stdstream = lambda *_, **__: None
    # nor its traceback when an actor dies that is started again
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    # workers of a cluster that starts here inherit this process's environment; a running one needs to be told
    options: dict[str, Any] = {"runtime_env": {"env_vars": WORKER_ENVIRONMENT}}
    # it takes as long to import as Ray's processes to come up
    meanwhile = Thread(target=import_module, args=("torch",))
    meanwhile.start()
    try:
        if address is None:
            options = {"include_dashboard": True, "dashboard_host": "127.0.0.1"}
            options["_temp_dir"] = str(private_folder())
        else:
            maybe_enable_token_auth_if_token_available()  # as `ray start` does, but not `ray.init`
            if address == "auto":
                address = found_here(ray_services)
            refuse_eavesdroppers(address, trusted_network)
            check_is_ray(address)
        context = ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **options)
    except UserError:
        raise
    except Exception as error:  # a node that does not come up in time is no class of its own
        raise not_joined(address, error) from error
    finally:
        meanwhile.join()  # a process that ends in the middle of an import says so
    yield context.dashboard_url
    ray.shutdown()


def found_here(services: Any) -> str:
    """The address of the cluster that this machine is a node of. Raises: UserError where there is not one."""
    try:
        return str(services.canonicalize_bootstrap_address("auto"))
    except ConnectionError as error:
        raise UserError(
            f"--address auto must find one Ray cluster on this machine: {str(error).splitlines()[0]}\n"
            "start one with `ray start --head`, or give its host:port"
        ) from error


def ensure_token() -> None:
    """Make the token that the processes of a cluster show each other, unless there is one; mode 0600."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(exist_ok=True)
    # whole and closed to others from the moment that it has its name; who comes second takes the first's
    handle, new = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        Path(new).unlink()
    path.chmod(0o600)


def private_folder() -> Path:
    """A folder for what Ray writes, below one that no other user of this machine enters: Ray opens its own to
    all, sockets and logs too. Short, as the paths of sockets have 107 bytes at most."""
    path = Path(f"/tmp/ray-{os.getuid()}")
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        path = Path(tempfile.mkdtemp(prefix="ray-"))
    path.chmod(0o700)
    return path / "ray"


def end_process(code: int) -> None:
    """Exit with ``code`` although slots may be open; a no-op where Ray is not up.

    A slot's thread that meets a Ray that was shut down ends the process at once, with another code. So the
    cluster's processes are ended, if they are ours, and then this one, without a word to Ray.
    """
    import ray

    if not ray.is_initialized():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    os._exit(code)


def not_joined(address: str | None, error: Exception) -> UserError:
    where = f"the cluster at {address}" if address else "a cluster on this machine"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("Version mismatch"):  # Ray's text: its versions, then ours, a line each
        theirs, ours = (" and ".join(line.strip().replace(":", "") for line in lines[at : at + 2]) for at in (1, 4))
        return UserError(f"{where} has {theirs}, this process {ours}\ninstall the same versions on both")
    hint = (
        "if it asks for a token, copy the head's ~/.ray/auth_token to this machine"
        if address
        else "the same command tries again; a machine that is busy may be too slow"
    )
    return UserError(f"Ray could not join {where}: {lines[0]}\n{hint}")


def check_address(address: str | None, trusted_network: bool = False) -> str | None:
    """The address as Ray is told of it: "auto" is RAY_ADDRESS, where there is one; None is this machine.

    Ray waits for minutes for a cluster that is not there: knock first.

    Raises:
        UserError: where nobody answers, or others could listen.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or "auto"
    if address in (None, "local"):
        return None
    if address == "auto":
        return address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UserError(f"--address must be host:port or auto, got {address!r}\n{ADDRESS_HINT}")
    refuse_eavesdroppers(address, trusted_network)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"no Ray cluster answers at {address}: {error}\n"
            "start one with `ray start --head`, or leave --address out to run on this machine"
        ) from error
    return address


def check_is_ray(address: str) -> None:
    """Ask before Ray does, which would go on and on.

    Raises:
        UserError: where no Ray cluster answers at an address, or one that refuses this process's token.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # type: ignore[attr-defined]
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    try:
        with init_grpc_channel(address.removeprefix("ray://")) as channel:
            NodeInfoGcsServiceStub(channel).CheckAlive(CheckAliveRequest(), timeout=ANSWER_SECONDS)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise UserError(
                f"the cluster at {address} asks for a token that this process does not have\n"
                "copy the head's ~/.ray/auth_token to this machine, with mode 0600"
            ) from error
        raise UserError(
            f"what listens at {address} does not answer as a Ray cluster ({error.code().name.lower()})\n"
            "give the port of its head (6379, unless `ray start --head --port` said another)"
        ) from error


def refuse_eavesdroppers(address: str, trusted_network: bool) -> None:
    """Raises: UserError for an address on another machine where nothing is encrypted, as what a driver sends
    is run there, and who sees its token can send as much."""
    if trusted_network or os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true"):
        return
    host = address.removeprefix("ray://").rpartition(":")[0].strip("[]")
    try:
        found = [ipaddress.ip_address(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError, ValueError) as error:
        raise UserError(f"no Ray cluster answers at {address}: {error}\n{ADDRESS_HINT}") from error
    here = {
        ipaddress.ip_address(a.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for a in addresses
        if a.family in (socket.AF_INET, socket.AF_INET6)
    }
    if not all(ip.is_loopback or ip in here for ip in found):
        raise UserError(
            f"a cluster on another machine must be reached by TLS (RAY_USE_TLS=1), got {address}\n"
            "--trusted-network says that nobody else can listen there; see cluster/README.md"
        )


def refuse_vanishing(path: Path) -> None:
    """Raises: UserError for a path in the copy of a working directory that Ray makes for a job."""
    if "working_dir_files" in path.parts and "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        raise UserError(
            f"--out must be outside the job's working directory, which Ray removes, got {path}\n"
            "give an absolute path, in a folder that all nodes see"
        )
