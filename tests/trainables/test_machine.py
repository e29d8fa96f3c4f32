"""The cores and the memory that a process may use, in worlds made for it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import psutil
import pytest

from trainables import machine
from trainables.errors import StudyWarning, UserError

GIB = 1 << 30


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of control groups on a machine of 64 cores and 256 GiB, in no job."""
    own = tmp_path / "self"
    own.write_text("")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 256 * GIB}))
    for name in os.environ:
        if name.startswith("SLURM_") or name in machine._JOBS_CORES:
            monkeypatch.delenv(name)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_without_a_limit_all_is_there(world: Path) -> None:
    assert (machine.cores(), machine.memory()) == (64, 256 * GIB)
    write(world / "self", "0::/")
    write(world / "cgroup/cpu.max", "max 100000")
    write(world / "cgroup/memory.max", "max")
    assert (machine.cores(), machine.memory()) == (64, 256 * GIB)


@pytest.mark.parametrize(("quota", "cores"), [("350000 100000", 3), ("50000 100000", 1), ("9000000 100000", 64)])
def test_a_quota_of_the_second_version(quota: str, cores: int, world: Path) -> None:
    write(world / "self", "0::/job/step")
    write(world / "cgroup/job/step/cpu.max", quota)
    write(world / "cgroup/job/memory.max", str(8 * GIB))  # of the group above: it holds below, too
    write(world / "cgroup/job/step/memory.max", "max")
    assert (machine.cores(), machine.memory()) == (cores, 8 * GIB)


def test_a_limit_that_a_study_does_not_fit_into_is_told_of(world: Path) -> None:
    write(world / "self", "0::/")
    with warnings.catch_warnings(action="error"):
        machine.warn_of_tight_limits()
    write(world / "cgroup/memory.max", str(900 << 20))
    with pytest.warns(StudyWarning, match=r"may take 943.7 MB of memory, and a study some 2.4 GB: it may be killed"):
        machine.warn_of_tight_limits()


def test_a_limit_on_the_time_of_a_processor_is_told_of(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1800, 1800))
    with pytest.warns(StudyWarning, match=r"ulimit -t ends each process after 30 min of a processor's time"):
        machine.warn_of_tight_limits()


def test_a_users_limit_on_processes_is_refused(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_NPROC: (100, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits.get(which, (resource.RLIM_INFINITY,) * 2))
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # whom none holds back
    machine.refuse_small_limits()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match=r"600 processes and threads at least .*, got 100 \(ulimit -u\)\nraise it"):
        machine.refuse_small_limits()


def test_too_few_processes_for_ray_are_refused(world: Path) -> None:
    write(world / "self", "0::/job\n4:pids:/old")
    machine.refuse_small_limits()
    write(world / "cgroup/job/pids.max", "max")
    write(world / "cgroup/pids/old/pids.max", "9000")
    machine.refuse_small_limits()
    write(world / "cgroup/pids/pids.max", "128")
    with pytest.raises(
        UserError, match=r"^600 processes and threads at least must be .*, got 128 \(pids\.max\)\nraise it"
    ):
        machine.refuse_small_limits()


def test_a_group_may_have_any_name(world: Path) -> None:
    name = os.fsdecode(b"caf\xe9: a b")
    (world / "self").write_bytes(os.fsencode(f"0::/{name}\n"))
    write(world / "cgroup" / name / "cpu.max", "200000 100000")
    assert machine.cores() == 2


def test_a_quota_of_the_first_version_in_a_container(world: Path) -> None:
    # the path is the host's, and what is mounted is the container's own group
    write(world / "self", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc")
    write(world / "cgroup/cpu/cpu.cfs_quota_us", "200000")
    write(world / "cgroup/cpu/cpu.cfs_period_us", "100000")
    write(world / "cgroup/memory/memory.limit_in_bytes", str(4 * GIB))
    assert (machine.cores(), machine.memory()) == (2, 4 * GIB)
    write(world / "cgroup/cpu/cpu.cfs_quota_us", "-1")
    write(world / "cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    assert (machine.cores(), machine.memory()) == (64, 256 * GIB)


@pytest.mark.parametrize(
    ("variables", "cores", "gib"),
    [
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_MEM_PER_CPU": "2048"}, 4, 8),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_MEM_PER_NODE": "32768"}, 16, 32),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_CPUS_PER_TASK": "2", "SLURM_MEM_PER_NODE": "0"}, 2, 256),
        ({"SLURM_MEM_PER_GPU": "16384", "SLURM_GPUS_ON_NODE": "2", "SLURM_CPUS_ON_NODE": "8"}, 8, 32),
        ({"SLURM_CPUS_PER_TASK": "many", "SLURM_CPUS_ON_NODE": "0"}, 64, 256),
        ({"NSLOTS": "4"}, 4, 256),
        ({"PBS_NUM_PPN": "6", "PBS_NP": "12"}, 6, 256),
        ({"PYTHON_CPU_COUNT": "3"}, 3, 256),
        ({"PBS_NCPUS": "8", "LSB_DJOB_NUMPROC": "3"}, 3, 256),
    ],
)
def test_what_a_job_was_given(
    variables: dict[str, str], cores: int, gib: int, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (machine.cores(), machine.memory()) == (cores, gib * GIB)


@pytest.mark.parametrize(("gib", "workers"), [(256, 64), (4, 3), (1, 1)])
def test_workers_are_no_more_than_their_memory_holds(gib: int, workers: int, world: Path) -> None:
    write(world / "self", "0::/")
    write(world / "cgroup/memory.max", str(gib * GIB))
    assert machine.cores_for_workers() == workers


def test_affinity_counts_for_cores_and_threads() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nfrom trainables import machine\n"
    code += "import torch; torch.set_num_threads(7); machine.limit_threads()\n"
    code += "print(machine.cores(), torch.get_num_threads())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["1", "1"]
