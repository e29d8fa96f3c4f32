"""How trials stand, in words."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState, create_trial

from analysis.figures.style import STATES
from analysis.reading.states import WORDS, by_state, states_of


@pytest.mark.parametrize("are_running", [True, False])
def test_what_has_not_ended_runs_or_is_interrupted(are_running: bool) -> None:
    trials = [create_trial(state=state, value=1.0 if state == TrialState.COMPLETE else None) for state in TrialState]
    stands = dict(zip([state.name for state in TrialState], states_of(trials, are_running), strict=True))
    assert {name for name, word in stands.items() if word == "INTERRUPTED"} == (
        set() if are_running else {"RUNNING", "WAITING"}
    )
    assert all(word in (name, "INTERRUPTED") for name, word in stands.items())


def test_there_is_one_word_for_each() -> None:
    assert WORDS.keys() == {state.name for state in TrialState} | {"INTERRUPTED"}
    assert {state: style.word for state, style in STATES.items()} == WORDS
    assert by_state({"INTERRUPTED": 1, "FAIL": 2, "COMPLETE": 3, "PRUNED": 0}) == "3 complete, 2 failed, 1 interrupted"
    assert by_state({}) == ""
