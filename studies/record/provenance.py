"""By what command, with which versions and on what machine a study was made, for its record."""

import os
import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from trainables.records.storage_urls import masked
from trainables.text import SECRETS, without_passwords

_PACKAGES = ("vae-studies", "ray", "torch", "torchvision", "optuna", "numpy", "pandas", "scikit-learn")
_ANSWER_SECONDS = 10.0  # how long a command may take to say what this machine is


def provenance() -> dict[str, Any]:
    """Command, versions, commit and machine."""
    return {
        "directory": str(Path.cwd()),
        "command": without_passwords(shlex.join(["python", *_without_secrets(sys.argv)])),
        "versions": {"python": platform.python_version()} | _versions(),
        "git_commit": _git_commit(),
        "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "gpus": _gpus()},
    }


def _versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _without_secrets(arguments: list[str]) -> list[str]:
    """A command line without the passwords of its URLs."""
    shown = []
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        if "://" in value:
            with suppress(ArgumentError):
                url = make_url(value)
                value = masked(value) if url.password or set(SECRETS) & set(url.query) else value
        shown.append(f"{option}{equals}{value}")
    return shown


def _gpus() -> list[str]:
    """The names of this machine's NVIDIA GPUs. torch would take a second to import, and memory on each."""
    return _output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()


def _git_commit() -> str | None:
    """The project's commit, marked where files differ from it; None outside git, or without it."""
    root = str(Path(__file__).parents[2])
    return _output_of("git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12") or None


def _output_of(*command: str) -> str:
    """What a command prints; nothing where it fails, hangs, or is not there."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
