"""Ray's private names: each is in the Ray that is installed, and a Ray that lacks them all still does its work."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from cluster import ray_private
from cluster.connect import check_is_ray


@pytest.mark.parametrize(("module", "name"), ray_private.NAMES, ids=lambda part: part.rpartition(".")[2])
def test_this_ray_has_the_private_name(module: str, name: str) -> None:
    assert ray_private.find(module, name) is not None, f"this Ray has no {module}.{name}: see cluster/ray_private.py"


def test_this_ray_takes_a_folder_for_its_files() -> None:
    assert ray_private.options_of_temp_dir("/x") == {"_temp_dir": "/x"}


def test_this_ray_has_its_command() -> None:
    done = subprocess.run(
        [*ray_private.command(sys.executable), "--version"], capture_output=True, text=True, check=True
    )
    assert version("ray") in done.stdout


def test_a_name_that_is_not_there_is_none() -> None:
    assert ray_private.find("ray._private.worker", "no_such_name") is None
    assert ray_private.find("ray._private.no_such_module", "x") is None


def test_without_the_names_nothing_is_asked_and_ray_finds_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_private, "find", lambda *_: None)
    assert ray_private.running_here() == "auto"
    check_is_ray("127.0.0.1:1")  # nobody is there, which `ray.init` would say
    ray_private.start_coordinator()
    ray_private.silence_notices()


@pytest.mark.slow
def test_a_cluster_starts_without_the_names() -> None:
    code = (
        "from cluster import ray_private\n"
        "ray_private.find = lambda *_: None\n"
        "ray_private.options_of_temp_dir = lambda path: {}\n"
        "from cluster.connect import connected\n"
        "with connected(None):\n"
        "    import ray\n"
        "    print('sum', ray.get(ray.remote(lambda: 3).remote()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "sum 3" in done.stdout
