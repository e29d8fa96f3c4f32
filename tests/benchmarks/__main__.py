"""make bench: every claim of speed, as ratios within one run. Prints a table, and writes it as JSON."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import data
import driver
import gpu
import torch
import training
import trials
import typer
from rich.console import Console
from rich.table import Table
from rounds import COLUMNS, Comparison

SECTIONS: dict[str, Callable[[int], list[Comparison]]] = {
    "throughput": training.throughput,
    "gpu": gpu.throughput,
    "parts": training.parts,
    "multi-rate": training.multi_rate,
    "limit": training.limit,
    "overhead": trials.overheads,
    "study": trials.whole_study,
    "data": data.costs,
    "memory": training.memory,
    "driver": driver.costs,
}


def machine() -> dict[str, str | int]:
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "cpu": cpu[0].partition(":")[2].strip() if cpu else platform.machine(),
        "cores": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main(
    section: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(SECTIONS)}; all.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of which the medians are printed.")] = 3,
    out: Annotated[Path, typer.Option(help="The JSON file.")] = Path("bench.json"),
) -> None:
    """Compare, print a table a section, write JSON."""
    if unknown := set(section or SECTIONS) - set(SECTIONS):
        raise typer.BadParameter(f"--section must be of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    console, found, about = Console(width=170), [], machine()
    console.print(f"{about['cpu']}, {about['cores']} cores, torch {about['torch']}, {rounds} round(s)")
    for name in section or SECTIONS:
        rows = SECTIONS[name](rounds)
        table = Table(*COLUMNS, title=name, title_justify="left", box=None)
        for comparison in rows:
            table.add_row(*comparison.row())
        console.print(table)
        # after each section: what was measured stays, whatever ends the rest
        found += [comparison.record() for comparison in rows]
        record = {"machine": about, "rounds": rounds, "comparisons": found}
        out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
