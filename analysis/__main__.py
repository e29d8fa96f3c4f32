"""``python -m analysis report runs/<study>``, ``... best``, ``... compare runs/a runs/b``, ``... list runs``."""

if __name__ == "__main__":
    from trainables.interrupts import end_at_once

    end_at_once()  # at Ctrl-C, while all else is imported

import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from analysis.progress import progress_bar
from trainables.console import (
    checked_options,
    command_group,
    folder_of,
    known_file_of,
    known_folder_of,
    new_page_of,
    run,
    unwritable,
)
from trainables.errors import OptionError, StudyWarning, UserError
from trainables.machine import limit_threads
from trainables.records.study_layout import StudyLayout, study_of
from trainables.terminal import Column, print_facts, print_table, print_text, screen
from trainables.text import printable

if TYPE_CHECKING:
    import pandas as pd

# torch's threads wait asleep: on a machine that others use, those that spin take three times the CPU, and longer
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# what a terminal shows, the most important first
_LISTED = (
    Column("study", "study", is_text=True),
    Column("complete", "complete"),
    Column("front", "front"),
    Column("knee", "knee"),
    Column("val_rate", "rate, nats", ".2f"),
    Column("val_distortion", "distortion, nats", ".2f"),
    Column("val_bits_per_dim", "bits/dim", ".4f"),
    Column("val_relative_loss", "of a linear model's", ".3f"),
    Column("dataset", "data set", is_text=True),
    Column("trials", "trials"),
    Column("pruned", "pruned"),
    Column("failed", "failed"),
    Column("running", "running"),
    Column("interrupted", "interrupted"),
    Column("created", "created", ".10", is_text=True),
)
_COMPARED = (
    Column("study", "study", is_text=True),
    Column("complete", "complete"),
    Column("val_bits_per_dim", "bits/dim", ".4f"),
    Column("val_rate", "rate, nats", ".2f"),
    Column("beta", "KL weight", ".3g"),
    Column("val_relative_loss", "of a linear model's", ".3f"),
    Column("hypervolume", "front's area, nats²", ".4g"),
    Column("latent_dim", "latent size"),
    Column("depth", "depth"),
    Column("hours", "hours", ".2f"),
)
_COMPARED_FRONTS = (
    Column("study", "study", is_text=True),
    Column("complete", "complete"),
    Column("front", "front"),
    Column("front_excess", "excess, nats", ".2f"),
    Column("front_excess_low", "from", ".2f"),
    Column("front_excess_high", "to", ".2f"),
    Column("hypervolume", "hypervolume, nats²", ".4g"),
    Column("hours", "hours", ".2f"),
)

# of what sets the numbers of studies apart, where it does
_DIFFERING = (Column("likelihood", "likelihood", is_text=True), Column("binarise", "binarise", is_text=True))
_RUNS, _PAGE = Path("runs"), Path("compare.html")
_Study = Annotated[
    Path, typer.Argument(parser=study_of, metavar="STUDY", help="The study's folder, such as runs/digits_vae.")
]
app = command_group("Figures, tables and a page to read, from a study's folder.")


@app.command()
def report(
    study: _Study,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials to draw.")] = 2,
    data_dir: Annotated[
        Path | None,
        typer.Option(parser=folder_of, metavar="PATH", help="The data set's folder.  [default: the study's own]"),
    ] = None,
    inception: Annotated[
        Path | None,
        typer.Option(parser=known_file_of, metavar="PATH", help="Inception weights for the FID.  [default: no FID]"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The tables and the first screen alone, in seconds.")] = False,
) -> None:
    """Draw the best runs and the study, export the best models, and write report.html."""
    with progress_bar(screen(stderr=True)) as progress:
        from analysis.report.report import write_report  # seconds of imports, which --help can do without

        with checked_options():
            if fault := unwritable(study):
                way_out = "make room there, or copy it to where a report can be written"
                raise UserError(f"STUDY must be a folder that can be written, got {study}: {fault}\n{way_out}")
            StudyLayout(study).refuse_misplaced()
            _check_inception(inception)
        limit_threads()
        paths = write_report(study, top, data_dir, progress, inception, quick)
    for name, path in paths.items():
        print(f"{name:8} {path}")


@app.command()
def best(
    study: _Study,
    rate: Annotated[float | None, typer.Option(help="The lowest distortion at no more rate, nats an image.")] = None,
    distortion: Annotated[float | None, typer.Option(help="The lowest rate at no more distortion, nats.")] = None,
    price: Annotated[float | None, typer.Option(help="The lowest distortion + PRICE x rate.")] = None,
    bits: Annotated[bool, typer.Option("--bits", help="The fewest bits per dimension.")] = False,
    knee: Annotated[bool, typer.Option("--knee", help="Where the front bends: of two objectives the default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Which model to take, what it gives up against its neighbours, and how sure that is."""
    from analysis.reading.choice import Wish, choose
    from analysis.report.best import best_facts, best_json

    choice = choose(study, Wish.of(rate, distortion, price, bits, knee))
    try:
        choice.run.load()
    except UserError as error:  # its numbers are known all the same
        warnings.warn(StudyWarning(error), stacklevel=1)
    if as_json:
        print(json.dumps(best_json(choice), indent=2, allow_nan=False))
    else:
        print_facts(best_facts(choice), _screens()[0], whole=["weights", "config"])


@app.command()
def compare(
    studies: Annotated[
        list[Path], typer.Argument(parser=study_of, metavar="STUDY", help="Two folders of studies, or more.")
    ],
    out: Annotated[Path, typer.Option(parser=new_page_of, metavar="PATH", help="The page to write.")] = _PAGE,
) -> None:
    """Studies beside each other: which answers better, in a table and a page. In a pipe: tab-separated values."""
    from analysis.report.compare import compare_studies, write_comparison

    with progress_bar(screen(stderr=True)) as progress:
        comparison = compare_studies(studies, progress)
    page = write_comparison(comparison, out)
    tables, notes = _screens()
    unknown = "no trial is complete, or no area: fewer than 2 are, or the studies cannot be compared"
    study, *others = _known(_COMPARED_FRONTS if comparison.by_fronts else _COMPARED, comparison.table)
    columns = [study, *(it for it in _DIFFERING if comparison.table[it.name].nunique() > 1), *others]
    print_table(_rows(comparison.table), columns, tables, unknown)
    for sentence in comparison.findings:
        print_text(sentence, notes)
    print_facts({"page": str(page)}, notes, whole=["page"])


@app.command("list")
def list_(
    folder: Annotated[
        Path, typer.Argument(parser=known_folder_of, metavar="FOLDER", help="Where studies are, at any depth.")
    ] = _RUNS,
) -> None:
    """The studies in a folder, how far they are, and the best that each has found. In a pipe: tab-separated values."""
    from analysis.report.listing import list_studies

    with progress_bar(screen(stderr=True)) as progress:
        found = list_studies(folder, progress)
    if not len(found):
        print(f"no studies in {folder}")
        return
    tables, notes = _screens()
    unknown = "no trial is complete, or no front: one number is minimised, or each trial is a curve"
    print_table(_rows(found), _known(_LISTED, found), tables, unknown)
    if older := ", ".join(found.loc[found["definitions"] == 1, "study"]):
        print_text(f"by definitions 1, whose bits per dimension are not those of the others: {older}", notes)
    for study, fault in zip(found["study"], found["fault"], strict=True):
        if isinstance(fault, str):
            print(f"{printable(study)} cannot be read: {printable(fault)}", file=sys.stderr)


def _check_inception(weights: Path | None) -> None:
    """Raises: OptionError for what holds no weights for the FID."""
    from analysis.measures.sample_quality import inception_distance

    try:
        if weights:
            inception_distance(weights)
    except UserError as error:
        raise OptionError(f"--inception {error}") from error


def _screens() -> tuple[Console, Console]:
    """Where a table goes, and where what is said of it: not into a pipe, which gets data alone."""
    tables = screen()
    return tables, screen(stderr=not tables.is_terminal)


def _known(columns: Sequence[Column], frame: "pd.DataFrame") -> list[Column]:
    """Without what multi-rate studies alone have, where there is none."""
    return [it for it in columns if it.name != "val_relative_loss" or frame[it.name].notna().any()]


def _rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Of Python's own values, None where they are unknown."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


if __name__ == "__main__":
    run(app, "python -m analysis")
