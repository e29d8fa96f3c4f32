"""The fast way against the public one, and what the fast way needs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from support.analysis_fixture import build_study

from analysis import load_epochs, load_trials
from analysis.reading import optuna_private
from analysis.reading.optuna_private import MODELS, NAMES, stored_trials


@pytest.mark.parametrize(("model", "name"), [(model, name) for model, names in NAMES.items() for name in names])
def test_optuna_has_the_private_name(model: str, name: str) -> None:
    """Where a new release has it no more, reading goes on by the public way, ten times as slow."""
    assert hasattr(getattr(import_module(MODELS), model, None), name), f"{MODELS}.{model}.{name} is gone"


def test_the_ledger_is_read_as_optuna_reads_it(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    url = f"sqlite:///{folder}/study.db"
    study = optuna.load_study(study_name="digits_vae", storage=url)
    spaces = {"x": FloatDistribution(-1, 1), "n": IntDistribution(1, 9), "c": CategoricalDistribution(("a", 2))}
    for end in (float("inf"), -float("inf"), float("nan"), None):
        trial = study.ask(spaces)
        for step, value in enumerate([0.5, float("inf"), -float("inf"), float("nan")]):
            trial.report(value, step)
        trial.set_user_attr("nested", {"a": [1, None, "é"]})
        trial.set_constraint("val_rate<=20", -0.25)
        if end is not None:
            study.tell(trial, None if end != end else end, TrialState.FAIL if end != end else None)
    study.enqueue_trial({"x": 0.5})
    storage = optuna.storages.RDBStorage(url)
    by_columns = optuna_private._by_columns
    for expected, got in zip(storage.get_all_trials(1), by_columns(storage, 1), strict=True):
        assert vars(got).keys() == vars(expected).keys()
        for name in vars(expected):
            np.testing.assert_equal(vars(got)[name], vars(expected)[name])


@pytest.mark.heavy
@pytest.mark.parametrize("missing", ["models", *NAMES, "a column"])
def test_without_a_private_name_the_public_way_reads_the_same(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_study(tmp_path / "study")
    trials, epochs = load_trials(folder), load_epochs(folder)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db")
    fast = stored_trials(storage, 1)
    if missing == "models":
        monkeypatch.setattr(optuna_private, "MODELS", f"{MODELS}.gone")
    elif missing == "a column":
        monkeypatch.setitem(NAMES, "TrialParamModel", ("trial_id", "gone"))
    else:
        monkeypatch.setattr(optuna_private, "import_module", lambda _: Without(missing))
    with pytest.raises((ImportError, AttributeError)):
        optuna_private._by_columns(storage, 1)
    public = stored_trials(storage, 1)
    assert public == storage.get_all_trials(1)
    for one, other in zip(fast, public, strict=True):
        assert vars(one) == vars(other)
    pd.testing.assert_frame_equal(load_trials(folder), trials)
    pd.testing.assert_frame_equal(load_epochs(folder), epochs)


class Without:
    """Optuna's models but one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        if name == self._name:
            raise AttributeError(name)
        return getattr(import_module(MODELS), name)
