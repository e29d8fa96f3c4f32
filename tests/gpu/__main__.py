"""make gpu: the tests that need a GPU, then how fast it trains against a plain loop. Without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_MINUTES = 5
_TEST_SECONDS = 150
_OUT = Path("gpu.json")


def main() -> None:
    """Write each result as it comes, as text and to gpu.json."""
    print(f"The tests marked gpu, then training speeds against a plain loop: at most {_MINUTES} minutes, into {_OUT}.")
    if not torch.cuda.is_available():
        sys.exit("There is no GPU here that torch sees: nothing was run.")
    until = time.monotonic() + 60 * _MINUTES
    machine = {"gpu": torch.cuda.get_device_name(0), "torch": torch.__version__, "when": time.strftime("%Y-%m-%d")}
    print(", ".join(machine.values()), flush=True)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    tests = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", "-m", "gpu", str(_HERE)]
    try:
        passed = subprocess.run(tests, cwd=_ROOT, check=False, timeout=_TEST_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"the tests took more than {_TEST_SECONDS} seconds: the rest of them was not run", flush=True)
        passed = False
    found = {"machine": machine, "tests_passed": passed, "measured": []}
    _OUT.write_text(json.dumps(found, indent=2) + "\n")
    sys.path.insert(0, str(_ROOT / "tests/benchmarks"))
    import gpu

    for row in gpu.rows(until):
        found["measured"].append(row)
        _OUT.write_text(json.dumps(found, indent=2) + "\n")
        print(f"{row['network']:8} {row['variant']:28} {_figures(row)}", flush=True)
    sys.exit(0 if passed else 1)


def _figures(row: dict[str, Any]) -> str:
    if "error" in row:
        return str(row["error"])
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,.4g}" for name, value in row.items() if isinstance(value, float)
    )


if __name__ == "__main__":
    main()
