"""What a person watches while a study runs: a live board in a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from studies.record.front import Front, short
from studies.record.ledger import STATES
from studies.watch.time_left import Progress, Stage, TimeLeft
from trainables.config import used
from trainables.metrics import Metrics
from trainables.objective import OBJECTIVES, SCORES
from trainables.slots.messages import Underway

_LINE_SECONDS = 60.0  # how often a training within an epoch says where it is, where there is no terminal
_RATE, _DISTORTION = {"rate\nnats": ("val_rate", ".2f")}, {"distortion\nnats": ("val_distortion", ".2f")}
_COLUMNS = {  # by objective, what the board shows of the last epoch of what runs: title -> (metric, format)
    "rate_distortion": _RATE | _DISTORTION,
    "bits_per_dim": {"bits\nper dim": ("val_bits_per_dim", ".4f")} | _RATE,
    "multi_rate": {"relative\nloss": ("val_relative_loss", ".3f")} | _RATE,
}
_FRAME_WIDTH = 6  # of the board
_BAR_WIDTH = 6
_OTHER_LINES = 18  # of the board, at most, beside those of what runs
_UNBOUNDED = 10_000  # characters
_STYLES = {"complete": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}


def _clock(seconds: float) -> str:
    """3723 -> "1:02:03"."""
    return str(timedelta(seconds=round(seconds)))


def _label(number: int | str) -> str:
    return f"trial {number}" if isinstance(number, int) else number


class View:
    """How a study of ``total`` trials, of so many ``epochs`` each, stands as its driver tells it, in terms of its
    ``objective``. As a context it draws itself until it is left; a console that is no terminal gets a line an event."""

    front: Front | None = None  # of a study of two objectives, once a trial is complete
    resumed_by = "python -m studies resume"  # what goes on after a pause

    def __init__(self, title: str, total: int, epochs: int, console: Console, objective: str = "bits_per_dim") -> None:
        self.left = TimeLeft()
        self.left.plan("search", total, epochs)
        self._title, self._total, self._epochs, self._console = title, total, epochs, console
        self._objective, self._score = objective, SCORES[objective]
        self._counts: Counter[str] = Counter()  # trials that have ended, by how
        self._running: dict[str, Progress] = {}
        self._best: tuple[float, str, Mapping[str, Any]] | None = None  # the lowest score, of which, with what
        self._bits: float | None = None  # the lowest per dimension
        self._phase, self._opened = "starting", time.monotonic()
        self._live = Live(get_renderable=self._board, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "View":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def known(
        self, counts: Mapping[str, int], best: tuple[float, FrozenTrial] | None, bits: float | None = None
    ) -> None:
        """Count what the ledger held before this driver: trials by Optuna's states, the lowest score, and the lowest
        bits per dimension."""
        self._counts.update({name: counts.get(state.name, 0) for name, state in STATES.items()})
        self.left.expect("search", self._total - self._counts.total())
        if best is not None:
            self._best = (best[0], f"trial {best[1].number}", used(best[1].params))
        self._bits = bits

    def counts(self) -> dict[str, int]:
        """Trials by state; what trains outside the search is among those that run."""
        return {state: self._counts[state] for state in _STYLES} | {"running": len(self._running)}

    def lowest_bits(self) -> float | None:
        """Per dimension, so far."""
        return self._bits

    def images_per_second(self) -> float:
        """Of all that runs."""
        return sum(each.images_per_second or 0.0 for each in list(self._running.values()))

    def seconds_left(self) -> float | None:
        """Until all trainings have ended and the report is drawn; None while it is not known."""
        return self.left.seconds(list(self._running.values()))

    def phase(self, text: str) -> None:
        """Tell what the study is at as a whole."""
        self._phase = text
        self._line(text)

    def note(self, text: str) -> None:
        """Tell what a person should know of afterwards: it stays, on a terminal too."""
        self._console.print(Text(text), soft_wrap=True)

    def started(
        self,
        number: int | str,
        parameters: Mapping[str, Any],
        rows: Sequence[Metrics] = (),
        stage: Stage = "search",
        epochs: int | None = None,
    ) -> None:
        """A training has begun, or goes on after the ``rows`` that it reported before it was interrupted. It has so
        many ``epochs``, or those of the study's trials."""
        label = _label(number)
        now = time.monotonic()
        self._running[label] = Progress(parameters, stage, epochs or self._epochs, now, told=now)
        how = f"goes on after epoch {len(rows)}" if rows else "started"
        self._line(": ".join(filter(None, [f"{label} {how}", short(parameters)])))
        for row in rows:
            self._measured(label, row)

    def underway(self, number: int | str, where: Underway) -> None:
        """It is within an epoch. Where there is no terminal, one that takes minutes says so once a minute."""
        running = self._running.get(label := _label(number))
        if running is None:
            return
        running.moved(where)
        if running.underway and time.monotonic() - running.told >= _LINE_SECONDS:
            running.told = time.monotonic()
            self._line(
                f"{label} epoch {where.epoch}: {where.share:.0%} trained, {where.images_per_second:,.0f} images/s"
            )

    def reported(self, number: int | str, row: Metrics) -> None:
        """It has trained another epoch."""
        label = _label(number)
        self._line(
            f"{label} epoch {row['epoch']}: {self._score.said(row[self._score.metric])}, "
            f"rate {row['val_rate']:.2f} nats, {row['images_per_second']:,.0f} images/s"
        )
        self._measured(label, row)

    def _measured(self, label: str, row: Metrics) -> None:
        running, value, bits = self._running[label], row[self._score.metric], row["val_bits_per_dim"]
        running.measured(row, value)
        running.told = time.monotonic()
        self.left.measured(running.stage, row["epoch_seconds"])
        if self._best is None or value < self._best[0]:
            self._best = (value, label, running.parameters)
        self._bits = bits if self._bits is None else min(bits, self._bits)

    def ended(self, number: int | str, state: str, cause: str | None = None) -> None:
        """It has ended: "complete", "pruned" or "failed"."""
        running = self._running.pop(_label(number))
        self.left.ended(running)
        if isinstance(number, int):
            self._counts[state] += 1
        text = Text.assemble(f"{_label(number)} ", (state, _STYLES[state]))
        if cause:
            text.append(f": {cause}")
        elif running.row:
            text.append(f" after epoch {running.row['epoch']}: best {self._score.said(running.best)}")
        if cause or not self._console.is_terminal:
            self._console.print(text, soft_wrap=True)
        self._line(f"{self._counts.total()} of {self._total} trials done{self._time_left(', about {} left')}")

    def grows(self, front: Front | None) -> None:
        """A trial has joined the complete ones, whose front is this now."""
        is_new = front is not None and (self.front is None or front.numbers != self.front.numbers)
        self.front = front
        if front and is_new:
            self._line(f"front of {front.extent}")
            self._line(f"{front.place} {front.knee}")

    def pause(self) -> None:
        """Nothing runs any more, until it is started again."""
        self._running.clear()
        self.phase(f"paused: `{self.resumed_by}` goes on")

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"[{_clock(time.monotonic() - self._opened)}] {text}", soft_wrap=True, markup=False)

    def _time_left(self, text: str) -> str:
        """``text`` with the time that is left, and whether the report is in it; empty while it is not known."""
        seconds = self.seconds_left()
        report = ", with the report" if self.left.report else ""
        return text.format(_clock(seconds)) + report if seconds is not None else ""

    def _board(self) -> RenderableType:
        done, speed = self._counts.total(), self.images_per_second()
        counts = Text()
        for state, count in self.counts().items():
            counts.append(f"{count} ", f"bold {_STYLES[state]}").append(f"{state}   ", "dim")
        counts.append(f"{speed:,.0f} " if speed else "- ", "bold").append("images/s", "dim")
        clock = _clock(time.monotonic() - self._opened)
        head = Table.grid(Column(ratio=1), Column(justify="right"), padding=(0, 1), expand=True)
        bar = ProgressBar(total=self._total, completed=done, complete_style="green")
        head.add_row(bar, Text(f"{done}/{self._total} trials", "bold"))
        facts = Table.grid(Column(style="dim", no_wrap=True), Column(), padding=(0, 2, 0, 0))
        facts.add_row(
            "time", Text.assemble((clock, "bold"), self._time_left("; about {} left") or "; time left not known yet")
        )
        for name, text in self._found().items():
            facts.add_row(name, text)
        parts: list[RenderableType] = [head, counts, Text(), facts]
        if self._running:
            parts += [Text(), *self._tables()]
        return Panel(Group(*parts), title=Text(self._title, "bold"), subtitle=Text(self._phase), padding=(1, 2))

    def _found(self) -> dict[str, Text]:
        """The best so far: of two objectives the front."""
        if len(OBJECTIVES[self._objective]) > 1:
            if self.front is None:
                return {"front": Text("- (no trial is complete yet)")}
            return {"front": Text(self.front.extent, "green"), self.front.place: Text(self.front.knee)}
        if self._best is None:
            return {"best so far": Text("-")}
        value, label, parameters = self._best
        found = Text.assemble((self._score.said(value), "bold green"), f"  {label}  {short(parameters)}")
        return {"best so far": found}

    def _tables(self) -> list[RenderableType]:
        """What runs: one table, or where that finds no room, its parameters in a second, if that does."""
        running = list(self._running.items())
        whole, unbounded = self._table(running, True), self._console.options.update_width(_UNBOUNDED)
        if self._console.measure(whole, options=unbounded).maximum <= self._console.width - _FRAME_WIDTH:
            return [whole]
        parameters = Table(*map(Column, ("running", "parameters")), box=None, pad_edge=False, header_style="dim")
        for label, each in running:
            parameters.add_row(label, _parameters(each))
        has_room = 2 * len(running) + _OTHER_LINES <= self._console.height
        tables: list[RenderableType] = [self._table(running, False)]
        return [*tables, Text(), parameters] if has_room else tables

    def _table(self, running: Sequence[tuple[str, Progress]], with_parameters: bool) -> Table:
        measured = _COLUMNS[self._objective]
        titles = ("running", "epochs", "", *measured, "images\nper s", *["parameters"] * with_parameters)
        texts = {"running", "", "parameters"}
        columns = (Column(it, justify="left" if it in texts else "right", no_wrap=True) for it in titles)
        table = Table(*columns, box=None, pad_edge=False, header_style="dim")
        for label, each in running:
            bar = ProgressBar(total=each.epochs, completed=each.done, width=_BAR_WIDTH, complete_style="cyan")
            values = (f"{each.row[name]:{form}}" if each.row else "-" for name, form in measured.values())
            speed = "-" if each.images_per_second is None else f"{each.images_per_second:,.0f}"
            more = [_parameters(each)] * with_parameters
            done = f"{each.done:.2f}" if each.underway else str(each.epoch)
            table.add_row(label, f"{done}/{each.epochs}", bar, *values, speed, *more)
        return table


def _parameters(progress: Progress) -> str:
    return short({path: value for path, value in progress.parameters.items() if path != "epochs"})
