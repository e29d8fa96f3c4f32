"""How far a long piece of work is, for the person who waits for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from trainables.text import printable

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


@contextmanager
def progress_bar(console: Console) -> Iterator[ShowStep]:
    """A bar in a terminal while the context lasts, nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    hidden = not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda step, share: bar.update(task, description=printable(step), completed=share)
