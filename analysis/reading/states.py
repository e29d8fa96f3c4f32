"""How the trials of a study stand, each in a word that is the same wherever it is told."""

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial

WORDS = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "INTERRUPTED": "interrupted",
    "WAITING": "waiting",
}
"""Optuna's states, and that of a trial which the ledger has as begun while nobody runs it; what each is called."""


def states_of(trials: Sequence[FrozenTrial], are_running: bool) -> list[str]:
    """Of each trial one of `WORDS`; ``are_running`` where a driver trains those that have not ended."""
    return [trial.state.name if are_running or trial.state.is_finished() else "INTERRUPTED" for trial in trials]


def by_state(counts: Mapping[str, int]) -> str:
    """{"COMPLETE": 3, "INTERRUPTED": 1} -> "3 complete, 1 interrupted"."""
    return ", ".join(f"{counts[state]} {word}" for state, word in WORDS.items() if counts.get(state))
