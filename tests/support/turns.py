"""Trainings in turns, as a worker that trains several has them."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.training.loop import NonFiniteError, Run


def in_turns(runs: Sequence[Run]) -> dict[int, str]:
    """Train all of them, a step of each at a time; what the cause was of those that failed."""
    turns, failed = {index: run.epochs() for index, run in enumerate(runs)}, {}
    while turns:
        for index, each in list(turns.items()):
            try:
                if next(each, None) is None:
                    del turns[index]
            except NonFiniteError as error:
                failed[index] = str(error)
                del turns[index]
    return failed
