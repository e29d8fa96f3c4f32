"""The replay of prunings, on curves that are made up."""

import numpy as np
import pytest
from benchmarks.pruning import RULES, Trials, own_price, replay, table


@pytest.fixture(scope="module")
def trials() -> Trials:
    """40 trials around one convex curve, that come down to it over 8 epochs, each to a height of its own above it."""
    rng = np.random.default_rng(0)
    beta = np.geomspace(0.05, 20, 40)
    above = rng.exponential(10, (40, 1)) + 40 * np.exp(-np.arange(8) / 2)
    rate, distortion = np.log(40 / beta)[:, None] + 0 * above, beta[:, None] + above
    return Trials(beta, rate + distortion, np.stack([rate, rate + 0.01]), np.stack([distortion, distortion + 0.1]))


def test_not_pruning_costs_everything_and_keeps_everything(trials: Trials) -> None:
    found = replay(trials, orders=2, seed=0, rules={"none": RULES["none"]})
    assert (found[["cost", "A", "B", "A, all", "A, whole", "B, whole"]] == 1).all(axis=None)
    assert (found["front lost"] == 0).all()


def test_every_rule_saves_epochs_and_an_order_repeats(trials: Trials) -> None:
    found = replay(trials, orders=2, seed=0)
    pruning = found[found["rule"] != "none"]
    assert pruning["cost"].between(0.1, 0.99).all()
    assert (pruning["A, all"] > pruning["A"] - 1e-12).all()
    assert found.equals(replay(trials, orders=2, seed=0))
    assert len(table(found).splitlines()) == 2 + len(RULES)


def test_the_first_five_are_never_pruned_and_epochs_end_at_powers_of_two(trials: Trials) -> None:
    order = np.random.default_rng(1).permutation(40).tolist()
    lasts = own_price(0.25, trials, order)
    assert (lasts[order[:5]] == 8).all()
    assert set(lasts.tolist()) == {1, 2, 4, 8}


def test_points_are_those_of_the_best_epoch_up_to_the_last(trials: Trials) -> None:
    lasts = np.arange(40) % 8 + 1
    each = np.arange(40)
    assert (trials.points(lasts)[:, 1] == trials.distortion[:, each, lasts - 1]).all()  # they only come down
