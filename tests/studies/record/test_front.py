"""What the ledger is told of trials with two objectives, and which of them a study goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from support.small_study import CONFIG, lifecycle, row, study, train

from analysis.statistics.pareto import knee
from studies.record.front import Front, short
from studies.record.ledger import Trials
from trainables.config import TrialConfig
from trainables.metrics import Metrics

CONSTANT = CONFIG.model.distortion_constant


# What is told


def told(path: Path, rows: Sequence[Metrics], state: str = "complete", **fields: object) -> FrozenTrial:
    """What the ledger holds of a trial of these epochs, at a KL weight of 2."""
    base = CONFIG.replace({"beta": 2.0, "epochs": len(rows) + (state != "complete")})
    trainings, opened = lifecycle(path, study(base=base, space={}, trials=1, **fields))
    job = trainings.next_job()
    assert job is not None
    if state == "complete":
        train(trainings, job, lambda _, epoch: rows[epoch - 1])
    else:
        for each in rows[:-1]:
            trainings.report(job.id, each)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("studies.search.pruning.Peers.prune", lambda *_: state == "pruned")
            trainings.report(job.id, rows[-1])
            if state == "failed":
                trainings.fail(job.id, "non-finite at epoch 4")
    (trial,) = opened.ledger.all()
    return trial


def test_the_values_are_those_of_the_lowest_price_without_the_constant(tmp_path: Path) -> None:
    """The first of equal ones; neither the lowest rate, nor the lowest distortion, nor the lowest bits."""
    rows = [row(1, 30.0, 1.0), row(2, 10.0, 8.0), row(3, 20.0, 3.0), row(4, 9.0, 10.0), row(5, 40.0, 0.5)]
    rows[1]["val_bits_per_dim"] = 7.0
    trial = told(tmp_path, rows)
    assert trial.values == [8.0, 10.0 - CONSTANT]
    assert trial.user_attrs == {"val_bits_per_dim": 7.0}
    assert trial.intermediate_values == {}


def test_the_single_objective_is_that_of_the_lowest_price_too(tmp_path: Path) -> None:
    rows = [row(1, 30.0, 1.0), row(2, 10.0, 8.0), row(3, 9.0, 20.0)]
    rows[1]["val_bits_per_dim"] = 7.0
    trial = told(tmp_path, rows, objective="bits_per_dim")
    assert trial.values == [7.0]
    assert trial.intermediate_values == {}


@pytest.mark.parametrize("state", ["complete", "pruned", "failed"])
def test_limits_are_set_however_a_trial_ends(tmp_path: Path, state: str) -> None:
    rows = [row(1, 30.0, 1.0), row(2, 10.0, 8.0), row(3, 20.0, 4.0)]
    rows = [each | {"val_active_units": 3 * each["epoch"]} for each in rows]
    limits = ["val_rate<=5", "val_distortion <= 20 nats", "val_active_units >= 8 latents"]
    more_epochs = [*rows, row(4, 50.0, 9.0) | {"val_active_units": 9}]
    trial = told(tmp_path, more_epochs, state, where=limits)
    assert trial.state.name == {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}[state]
    assert (trial.values is None) == (state != "complete")
    expected = {"val_rate<=5": 3 / 5, "val_distortion<=20": -10 / 20, "val_active_units>=8": 2 / 8}
    assert list(trial.constraints.values()) == pytest.approx([expected[name] for name in sorted(expected)])


# Which a study goes on with


def made(values: Sequence[tuple[float, float]], violations: Sequence[float] = (), lost: Sequence[str] = ()) -> Trials:
    """Complete trials, of these values; then some that ended otherwise."""
    limits = [{"val_rate<=9": each} for each in violations] or [{}] * len(values)
    done = zip(values, limits, strict=True)
    trials = [create_trial(values=list(pair), constraints=limit) for pair, limit in done]
    trials += [create_trial(state=TrialState[state]) for state in lost]
    for number, trial in enumerate(trials):
        trial.number = number
    return Trials(study(), trials)


def numbers(trials: Sequence[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("is_limited", [False, True])
def test_the_front_is_optunas(seed: int, is_limited: bool) -> None:
    rng = np.random.default_rng(seed)
    values = [(float(rate), float(distortion)) for rate, distortion in rng.integers(0, 12, (30, 2))]  # equal ones too
    violations = [0.0, *rng.choice([-0.5, 0.0, 0.1, 2.0], 29).tolist()] if is_limited else []
    trials = made(values, violations, ["PRUNED", "FAIL", "RUNNING"])
    found = optuna.create_study(directions=["minimize"] * 2)
    found.add_trials(trials.all())
    front = trials.front()
    assert sorted(numbers(front)) == sorted(numbers(found.best_trials))
    kept = [n for n in range(30) if not violations or violations[n] <= 0]
    naive = {
        n
        for n in kept
        if not any(
            values[m] != values[n] and values[m][0] <= values[n][0] and values[m][1] <= values[n][1] for m in kept
        )
    }
    assert set(numbers(front)) == naive
    rates = [trial.values[0] for trial in front]
    assert rates == sorted(rates)


def test_the_knee_is_chosen_first_and_the_others_are_far_apart() -> None:
    rates = [0.5, 1, 2, 3, 4, 6, 8, 12, 16]
    values = [(rate, 16 / rate) for rate in rates]
    dominated = [(rate + 1, 16 / rate + 1) for rate in rates]
    trials = made(dominated + values)
    bend = knee(*np.array(dominated + values).T)
    assert numbers(trials.chosen(1)) == [bend]
    assert set(numbers(trials.chosen(3))) == {bend, 9, 17}  # and the ends
    for count in range(1, 10):
        chosen = numbers(trials.chosen(count))
        assert len(set(chosen)) == len(chosen) == count
        assert set(chosen) <= set(range(9, 18))
        assert chosen == numbers(trials.chosen(9))[:count]
    assert set(numbers(trials.chosen(99))) == set(range(9, 18))
    assert trials.chosen(0) == []


def test_what_breaks_a_limit_is_chosen_where_nothing_keeps_to_it_alone() -> None:
    values = [(1.0, 9.0), (2.0, 5.0), (3.0, 4.0), (4.0, 1.0), (5.0, 2.0)]
    some = made(values, [1.0, 0.5, 0.1, -0.1, 0.0])
    assert numbers(some.front()) == numbers(some.chosen(5)) == [3]  # trial 4 costs more in both
    none = made(values, [1.0, 0.5, 0.1, 0.1, 0.2])
    assert set(numbers(none.chosen(5))) == set(numbers(none.front())) == {0, 1, 2, 3}


def test_a_limit_counts_where_one_number_is_minimised() -> None:
    plan = study(objective="bits_per_dim")
    trials = made([(1.0, 9.0), (2.0, 5.0), (3.0, 4.0)], [0.5, 0.0, -0.5]).all()
    for trial in trials:
        trial.values = trial.values[:1]
    assert numbers(Trials(plan, trials).chosen(5)) == [1, 2]
    assert Trials(plan, trials).front() == []


@pytest.mark.parametrize("lost", [[], ["PRUNED", "FAIL", "RUNNING", "WAITING"]])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_trials_are_no_exception(lost: list[str], count: int) -> None:
    none, one, equal = made([], lost=lost), made([(3.0, 5.0)], lost=lost), made([(3.0, 5.0)] * 4, lost=lost)
    assert none.chosen(count) == none.front() == []
    assert none.lowest_bits() is None
    assert Front.of(none) is None
    assert numbers(one.chosen(count)) == [0][:count]
    assert numbers(one.front()) == [0]
    alone = Front.of(one)
    assert alone is not None
    assert (alone.extent, alone.place) == ("1 trial, rate 3 nats", "only")
    assert alone.knee == f"trial 0: rate 3.00 nats, distortion {5 + CONSTANT:.2f} nats"
    assert len(equal.chosen(count)) == min(count, 1)  # one point
    assert len(equal.front()) == 4
    two = made([(3.0, 5.0), (4.0, 4.0)], lost=lost)
    assert len(two.chosen(count)) == min(count, 2)


# What is said of it


def covered(values: Sequence[tuple[float, float]], corner: tuple[float, float]) -> float:
    """The area of the union of the rectangles from the points to a corner, on the grid of their coordinates."""
    xs, ys = (np.unique([*axis, end]) for axis, end in zip(zip(*values, strict=True), corner, strict=True))
    return sum(
        float((right - left) * (upper - lower))
        for left, right in pairwise(xs)
        for lower, upper in pairwise(ys)
        if right <= corner[0] and upper <= corner[1] and any(x <= left and y <= lower for x, y in values)
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_fronts_area_and_what_the_last_trials_added_are_those_of_rectangles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [(float(rate), float(distortion)) for rate, distortion in rng.uniform(0, 12, (24, 2))]
    found = Front.of(made(values))
    assert found is not None
    ends = np.array([values[number] for number in found.numbers])
    corner = ends.max(0) + 0.1 * np.ptp(ends, 0)
    area = covered(values, tuple(corner))
    assert found.hypervolume == pytest.approx(area)
    assert found.recent == 10
    assert found.added == pytest.approx(1 - covered(values[:14], tuple(corner)) / area)
    assert found.rates == (ends[:, 0].min(), ends[:, 0].max())
    assert (found.rate, found.distortion - CONSTANT) == pytest.approx(values[found.trial])
    assert found.trial == made(values).chosen(1)[0].number


def test_a_front_that_does_not_grow_says_so() -> None:
    values = [(1.0, 9.0), (2.0, 5.0), (4.0, 4.0), (7.0, 7.0), (8.0, 9.5), (9.0, 9.0)]
    found = Front.of(made(values))
    assert found is not None
    assert (found.recent, found.added) == (3, 0.0)
    assert found.extent.endswith("nats², 0.0% of it by the last 3 trials")
    assert (found.place, found.trial) == ("knee", 1)
    assert found.knee.startswith("trial 1: rate 2.00 nats, distortion ")


def test_a_front_without_a_bend_and_one_beyond_the_limits_are_told() -> None:
    line = Front.of(made([(1.0, 5.0), (2.0, 4.0), (3.0, 3.0)], [0.5, 0.1, 0.2]))
    assert line is not None
    assert (line.place, line.trial, line.numbers) == ("middle", 1, [0, 1, 2])
    assert line.extent.startswith("3 trials, beyond the limits, rate 1 to 3 nats; area ")
    equal = Front.of(made([(3.0, 5.0)] * 4))
    assert equal is not None
    assert (equal.hypervolume, equal.added, equal.extent) == (None, None, "4 trials, rate 3 nats")


def test_parameters_are_short() -> None:
    assert short({"beta": 0.12345, "model.depth": 1, "optimizer": "adam"}) == "beta 0.123  depth 1  optimizer adam"


def test_one_kl_weight_and_equal_rates_are_no_exception() -> None:
    trials = made([(0.0, 5.0), (0.0, 4.0), (0.0, 6.0)])  # all latents unused
    assert numbers(trials.chosen(3)) == numbers(trials.front()) == [1]


def test_a_trial_that_is_its_studys_only_one_ends(tmp_path: Path) -> None:
    def fail(config: TrialConfig, epoch: int) -> Metrics:
        return row(epoch, 5.0)

    trainings, opened = lifecycle(tmp_path, study(trials=2))
    for _ in range(2):
        job = trainings.next_job()
        assert job is not None
        train(trainings, job, fail, until=1)
        trainings.fail(job.id, "non-finite at epoch 2")
    assert trainings.next_job() is None
    assert opened.ledger.chosen(3) == opened.ledger.front() == []
    assert dict(opened.ledger.count()) == {"FAIL": 2}
