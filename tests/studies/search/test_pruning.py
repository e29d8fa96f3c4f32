"""The rule against a plain retelling of its sentence, and what it must never do."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from studies.search.pruning import FEWEST_PEERS, Peers, costs_too_much, is_judged
from trainables.config import TrialConfig
from trainables.metrics import Metrics
from vae_models import ModelConfig


def config(beta: float = 1.0, likelihood: str = "gaussian") -> TrialConfig:
    return TrialConfig(model=ModelConfig.model_validate({"likelihood": likelihood}), beta=beta, epochs=16)


def row(epoch: int, distortion: float, rate: float) -> Metrics:
    return {"epoch": epoch, "val_distortion": distortion, "val_rate": rate}


def quantile_by_hand(values: list[float], quantile: float) -> float:
    """Sorted values lie at 0, 1, ..., n - 1; a straight line between neighbours."""
    values = sorted(values)
    place = quantile * (len(values) - 1)
    below = min(math.floor(place), len(values) - 2)
    return values[below] + (place - below) * (values[below + 1] - values[below])


NATS = st.integers(0, 64).map(float)  # sums and products of them are exact, and many are equal
TRIALS = st.lists(st.tuples(NATS | st.sampled_from([math.nan, math.inf]), NATS), min_size=1, max_size=16)


@given(TRIALS, st.data(), st.sampled_from([0.125, 0.25, 0.5, 0.75]), st.sampled_from([0.0, 0.5, 1.0, 16.0]))
def test_a_trial_is_pruned_above_the_quantile_of_all_at_its_own_price(
    rows: list[tuple[float, float]], data: st.DataObject, quantile: float, beta: float
) -> None:
    judged = data.draw(st.sampled_from(range(len(rows))))
    mine = rows[judged][0] + beta * rows[judged][1]
    assume(math.isfinite(mine))  # what is not has failed before it is judged
    known = [price for distortion, rate in rows if math.isfinite(price := distortion + beta * rate)]
    peers = Peers(quantile)
    for number, measured in enumerate(rows):
        peers.add(number, config(), row(4, *measured))
    expected = len(known) >= 6 and mine > quantile_by_hand(known, quantile)
    assert peers.prune(judged, config(beta), row(4, *rows[judged])) == expected
    assert costs_too_much(judged, beta, *np.array(rows).T, quantile) == expected


def test_a_multi_rate_trial_is_judged_by_its_one_value() -> None:
    peers, multi = Peers(0.5), TrialConfig(model=ModelConfig(multi_rate=True), epochs=16)
    rows = [row(4, 100.0 - number, 9.0) | {"val_relative_loss": 1.0 + number / 10} for number in range(7)]
    for number, measured in enumerate(rows):
        peers.add(number, multi, measured)
    # the median of all is trial 3's; rates and distortions at the middle weight say the reverse
    assert [peers.prune(number, multi, rows[number]) for number in range(7)] == [False] * 4 + [True] * 3


def test_it_needs_five_others_that_are_finite() -> None:
    assert FEWEST_PEERS == 5
    distortions = np.array([9.0, 0, 0, 0, 0, math.nan])
    assert not costs_too_much(0, 1.0, distortions, np.zeros(6), 0.25)
    distortions[5] = 0
    assert costs_too_much(0, 1.0, distortions, np.zeros(6), 0.25)


def test_an_equal_of_the_quantile_stays() -> None:
    same = np.full(12, 3.0)
    assert not any(costs_too_much(index, 2.0, same, same, 0.25) for index in range(12))


def test_a_cheap_code_competes_with_cheap_codes() -> None:
    """On one convex curve each trial is the best at its own price, and none is pruned, whatever the others' prices."""
    beta = np.geomspace(0.05, 20, 24)
    rates, distortions = np.log(40 / beta), beta  # the distortion's slope by the rate is -beta
    assert not any(costs_too_much(index, beta[index], distortions, rates, 0.01) for index in range(24))


def test_trials_of_another_likelihood_or_epoch_are_no_peers() -> None:
    peers, judged = Peers(0.25), row(2, 9.0, 0.0)
    peers.add(0, config(), judged)
    for number in range(1, 8):
        peers.add(number, config(likelihood="laplace"), row(2, 0.0, 0.0))
        peers.add(number, config(), row(1, 0.0, 0.0))
    assert not peers.prune(0, config(), judged)
    for number in range(1, 6):
        peers.add(number, config(), row(2, 0.0, 0.0))
    assert peers.prune(0, config(), judged)


def test_a_row_that_is_said_twice_counts_once() -> None:
    peers = Peers(0.25)
    peers.add(0, config(), row(1, 9.0, 0.0))
    for _ in range(3):
        for number in range(1, 5):
            peers.add(number, config(), row(1, 0.0, 0.0))
    assert not peers.prune(0, config(), row(1, 9.0, 0.0))


def test_quantile_0_prunes_nothing() -> None:
    peers = Peers(0.0)
    rows = [row(1, float(number), float(number)) for number in range(20)]
    for number, measured in enumerate(rows):
        peers.add(number, config(), measured)
    assert not any(peers.prune(number, config(), measured) for number, measured in enumerate(rows))


@pytest.mark.parametrize(
    ("epochs", "kl_warmup", "judged"),
    [
        (1, 0.0, []),
        (2, 0.0, [1]),
        (8, 0.0, [1, 2, 4]),
        (9, 0.0, [1, 2, 4, 8]),
        (100, 0.0, [1, 2, 4, 8, 16, 32, 64]),
        (8, 0.5, [4]),
        (10, 0.25, [4, 8]),
        (20, 0.1, [2, 4, 8, 16]),
        (8, 1.0, []),
    ],
)
def test_judged_after_powers_of_two_never_the_last_nor_while_the_kl_weight_rises(
    epochs: int, kl_warmup: float, judged: list[int]
) -> None:
    asked = TrialConfig(epochs=epochs, kl_warmup=kl_warmup)
    assert [epoch for epoch in range(1, epochs + 1) if is_judged(epoch, asked)] == judged
