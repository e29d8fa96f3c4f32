"""The locks against the ranges they were made of, and the wheel in an environment of what a user installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.commands import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ["vae_models", "trainables", "analysis", "studies", "cluster"]
LOCKS: dict[str, list[str]] = {"user": [], "dev": ["dev"]}
"""Each lock, and the extras in it."""


def locked(name: str) -> dict[str, list[Requirement]]:
    """The requirements of a lock by canonical name, several where platforms differ."""
    lines = (ROOT / "requirements" / f"{name}.lock").read_text().replace("\\\n", " ").splitlines()
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            requirement = Requirement(line.partition(" --hash=")[0])
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def here(marker: Marker | None) -> bool:
    return marker is None or marker.evaluate()


def version_of(requirement: Requirement) -> Version:
    [pin] = requirement.specifier
    assert pin.operator == "==", requirement
    return Version(pin.version)


def ranges(*extras: str) -> Iterator[Requirement]:
    """What pyproject.toml asks for with these extras, and with those that they name of the project itself."""
    named = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    for requirement in (Requirement(text) for texts in named for text in texts):
        if requirement.name == PROJECT["name"]:
            yield from ranges(*requirement.extras)
        else:
            yield requirement


# Locks


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_hashes_and_no_url(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("\\\n    --hash", " --hash"), re.MULTILINE)  # no option: no index
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert len(lines) > 100
    for line in lines:
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", requirement.strip()), line[:80]
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), requirement


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_satisfies_every_range(name: str) -> None:
    lock = locked(name)
    for requirement in ranges(*LOCKS[name]):
        assert canonicalize_name(requirement.name) in lock, f"{requirement} is missing: make lock"
        for pin in lock[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(version_of(pin)), f"{pin} is not {requirement}: make lock"


def test_the_users_lock_is_a_part_of_the_developers() -> None:
    user, dev = locked("user"), locked("dev")
    for name, pins in user.items():
        assert {version_of(pin) for pin in pins} <= {version_of(pin) for pin in dev.get(name, [])}, f"{name}: make lock"


def test_a_user_installs_none_of_the_tests_tools_and_nothing_of_a_rare_path() -> None:
    tools = {canonicalize_name(r.name) for r in ranges("dev")} - {canonicalize_name(r.name) for r in ranges()}
    assert {"pytest", "mypy", "selenium", "moto", "torchvision", "umap-learn"} <= tools
    assert set(locked("user")) & tools == {"jsonschema", "packaging", "pyyaml", "setuptools"}  # Ray's and torch's own


# What is said of the project


def test_every_file_names_the_same_version() -> None:
    version = PROJECT["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == version
    for path in [ROOT / "cluster" / "deploy" / "Dockerfile", *(ROOT / "cluster" / "deploy" / "kuberay").glob("*.yaml")]:
        assert set(re.findall(r"vae-studies:(\d[\w.]*)", path.read_text())) <= {version}, path


def test_the_citation_says_what_the_project_says() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()


def test_every_package_says_that_it_is_typed() -> None:
    assert sorted(path.parent.name for path in ROOT.glob("*/py.typed")) == sorted(PACKAGES)
    assert sorted(path.parent.name for path in ROOT.glob("*/__init__.py")) == sorted(PACKAGES)


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built in a copy, as setuptools leaves its files beside the source."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "main.py"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(out)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def user_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment: the wheel, and links to the packages of the user's lock, which are here."""
    environment = tmp_path_factory.mktemp("user")
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    packages = next(environment.glob("lib/python*/site-packages"))
    for requirement in (r for several in locked("user").values() for r in several if here(r.marker)):
        installed = distribution(requirement.name)
        for top in {path.parts[0] for path in installed.files or [] if path.parts[0] not in ("..", "__pycache__")}:
            link = packages / top
            if not link.exists():
                link.symlink_to(Path(str(installed.locate_file(top))))
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--quiet", str(wheel)], check=True)
    return python


def run(python: Path, *arguments: str, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # a developer's may lead here
    command = [python, *arguments]
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=timeout, check=False)


def test_the_wheel_holds_what_the_source_does(wheel: Path) -> None:
    kinds = ("*.py", "py.typed", "report/templates/*", "deploy/**/*")
    files = {p for name in PACKAGES for kind in kinds for p in (ROOT / name).rglob(kind) if p.is_file()}
    source = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts} | {"main.py"}
    with ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == source
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert {"cluster/deploy/slurm.sh", "cluster/deploy/kuberay/rayjob.yaml", "studies/py.typed"} <= source
    assert f"Version: {PROJECT['version']}\n" in text
    assert "License-Expression: Apache-2.0\n" in text


@pytest.mark.heavy
def test_the_users_lock_is_all_that_the_wheel_needs(user_python: Path, tmp_path: Path) -> None:
    checked = run(Path(sys.executable), "-m", "pip", "--python", str(user_python), "check", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.heavy
def test_every_module_of_the_wheel_imports_without_the_tests_tools(user_python: Path, tmp_path: Path) -> None:
    code = f"""
import importlib, importlib.util, pkgutil
from pathlib import Path
assert not [n for n in ("pytest", "mypy", "selenium", "moto", "torchvision", "umap") if importlib.util.find_spec(n)]
import main
for package in map(importlib.import_module, {PACKAGES}):
    assert Path(package.__file__).is_relative_to({str(user_python.parents[1])!r}), package.__file__
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
    result = run(user_python, "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", ["studies", "analysis", "cluster", "main", "studies.digits_vae"])
def test_a_command_of_the_wheel_says_its_usage(user_python: Path, tmp_path: Path, module: str) -> None:
    result = run(user_python, "-m", module, "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()


@pytest.mark.slow
def test_a_study_runs_from_the_wheel(user_python: Path, tmp_path: Path) -> None:
    small = "--set model.width=4 --limit-train 100 --limit-val 50 --trials 1 --epochs 1 --final-epochs 0 --no-report"
    result = run(user_python, "-m", "studies.digits_vae", *small.split(), cwd=tmp_path, timeout=1100)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "runs" / "digits_vae" / "trials" / "0000" / "metrics.jsonl").is_file()
    listed = run(user_python, "-m", "analysis", "list", "runs", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "digits" in listed.stdout
