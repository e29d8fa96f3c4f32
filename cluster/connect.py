"""Joining a Ray cluster, or starting one here."""

import _thread
import logging
import os
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any

import psutil

from cluster import ray_private, sessions
from cluster.access import (
    check_address,
    ensure_token,
    private_folder,
    refuse_eavesdroppers,
    said_by,
    shorten_tmpdir,
    use_token,
)
from trainables.errors import ExitCode, UserError
from trainables.interrupts import ENDING
from trainables.machine import cores_for_workers, largest_file, memory
from trainables.slots.resources import START_ATTEMPTS

ANSWER_SECONDS = 15.0
_HELD_SECONDS = 3  # that Ray's start, which takes about as long, may go on for after a Ctrl-C
PATIENCE = 120.0  # seconds after which what does not answer, or finds no place, counts as lost

_DRIVER_ENVIRONMENT = {
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
    # below `uv run`, each worker would be one of an environment of its own, downloaded anew, in a copy of this folder
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
# who else looks at the cluster finds the training runs; it costs 2 s of a core before the first trial
_SHARED_ENVIRONMENT = {"RAY_TRAIN_ENABLE_STATE_TRACKING": "1"}
_STORE_SHARE, _LEAST_STORE_BYTES = 0.2, 80 << 20  # of the memory, for Ray's objects, of which a study has few
# a worker that does not answer does not say goodbye either; Train would wait for 30 s
_WORKER_ENVIRONMENT = {"TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5"}
_left: list[Path] = []  # folders that the clusters which this process has started leave
_joining = Event()  # from before this process is a driver until it is none any more


def check_cluster(address: str | None, patience: float = PATIENCE, trusted_network: bool = False) -> None:
    """Raises: UserError where no cluster answers at an ``address``, or this process is not to join it; None is this
    machine."""
    address = check_address(address, trusted_network)
    if address is None:
        return
    _set_environment(address, patience)
    import ray  # noqa: F401 (by the environment)

    ray_private.read_environment()
    _checked(address, trusted_network)


@contextmanager
def connected(address: str | None, patience: float = PATIENCE, trusted_network: bool = False) -> Iterator[str | None]:
    """A context in which this process is a Ray driver; yields the dashboard's address. ``address`` is that of a running
    cluster ("host:port", "auto"); without one, a cluster is started on this machine and stopped at the end. After an
    exception it is left as it is: see `end_process`. A worker that is silent for ``patience`` seconds is replaced, and
    one that finds no place for as long is given up. Raises: UserError where no cluster answers at ``address``."""
    address = check_address(address, trusted_network)
    _set_environment(address, patience)
    import ray

    ray_private.read_environment()
    ray_private.silence_notices()
    # nor is Tune's traceback wanted when an actor dies that is started again
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    # it takes as long to import as Ray's processes to come up
    meanwhile = Thread(target=import_module, args=("torch",))
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # for the thread: what ends the command is the main one's to hear
    meanwhile.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    try:
        if address is None:
            shorten_tmpdir()
            options = _options_here()
        else:
            address = _checked(address, trusted_network)
            # a cluster that starts here hands this process's environment on; a running one needs to be told
            options = {"runtime_env": {"env_vars": _WORKER_ENVIRONMENT}}
        # what Ray raises it also logs
        options |= {"address": address or "local", "logging_level": logging.CRITICAL, "log_to_driver": False}
        _joining.set()
        with _signals_held():
            context: Any = ray.init(**options)
            logging.getLogger("ray").setLevel(logging.ERROR)
            if address is None:
                session = Path(context.address_info["session_dir"])
                _left.extend([session, *sessions.listening_folders()])
    except UserError:
        raise
    except Exception as error:  # a node that does not come up in time is no class of its own
        if address is None:
            private_folder()  # what is full by now says so itself
        raise _not_joined(address, error) from error
    finally:
        meanwhile.join()  # a process that ends in the middle of an import says so
    if address is None:
        sessions.remove_ended(session.parent, session)
    yield context.dashboard_url
    ray.shutdown()
    _joining.clear()
    _take_signals_back()
    _remove_what_is_left()


def _take_signals_back() -> None:
    """Have Python's handlers called again: Ray's library gives SIGTERM back to the system, which ends the process."""
    for number in (signal.SIGINT, *ENDING):
        if (handler := signal.getsignal(number)) is not None:
            signal.signal(number, handler)


def keep_logs() -> None:
    """Leave the logs of the clusters that this process has started, as after an end that was no good one."""
    _left.clear()


def _remove_what_is_left() -> None:
    """Remove what the clusters that this process started, and that are gone, have left."""
    while _left:
        sessions.remove(_left.pop())


def _options_here() -> dict[str, Any]:
    """What a cluster on this machine is started with: the cores and the memory that this process may use, not all that
    the machine has. Raises: as `cluster.access.temporary_root`."""
    options: dict[str, Any] = {
        "include_dashboard": True,
        "dashboard_host": "127.0.0.1",
        "num_cpus": cores_for_workers(),
    }
    most, file = memory(), largest_file()
    store = max(_LEAST_STORE_BYTES, int(_STORE_SHARE * most))
    if file is not None:  # which holds what is stored, and a little more
        options["object_store_memory"] = store = min(store, file - (4 << 20))
    if most < psutil.virtual_memory().total:
        options["object_store_memory"] = store
        options |= ray_private.options_of_memory(most - store)
    return options | ray_private.options_of_temp_dir(str(private_folder()))


@contextmanager
def _signals_held() -> Iterator[None]:
    """Inside, what ends a command waits until Ray's processes are there: Python loses a Ctrl-C that comes while it
    forks. A second one does not wait, nor does the first for more than seconds. The processes that are started inside
    do not hear SIGTERM and SIGHUP, which systemd, Slurm and shells send to all of them at once: those are the driver's
    to answer, as Ctrl-C is, from which Ray keeps them itself. They end with the driver. Ray's dashboard hears them all
    the same, as Python's multiprocessing lets them through, and ends: so what fails inside after a signal is that
    signal."""
    numbers, held = (signal.SIGINT, *ENDING), list[int]()
    before = {it: found for it in numbers if (found := signal.getsignal(it)) not in (signal.SIG_IGN, None)}

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            signal.default_int_handler(number, frame)
        held.append(number)

    for number in before:
        signal.signal(number, hold)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        with _hurried(held, before.keys()):
            yield
    except SystemExit as ended:  # by Ray's own handler of SIGTERM, while it starts: a thread of a library's took that
        raise KeyboardInterrupt from ended
    finally:
        for number in before:  # again: Ray's library has put its own in their place, which end the process
            signal.signal(number, hold)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # what has come meanwhile is held now
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            raise KeyboardInterrupt


@contextmanager
def _hurried(held: list[int], numbers: Collection[int]) -> Iterator[None]:
    """Inside, the main thread is interrupted seconds after one of ``numbers`` has come, again and again: Ray waits for
    a minute for a dashboard whose own processes are gone."""
    is_left = Event()

    def hurry() -> None:
        late = 0
        while not is_left.wait(1):
            came = held or [it for it in signal.sigpending() if it in numbers]
            late += bool(came)
            if late > _HELD_SECONDS:
                held.append(came[0])
                _thread.interrupt_main(signal.Signals(came[0]))

    thread = Thread(target=hurry, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_left.set()
        thread.join()


def _set_environment(address: str | None, patience: float) -> None:
    """What Ray reads of its environment when it is imported, and what its processes inherit."""
    if address is None:
        ensure_token()
    use_token()
    for name, value in (_DRIVER_ENVIRONMENT | (_SHARED_ENVIRONMENT if address else _WORKER_ENVIRONMENT)).items():
        os.environ.setdefault(name, value)
    os.environ.pop("RAY_LOG_TO_STDERR", None)  # where containers' logs are meant: there are thousands of lines
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(patience)
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(patience / START_ATTEMPTS)


def _checked(address: str, trusted_network: bool) -> str:
    """The address of a running cluster, which answers there. Raises: UserError."""
    if address == "auto":
        try:
            address = ray_private.running_here()
        except ConnectionError as error:
            found = str(error).partition(". ")[0].splitlines()[0]  # Ray goes on with its own options
            raise UserError(
                f"--address auto must find one Ray cluster on this machine: {found}\n"
                "start one with `ray start --head`, or give its host:port"
            ) from error
    if address != "auto":  # else `ray.init` finds it, on this machine
        refuse_eavesdroppers(address, trusted_network)
        check_is_ray(address)
    return address


def end_process(code: int) -> None:
    """Exit with ``code`` although slots may be open, or Ray is up by half; a no-op where it is not. A slot's thread
    that meets a Ray that was shut down ends the process at once, with another code, and a normal exit unloads Ray's
    library under its threads, which was seen to end it by SIGSEGV. So the cluster's processes are ended, if they are
    ours, and then this one, without a word to Ray."""
    if not _joining.is_set():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    if code != ExitCode.FAILED:  # whose logs may be wanted
        _remove_what_is_left()
    os._exit(code)


def _not_joined(address: str | None, error: Exception) -> UserError:
    where = f"the cluster at {address}" if address else "a cluster on this machine"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("Version mismatch"):  # Ray's text: its versions, then ours, a line each
        theirs, ours = (" and ".join(line.strip().replace(":", "") for line in lines[at : at + 2]) for at in (1, 4))
        return UserError(f"{where} has {theirs}, this process {ours}\ninstall the same versions on both")
    if not address and ("timed out" in lines[0] or lines[0].startswith("The last ")):  # whose lines are not a reason
        lines[0] = "its processes were not there in time"
    busy = "the same command tries again; a machine that is busy may be too slow"
    hint = "if it asks for a token, copy the head's ~/.ray/auth_token to this machine" if address else busy
    could_not = f"join {where}" if address else "start on this machine"
    return UserError(f"Ray could not {could_not}: {lines[0]}\n{hint}")


def check_is_ray(address: str) -> None:
    """Ask before Ray does, which would go on and on. Raises: UserError where no Ray cluster answers at an address, or
    one that refuses this process's token."""
    import grpc

    try:
        ray_private.ask_whether_alive(address, ANSWER_SECONDS)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            fault = f"the cluster at {address}, as {said_by(address)} says, asks for a token that this process lacks"
            raise UserError(f"{fault}\ncopy the head's ~/.ray/auth_token to this machine, with mode 0600") from error
        raise UserError(
            f"what listens at {address} does not answer as a Ray cluster ({error.code().name.lower()})\n"
            f"{said_by(address)} must have the port of its head (6379, unless `ray start --head --port` said another)"
        ) from error
