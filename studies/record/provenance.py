"""By what command, with which versions and on what machine a study was made, for its record."""

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from trainables.machine import cores
from trainables.records.storage_urls import masked
from trainables.text import SECRETS, as_typed, legible, without_passwords

_PACKAGES = ("vae-studies", "ray", "torch", "torchvision", "optuna", "numpy", "pandas", "scikit-learn")
_ROOT = str(Path(__file__).parents[2])
_SECONDS = 10.0  # how long a command may take to say what this machine is


def provenance() -> dict[str, Any]:
    """Command, versions, commit and machine."""
    return {
        "directory": legible(str(Path.cwd())),
        "command": legible(without_passwords(as_typed("python", *_without_secrets(sys.argv)))),
        "versions": {"python": platform.python_version()} | _versions(),
        "git_commit": _commit(),
        "hardware": {
            "machine": platform.machine(),
            "cpus": cores(),  # that the driver may use
            # torch would take a second to import, and memory on each
            "gpus": _output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines(),
        },
    }


def _commit() -> str | None:
    """Of the repository whose root this project is: what it was unpacked or installed in has commits of its own."""
    if _output_of("git", "-C", _ROOT, "rev-parse", "--show-prefix"):
        return None
    return _output_of("git", "-C", _ROOT, "describe", "--always", "--dirty", "--abbrev=12") or None


def has_bfloat16() -> bool:
    """Whether this machine's processor multiplies in bfloat16, as far as Linux says."""
    try:
        return bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", Path("/proc/cpuinfo").read_text()))
    except OSError:
        return False


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


def _output_of(*command: str) -> str:
    """What a command prints; nothing where it fails, hangs, or is not there."""
    quiet = subprocess.DEVNULL
    # not those of a repository that a hook, or a person's dotfiles, have named
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.check_output(
            command, stderr=quiet, text=True, errors="replace", timeout=_SECONDS, env=variables
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return ""
