"""What a person watches while a study runs: a live board in a terminal, plain lines elsewhere."""

import math
import sys
import termios
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from studies.record.ledger import STATES
from trainables.metrics import Metrics

_STYLES = {"complete": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}


@dataclass
class _Progress:
    """Of a training that runs."""

    parameters: Mapping[str, Any]
    began: float = field(default_factory=time.monotonic)
    row: Metrics = field(default_factory=dict)
    best: float = math.inf


def _short(parameters: Mapping[str, Any]) -> str:
    """{"beta": 0.1234, "model.depth": 1} -> "beta 0.123  depth 1"."""
    shown = {path: f"{value:.3g}" if isinstance(value, float) else value for path, value in parameters.items()}
    return "  ".join(f"{path.rpartition('.')[2]} {value}" for path, value in shown.items())


def _clock(seconds: float) -> str:
    """3723 -> "1:02:03"."""
    return str(timedelta(seconds=round(seconds)))


def _echo(on: bool) -> None:
    """Whether the terminal shows ^C and other keys, which would push the board out of its place."""
    with suppress(termios.error, ValueError, OSError):  # no keyboard
        mode = termios.tcgetattr(sys.stdin)
        mode[3] = mode[3] | termios.ECHO if on else mode[3] & ~termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, mode)


def _label(number: int | str) -> str:
    return f"trial {number}" if isinstance(number, int) else number


class View:
    """How a study of ``total`` trials, of so many ``epochs`` each, stands as its driver tells it. As a context it draws
    itself until it is left; a console that is no terminal gets a line an event."""

    front = ""  # how the front stands, in words, where a study has one

    def __init__(self, title: str, total: int, epochs: int, console: Console) -> None:
        self.at_once = 1  # trials that run at once, for the time left
        self._title, self._total, self._epochs, self._console = title, total, epochs, console
        self._counts: Counter[str] = Counter()  # trials that have ended, by how
        self._running: dict[str, _Progress] = {}
        self._best: tuple[float, str, Mapping[str, Any]] | None = None  # bits per dimension, of which, with what
        self._phase, self._opened = "starting", time.monotonic()
        self._took: list[float] = []  # seconds of each trial that has ended
        self._live = Live(get_renderable=self._board, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "View":
        if self._console.is_terminal:
            _echo(False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._console.is_terminal:
            _echo(True)

    def known(self, counts: Mapping[str, int], best: tuple[float, FrozenTrial] | None) -> None:
        """Count what the ledger held before this driver: trials by Optuna's states, and the best bits per dimension."""
        self._counts.update({name: counts.get(state.name, 0) for name, state in STATES.items()})
        if best is not None:
            self._best = (best[0], f"trial {best[1].number}", best[1].params)

    def counts(self) -> dict[str, int]:
        """Trials by state; what trains outside the search is among those that run."""
        return {state: self._counts[state] for state in _STYLES} | {"running": len(self._running)}

    def best_value(self) -> float | None:
        """The lowest bits per dimension so far."""
        return self._best and self._best[0]

    def images_per_second(self) -> float:
        """Of all that runs."""
        return sum(r.row.get("images_per_second", 0.0) for r in list(self._running.values()))

    def phase(self, text: str) -> None:
        """Tell what the study is at as a whole."""
        self._phase = text
        self._line(text)

    def note(self, text: str) -> None:
        """Tell what a person should know of afterwards: it stays, on a terminal too."""
        self._console.print(Text(text), soft_wrap=True)

    def started(self, number: int | str, parameters: Mapping[str, Any], rows: Sequence[Metrics] = ()) -> None:
        """A training has begun, or goes on after the ``rows`` that it reported before it was interrupted."""
        label = _label(number)
        self._running[label] = _Progress(parameters)
        how = f"goes on after epoch {len(rows)}" if rows else "started"
        self._line(f"{label} {how}: {_short(parameters)}")
        for row in rows:
            self._measured(label, row)

    def reported(self, number: int | str, row: Metrics) -> None:
        """It has trained another epoch."""
        label = _label(number)
        self._line(
            f"{label} epoch {row['epoch']}: {row['val_bits_per_dim']:.4f} bits/dim, "
            f"rate {row['val_rate']:.2f} nats, {row['images_per_second']:,.0f} images/s"
        )
        self._measured(label, row)

    def _measured(self, label: str, row: Metrics) -> None:
        running, value = self._running[label], row["val_bits_per_dim"]
        running.row = row
        running.best = min(running.best, value)
        if self._best is None or value < self._best[0]:
            self._best = (value, label, running.parameters)

    def ended(self, number: int | str, state: str, cause: str | None = None) -> None:
        """It has ended: "complete", "pruned" or "failed"."""
        running = self._running.pop(_label(number))
        if isinstance(number, int):
            self._counts[state] += 1
            self._took.append(time.monotonic() - running.began)
        text = Text.assemble(f"{_label(number)} ", (state, _STYLES[state]))
        if cause:
            text.append(f": {cause}")
        elif running.row:
            text.append(f" after epoch {running.row['epoch']}: best {running.best:.4f} bits/dim")
        if cause or not self._console.is_terminal:
            self._console.print(text, soft_wrap=True)
        left, done = self._time_left(), self._counts.total()
        self._line(f"{done} of {self._total} trials done" + (f", about {_clock(left)} left" if left else ""))

    def pause(self) -> None:
        """Nothing runs any more, until it is started again."""
        self._running.clear()
        self.phase("paused: `python -m studies resume` goes on")

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"[{_clock(time.monotonic() - self._opened)}] {text}", soft_wrap=True, markup=False)

    def _time_left(self) -> float | None:
        """Seconds, from what a trial took so far; None before the first has ended or after the last."""
        left = self._total - self._counts.total()
        if not self._took or left <= 0:
            return None
        running = sum(time.monotonic() - each.began for each in list(self._running.values()))
        return max(0.0, (left * fmean(self._took) - running) / self.at_once)

    def _board(self) -> RenderableType:
        done, left = self._counts.total(), self._time_left()
        counts = Text()
        for state, count in self.counts().items():
            counts.append(f"{count} ", f"bold {_STYLES[state]}").append(f"{state}   ", "dim")
        counts.append(f"{self.images_per_second():,.0f} ", "bold").append("images/s   ", "dim")
        counts.append(_clock(left) if left is not None else "-", "bold").append(" left", "dim")
        head = Table.grid(Column(ratio=1), Column(justify="right"), padding=(0, 1), expand=True)
        bar = ProgressBar(total=self._total, completed=done, complete_style="green")
        head.add_row(bar, Text(f"{done}/{self._total} trials  {_clock(time.monotonic() - self._opened)}", "bold"))
        best = Text().append("best so far  ", "dim")
        if self._best:
            value, label, parameters = self._best
            best.append(f"{value:.4f} bits/dim", "bold green").append(f"  {label}  {_short(parameters)}")
        else:
            best.append("-")
        parts: list[RenderableType] = [head, counts, best]
        if self.front:
            parts.append(Text.assemble(("front        ", "dim"), (self.front, "bold green")))
        if self._running:
            parts += [Text(), self._table()]
        return Panel(Group(*parts), title=Text(self._title, "bold"), subtitle=Text(self._phase), padding=(1, 2))

    def _table(self) -> Table:
        names = ("running", "epoch", "", "bits/dim", "rate/nats", "images/s", "parameters")
        columns = (Column(name, no_wrap=name != "parameters") for name in names)
        table = Table(*columns, box=None, pad_edge=False, header_style="dim")
        for label, running in list(self._running.items()):
            row, parameters = running.row, dict(running.parameters)
            epoch, epochs = int(row.get("epoch", 0)), int(parameters.pop("epochs", self._epochs))
            bar = ProgressBar(total=epochs, completed=epoch, width=12, complete_style="cyan")
            formats = {"val_bits_per_dim": ".4f", "val_rate": ".2f", "images_per_second": ",.0f"}
            measured = (f"{row[name]:{form}}" if row else "-" for name, form in formats.items())
            table.add_row(label, f"{epoch}/{epochs}", bar, *measured, _short(parameters))
        return table
