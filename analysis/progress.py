"""How far a long piece of work is, for the person who waits for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from trainables.terminal import Seldom
from trainables.text import printable

_FIRST_LINE, _LOOK = 60.0, 1.0  # seconds

# called with what is done next, in a few words, and the share of the work that is done, from 0 to 1
ShowStep = Callable[[str, float], object]


class Steps:
    """Counts steps of work, some of which are planned only when it is known what there is to do."""

    def __init__(self, show: ShowStep, planned: int) -> None:
        self._show, self._planned, self._done = show, planned, 0

    def plan(self, more: int) -> None:
        """There are ``more`` steps than was known."""
        self._planned += more

    def __call__(self, text: str) -> None:
        """``text`` is done next."""
        self._show(text, self._done / self._planned)
        self._done += 1

    def of(self, what: str) -> Callable[[str], None]:
        """Steps that are parts of one thing."""
        return lambda part: self(f"{what}: {part}")


class Expected:
    """A report that is expected to take so many ``seconds`` from now on."""

    def __init__(self, seconds: float) -> None:
        self.share = 0.0  # of its steps that is done
        self._seconds, self._began = seconds, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that it still takes, at least 1: as expected, or as its steps took so far where that is longer."""
        took = time.monotonic() - self._began
        whole = max(self._seconds, took / self.share) if self.share else self._seconds
        return max(1.0, whole - took)

    def __str__(self) -> str:
        """For a bar, which asks for it whenever it is drawn."""
        return f"report in about {timedelta(seconds=round(self.left))}"


@contextmanager
def progress_bar(console: Console, expected: Expected | None = None) -> Iterator[ShowStep]:
    """A bar in a terminal while the context lasts, with the time that it took, or that is left of what is ``expected``;
    elsewhere a line a minute, however long a step takes."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    time_column = TextColumn("{task.fields[left]}") if expected else TimeElapsedColumn()
    hidden, line, is_over = not console.is_terminal, Seldom(_FIRST_LINE), Event()
    with Progress(*columns, time_column, console=console, transient=True, disable=hidden) as bar:
        bar.add_task("starting", total=1.0, left=expected)
        (task,) = bar.tasks

        def show(step: str, share: float) -> None:
            if expected:
                expected.share = share
            bar.update(task.id, description=printable(step), completed=share)

        def tell() -> None:
            while not is_over.wait(_LOOK):
                if line.is_due():
                    left = f"; {expected}" if expected else ""
                    said = f"{task.completed:.0%}, {task.description}{left}"
                    console.print(said, markup=False, highlight=False, soft_wrap=True)

        thread = Thread(target=tell, daemon=True)
        if hidden:
            thread.start()
        try:
            yield show
        finally:
            is_over.set()
            if hidden:
                thread.join()
