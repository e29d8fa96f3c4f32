"""The ledger in its Optuna storage, without Ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from support.small_study import row, study

from studies.record.ledger import Ledger, suggest
from trainables.errors import UserError
from trainables.records.storage_urls import storage_url


def test_a_ledger_reopened_by_another_driver_suggests_the_same(tmp_path: Path) -> None:
    def run(url: str, reopen: bool) -> list[dict]:
        ledger = Ledger(study(), url)
        asked = []
        for n in range(9):
            if reopen:
                ledger = Ledger(study(), url)
            number = ledger.ask()
            asked.append(ledger.parameters(number))
            ledger.report(number, row(1, asked[-1]["beta"] + n % 2))
            ledger.end(number, "complete")
        return asked

    whole = run(f"sqlite:///{tmp_path}/a.db", reopen=False)
    assert run(f"sqlite:///{tmp_path}/b.db", reopen=True) == whole


def test_an_interrupted_trial_is_taken_up_under_its_own_number(tmp_path: Path) -> None:
    url = storage_url(tmp_path, None)
    first = Ledger(study(), url)
    number = first.ask()
    parameters = first.parameters(number)
    first.report(number, row(1, 3.0))
    second = Ledger(study(), url)
    assert second.interrupted() == [number]
    assert second.resume(number) == number
    assert second.parameters(number) == parameters
    assert second.interrupted() == []
    second.report(number, row(1, 3.0))
    second.report(number, row(2, 2.0))
    second.end(number, "complete")
    best = second.best()
    assert best is not None
    assert best.value == 2.0


@pytest.mark.parametrize("before", [0, 8])
def test_a_crash_between_two_parameters_does_not_change_the_later(tmp_path: Path, before: int) -> None:
    def search(name: str, cut: int | None) -> dict:
        url = f"sqlite:///{tmp_path}/{name}.db"
        ledger = Ledger(study(), url)
        for n in range(before):
            number = ledger.ask()
            ledger.report(number, row(1, 5.0 + n % 3))
            ledger.end(number, "complete")
        if cut is None:
            return ledger.parameters(ledger.ask())
        with pytest.MonkeyPatch.context() as patch:
            real, drawn = suggest, iter(range(cut))
            patch.setattr("studies.record.ledger.suggest", lambda *a: (next(drawn), real(*a)))
            with pytest.raises(StopIteration):
                ledger.ask()
        ledger = Ledger(study(), url)
        return ledger.parameters(ledger.resume(before))

    whole = search("whole", None)
    assert [search(f"cut{cut}", cut) for cut in (0, 1)] == [whole, whole]


def test_a_poor_trial_is_pruned_and_a_good_one_is_not(tmp_path: Path) -> None:
    ledger = Ledger(study(), storage_url(tmp_path, None))
    for _ in range(5):
        number = ledger.ask()
        assert not any(ledger.report(number, row(epoch, 5.0)) for epoch in (1, 2, 3))
        ledger.end(number, "complete")
    poor, good = ledger.ask(), ledger.ask()
    assert [ledger.report(poor, row(epoch, 6.0)) for epoch in (1, 2)] == [False, True]
    assert [ledger.report(good, row(epoch, 4.0)) for epoch in (1, 2)] == [False, False]
    ledger.end(poor, "pruned")
    ledger.end(good, "failed", "non-finite at epoch 3")
    assert dict(ledger.count()) == {"COMPLETE": 5, "PRUNED": 1, "FAIL": 1}


def best_of(seed: int, share_failing: float, finite: int = 25) -> float:
    """The best value of a search for the lowest point of a bowl, of 1, after so many finite trials."""
    bowl = {
        "beta": FloatDistribution(0.01, 100, log=True),
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "model.latent_dim": IntDistribution(1, 64),
    }
    ledger = Ledger(study(space=bowl, seed=seed, trials=1000), "sqlite://")
    fails = np.random.default_rng(seed)
    left = finite
    while left:
        number = ledger.ask()
        if fails.random() < share_failing:
            ledger.end(number, "failed", "non-finite at epoch 1: train_loss = nan")
            continue
        drawn = ledger.parameters(number)
        distances = (np.log(drawn["beta"] / 0.3), np.log(drawn["lr"] / 3e-3), (drawn["model.latent_dim"] - 20) / 16)
        ledger.report(number, row(1, 1 + sum(d**2 for d in distances) / 3))
        ledger.end(number, "complete")
        left -= 1
    best = ledger.best()
    assert best is not None
    assert best.value is not None
    return best.value


@pytest.mark.heavy
def test_failed_trials_do_not_mislead_the_search() -> None:
    """With 30 % of non-finite trials, 20 searches find what clean ones of as many finite trials find."""
    clean, failing = (np.mean([best_of(seed, share) for seed in range(20)]) for share in (0.0, 0.3))
    assert failing <= 1.05 * clean
    assert clean < 1.5  # the bowl's rim is at 20: there was something to find


def test_optuna_reads_the_ledger_without_us(tmp_path: Path) -> None:
    ledger = Ledger(study(), storage_url(tmp_path, None))
    number = ledger.ask()
    ledger.report(number, row(1, 4.5))
    ledger.end(number, "complete")
    (trial,) = optuna.load_study(study_name="small", storage=storage_url(tmp_path, None)).trials
    assert trial.params.keys() == {"beta", "model.latent_dim"}
    assert (trial.intermediate_values, trial.value) == ({1: 4.5}, 4.5)


def test_a_storage_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"not a database, but long enough to have a header" * 9)
    with pytest.raises(UserError, match=r"storage cannot be opened: .*study\.db"):
        Ledger(study(), storage_url(tmp_path, None))


def test_a_storage_that_others_share_keeps_their_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    Ledger(study(), url, owner="mine").ask()
    assert Ledger(study(), url, owner="mine").interrupted() == [0]
    with pytest.raises(UserError, match="holds a study 'small' of another folder"):
        Ledger(study(), url, owner="theirs")


def test_a_password_is_not_shown() -> None:
    with pytest.raises(UserError) as caught:
        Ledger(study(), "postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
