"""What is said and done when a study's process has ended, however it did: a process of its own, as Ray ends a
driver without a word when the cluster is gone, and a kill leaves none for one.

It is told on its standard input, a line each: what to run; and at the end, how the study ended.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress

FINISH_SECONDS = 300
"""What the command of --on-finish may take."""
GONE = {"VAE_OUTCOME": "failed", "VAE_EXIT_CODE": "1"}


def main() -> None:
    task, end = json.loads(sys.stdin.readline()), sys.stdin.readline()
    if not end:
        with suppress(OSError):  # the terminal may be gone, too
            print(
                "error: the study's process was ended, by a kill or because its Ray cluster is gone\n"
                "the same command goes on from there",
                file=sys.stderr,
                flush=True,
            )
    if not task["command"]:
        return
    facts = task["facts"] | (json.loads(end) if end else GONE)
    try:
        done = subprocess.run(
            task["command"], shell=True, check=False, env=os.environ | facts, timeout=FINISH_SECONDS
        ).returncode
        fault = f"exited with {done}" if done else ""
    except subprocess.TimeoutExpired:
        fault = f"took more than {FINISH_SECONDS} s"
    if fault:
        print(f"the command of --on-finish {fault}", file=sys.stderr)


if __name__ == "__main__":
    main()
