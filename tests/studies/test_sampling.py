"""Where the first trials are tried, and that a suggestion is a function of seed, number and what is known."""

from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from studies.sampling import SAMPLERS, START, point, sampler_for

_SPACE: dict[str, BaseDistribution] = {
    "beta": FloatDistribution(0.1, 10, log=True),
    "latent_dim": CategoricalDistribution([8, 16, 32, 64]),
    "depth": IntDistribution(0, 1),
    "width": IntDistribution(8, 128, log=True),
    "batch_size": IntDistribution(32, 128, step=32),
    "dropout": FloatDistribution(0, 1, step=0.25),
    "decay": FloatDistribution(0, 0.1),
}


@pytest.mark.parametrize("seed", range(20))
def test_the_first_trials_cover_every_parameter_categories_too(seed: int) -> None:
    points = [point(number, _SPACE, seed) for number in range(START)]
    assert Counter(point["latent_dim"] for point in points) == {8: 2, 16: 2, 32: 2, 64: 2}
    assert Counter(point["depth"] for point in points) == {0: 4, 1: 4}
    octiles = sorted(int(START * point["decay"] / 0.1) for point in points)
    assert octiles == list(range(START))  # one in each eighth of the range


@pytest.mark.parametrize("seed", range(5))
def test_a_point_is_in_its_space(seed: int) -> None:
    for number in range(START):
        for path, value in point(number, _SPACE, seed).items():
            distribution = _SPACE[path]
            assert distribution._contains(distribution.to_internal_repr(value)), (path, value)


def test_a_point_is_its_number_and_seeds_differ() -> None:
    assert point(3, _SPACE, 0) == point(3, _SPACE, 0)
    assert point(3, _SPACE, 0) != point(3, _SPACE, 1)
    assert point(0, {}, 0) == {}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if name == "gp" else name for name in SAMPLERS]
)
@pytest.mark.parametrize("objectives", [1, 2])
def test_a_study_is_the_same_twice_and_learns_with_every_sampler(name: str, objectives: int) -> None:
    def searched() -> list[dict[str, Any]]:
        study = optuna.create_study(directions=["minimize"] * objectives)
        for number in range(START + 4):
            study.sampler = sampler_for(number, _SPACE, SAMPLERS[name], 7)
            trial = study.ask(_SPACE)
            trial.set_constraint("rate", trial.params["decay"] - 0.05)
            if number % 4 == 3:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, [trial.params["beta"], 1 / trial.params["beta"]][:objectives])
        return [trial.params for trial in study.trials]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    first = searched()
    assert first == searched()
    assert first[:START] == [point(number, _SPACE, 7) for number in range(START)]


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_the_design_draws_what_it_is_asked_for_to_the_end(name: str) -> None:
    """So that every eighth of its range has its share of each eight trials, whatever the sampler has learnt."""
    study = optuna.create_study(directions=["minimize"] * 2)
    for number in range(32):
        study.sampler = sampler_for(number, _SPACE, SAMPLERS[name], 7, designed=("decay", "not searched"))
        trial = study.ask(_SPACE)
        study.tell(trial, [trial.params["decay"], trial.params["beta"]])
    drawn = [trial.params["decay"] for trial in study.trials]
    assert drawn == [point(number, _SPACE, 7)["decay"] for number in range(32)]
    for first in range(0, 32, 8):
        assert sorted(int(80 * value) for value in drawn[first : first + 8]) == list(range(8))
    others = [trial.params["beta"] for trial in study.trials][START:]
    assert others != [point(number, _SPACE, 7)["beta"] for number in range(START, 32)]


def test_the_points_are_those_of_one_sequence() -> None:
    engine = qmc.Sobol(1, scramble=True, rng=np.random.default_rng(3))
    space = {"decay": _SPACE["decay"]}
    assert [point(number, space, 3)["decay"] for number in range(16)] == (0.1 * engine.random(16)[:, 0]).tolist()
