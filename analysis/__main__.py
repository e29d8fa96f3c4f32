"""``python -m analysis report runs/<study>``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from trainables.errors import UserError
from trainables.text import printable

app = typer.Typer(
    help="Figures, tables and a page to read, from a study's folder.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def main() -> None:
    """Figures, tables and a page to read, from a study's folder."""


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="The study's folder, such as runs/digits_vae.")],
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials to draw.")] = 2,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the data set's files are.  [default: where the study had them]")
    ] = None,
) -> None:
    """Draw the best runs and the study, export the best models, and write report.html."""
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            from analysis.report import write_report  # seconds of imports, which --help can do without

            paths = write_report(study, top, data_dir, progress=lambda step: status.update(f"{step} ..."))
    except (UserError, OSError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None
    for name, path in paths.items():
        print(f"{name:8} {path}")


if __name__ == "__main__":
    app(prog_name="python -m analysis")
