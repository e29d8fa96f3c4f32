"""How far a long piece of work is, for the person who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from trainables.text import printable

Tell = Callable[[str, float], object]
"""Told what is done next, in a few words, and the share of the work that is done, from 0 to 1."""


def untold(step: str, share: float) -> None:
    """A `Tell` for nobody."""


class Steps:
    """Counts steps of work, some of which are planned only when it is known what there is to do."""

    def __init__(self, tell: Tell, planned: int) -> None:
        self._tell, self._planned, self._done = tell, planned, 0

    def plan(self, more: int) -> None:
        self._planned += more

    def __call__(self, text: str) -> None:
        """``text`` is done next."""
        self._tell(text, self._done / self._planned)
        self._done += 1

    def of(self, what: str) -> Callable[[str], None]:
        """Steps that are parts of one thing."""
        return lambda part: self(f"{what}: {part}")


@contextmanager
def progress_bar(console: Console) -> Iterator[Tell]:
    """A bar in a terminal while the context lasts, nothing elsewhere."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda step, share: bar.update(task, description=printable(step), completed=share)
