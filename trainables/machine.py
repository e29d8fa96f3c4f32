"""What of this machine a process may use: its cores and its memory, as affinity, control groups and jobs leave them.
A count of the machine's own would have as many threads, trials and workers compete for what there is."""

import os
import resource
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from rich.filesize import decimal

from trainables.errors import StudyWarning, UserError
from trainables.text import spoken

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
# of Slurm, Grid Engine, PBS, Torque and LSF: what a job has of its node, or of all of them; and Python's own, which
# HTCondor sets
_JOBS_CORES = (
    *("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "NSLOTS", "PBS_NCPUS", "NCPUS", "PBS_NUM_PPN", "PBS_NP"),
    *("LSB_DJOB_NUMPROC", "PYTHON_CPU_COUNT"),
)
_WORKER_BYTES = 768 << 20  # of a process that trains on a CPU, its libraries included
_THREADS = 600  # 577 were seen, with two cores
_ADDRESSES = 16 << 30  # 12 were seen
_FILE_BYTES = 128_000_000  # of a file by which Ray's processes share memory; with 80 it was seen to start
_RAY_BYTES = 1536 << 20  # of the driver, and of Ray's own processes


def cores() -> int:
    """Cores that this process may use at once, at least 1: of a quota of 3.5 they are 3."""
    most = [float(len(os.sched_getaffinity(0)))]
    most += [quota for text in _limits("cpu", "cpu.max") if (quota := _quota(text))]
    most += [quota for text in _limits("cpu", "cpu.cfs_quota_us", "cpu.cfs_period_us") if (quota := _quota(text))]
    most += [number for name in _JOBS_CORES if (number := _number(os.environ, name))]
    return max(1, int(min(most)))


def memory() -> int:
    """Bytes of memory that this process, and what it starts, may take."""
    most: list[int] = [psutil.virtual_memory().total]
    texts = [*_limits("memory", "memory.max"), *_limits("memory", "memory.limit_in_bytes")]
    most += [int(text) for text in texts if text.isdecimal()]
    if a_node := _number(os.environ, "SLURM_MEM_PER_NODE"):  # in MB, as the next; 0: all of it
        most.append(a_node << 20)
    if a_core := _number(os.environ, "SLURM_MEM_PER_CPU"):
        most.append((a_core << 20) * (_number(os.environ, "SLURM_CPUS_ON_NODE") or cores()))
    if a_gpu := _number(os.environ, "SLURM_MEM_PER_GPU"):
        most.append((a_gpu << 20) * (_number(os.environ, "SLURM_GPUS_ON_NODE") or 1))
    return min(most)


def cores_for_workers() -> int:
    """Cores to give to workers of one core or more, at least 1: no more than their memory has room for."""
    return max(1, min(cores(), (memory() - _RAY_BYTES) // _WORKER_BYTES))


def largest_file() -> int | None:
    """Bytes of a file that this process may write; None where it has no limit."""
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if most == resource.RLIM_INFINITY else most


def warn_of_tight_limits() -> None:
    """A `StudyWarning` where Ray and one worker take more memory than this process may, and where each process is
    killed after so much time of a processor."""
    most, _ = resource.getrlimit(resource.RLIMIT_CPU)
    if most != resource.RLIM_INFINITY:
        text = f"ulimit -t ends each process after {spoken(most)} of a processor's time, the study's own, too"
        warnings.warn(StudyWarning(text), stacklevel=2)
    if (most := memory()) < _RAY_BYTES + _WORKER_BYTES:
        wanted = decimal(_RAY_BYTES + _WORKER_BYTES)
        text = f"this process may take {decimal(most)} of memory, and a study some {wanted}: it may be killed for that"
        warnings.warn(StudyWarning(text), stacklevel=2)


def refuse_small_limits() -> None:
    """Raises: UserError where Ray could not start: a process has no room for what it reserves, and uses little of, and
    would wait for ever; or too few processes and threads may run at once."""
    rule = f"{_THREADS} processes and threads at least must be allowed at once, as Ray and a study have"
    texts = _limits("pids", "pids.max")
    if (threads := min((int(text) for text in texts if text.isdecimal()), default=_THREADS)) < _THREADS:
        raise UserError(f"{rule}, got {threads} (pids.max)\nraise it, such as by docker run --pids-limit")
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)  # of this user, but for root
    if os.geteuid() and most != resource.RLIM_INFINITY and most < _THREADS:
        raise UserError(f"{rule}, got {most} (ulimit -u)\nraise it, or use a machine that is meant for computing")
    if (most_bytes := largest_file()) is not None and most_bytes < _FILE_BYTES:
        rule = f"ulimit -f must allow files of {decimal(_FILE_BYTES)}, by one of which Ray's processes share memory"
        raise UserError(f"{rule}, got {decimal(most_bytes)}\nulimit -f unlimited, or ask for more in the job's script")
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < _ADDRESSES:
        rule = f"ulimit -v must leave a process {decimal(_ADDRESSES)} of addresses, which Ray reserves and hardly uses"
        raise UserError(f"{rule}, got {decimal(most)}\nulimit -v unlimited, or ask for more in the job's script")


def limit_threads() -> None:
    """Have torch use no more threads in this process than it has cores. A person's lower number stays."""
    import torch

    torch.set_num_threads(min(torch.get_num_threads(), cores()))


def _limits(controller: str, *files: str) -> Iterator[str]:
    """What these ``files`` hold, joined by a blank, for this process's control group and for each above it: of both
    versions of control groups, wherever a container has mounted its own as the root."""
    try:
        groups = [line.split(":", 2) for line in os.fsdecode(_OWN_CGROUPS.read_bytes()).splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        if controllers and controller not in controllers.split(","):
            continue
        for root in [_CGROUPS / controller] if controllers else [_CGROUPS, _CGROUPS / "unified"]:
            own = root / path.lstrip("/")
            for folder in [own, *own.parents]:
                if folder.is_relative_to(root) and all((folder / name).is_file() for name in files):
                    yield " ".join(_content(folder / name) for name in files)


def _content(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # of a group that has just gone
        return ""


def _quota(text: str) -> float | None:
    """The cores in "150000 100000", microseconds in each so many; None without a limit, "max 100000" or "-1 100000"."""
    quota, _, period = text.partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _number(variables: Mapping[str, str], name: str) -> int | None:
    """A variable's whole number from 1; None where it has none."""
    text = variables.get(name, "")
    return int(text) or None if text.isdecimal() else None
