"""``python -m analysis report runs/<study>``, ``... best``, ``... compare runs/a runs/b``, ``... list runs``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from analysis.progress import progress_bar
from trainables.console import command_group, run
from trainables.text import printable

if TYPE_CHECKING:
    import pandas as pd

_LISTED = "study dataset trials complete pruned failed running val_bits_per_dim created"
_COMPARED = "study complete val_bits_per_dim val_rate beta latent_dim depth hypervolume hours"
_COMPARED_FRONTS = "study complete front front_excess front_excess_low front_excess_high hypervolume hours"
# columns that the terminal has room for, and what they are called there
_TITLES = {
    "dataset": "data set",
    "val_bits_per_dim": "bits/dim",
    "val_rate": "rate, nats",
    "beta": "KL weight",
    "latent_dim": "latent size",
    "hypervolume": "front's area",
    "front_excess": "excess, nats",
    "front_excess_low": "from",
    "front_excess_high": "to",
}

app = command_group("Figures, tables and a page to read, from a study's folder.")


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="The study's folder, such as runs/digits_vae.")],
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials to draw.")] = 2,
    data_dir: Annotated[Path | None, typer.Option(help="The data set's folder.  [default: the study's own]")] = None,
    inception: Annotated[Path | None, typer.Option(help="Inception weights for the FID.  [default: no FID]")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The tables and the first screen alone, in seconds.")] = False,
) -> None:
    """Draw the best runs and the study, export the best models, and write report.html."""
    with progress_bar(Console(stderr=True)) as progress:
        from analysis.report.report import write_report  # seconds of imports, which --help can do without

        paths = write_report(study, top, data_dir, progress, inception, quick)
    for name, path in paths.items():
        print(f"{name:8} {path}")


@app.command()
def best(
    study: Annotated[Path, typer.Argument(help="The study's folder, such as runs/digits_vae.")],
    rate: Annotated[float | None, typer.Option(help="The lowest distortion at no more rate, nats an image.")] = None,
    distortion: Annotated[float | None, typer.Option(help="The lowest rate at no more distortion, nats.")] = None,
    price: Annotated[float | None, typer.Option(help="The lowest distortion + PRICE x rate.")] = None,
    bits: Annotated[bool, typer.Option("--bits", help="The fewest bits per dimension.")] = False,
    knee: Annotated[bool, typer.Option("--knee", help="Where the front bends: of two objectives the default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Which model to take, what it gives up against its neighbours, and how sure that is."""
    from analysis.reading.choice import Wish, choose
    from analysis.report.best import best_json, best_text

    choice = choose(study, Wish.of(rate, distortion, price, bits, knee))
    print(json.dumps(best_json(choice), indent=2) if as_json else printable(best_text(choice)))


@app.command()
def compare(
    studies: Annotated[list[Path], typer.Argument(help="Two folders of studies, or more.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
) -> None:
    """Studies beside each other: which answers better, in a table and a page."""
    from analysis.report.compare import compare_studies, write_comparison

    with progress_bar(Console(stderr=True)) as progress:
        comparison = compare_studies(studies, progress)
    _print_table(comparison.table, _COMPARED_FRONTS if comparison.by_fronts else _COMPARED)
    for sentence in comparison.findings:
        print(printable(sentence))
    print(f"page     {write_comparison(comparison, out)}")


@app.command("list")
def list_(folder: Annotated[Path, typer.Argument(help="Where studies are, at any depth.")] = Path("runs")) -> None:
    """The studies in a folder, how far they are, and the best that each has found."""
    from analysis.report.compare import list_studies

    with progress_bar(Console(stderr=True)) as progress:
        found = list_studies(folder, progress)
    if not len(found):
        print(f"no studies in {folder}")
        return
    _print_table(found.assign(created=found["created"].str[:10]), _LISTED)
    if older := ", ".join(map(printable, found.loc[found["definitions"] == 1, "study"])):
        print(f"by definitions 1, whose bits per dimension are not those of the others: {older}")
    for study, fault in zip(found["study"], found["fault"], strict=True):
        if isinstance(fault, str):
            print(f"{printable(study)} cannot be read: {printable(fault)}", file=sys.stderr)


def _print_table(frame: "pd.DataFrame", shown: str) -> None:
    """Some of a frame's columns; unknown values are empty."""
    from pandas.api.types import is_string_dtype

    from analysis.report.page import cells

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown.split():
        text, title = is_string_dtype(frame[column]), _TITLES.get(column, column)
        table.add_column(title, justify="left" if text else "right", overflow="fold" if text else "ellipsis")
    for row in cells(frame[shown.split()]):
        table.add_row(*map(printable, row))
    Console(highlight=False, markup=False).print(table)


if __name__ == "__main__":
    run(app, "python -m analysis")
