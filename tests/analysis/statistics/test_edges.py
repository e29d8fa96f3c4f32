"""What lies at an end of what was searched, and what to search instead."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from analysis.statistics.edges import edges
from trainables.config import TrialConfig
from trainables.space import extremes

SIZES = IntDistribution(2, 128, log=True)
RATES = FloatDistribution(1e-4, 1e-2, log=True)
WARMUPS = FloatDistribution(0.0, 0.4)


@pytest.mark.parametrize(
    ("path", "value", "distribution", "further"),
    [
        ("model.latent_dim", 128, SIZES, 256),
        ("model.latent_dim", 110, SIZES, 256),  # ln(128/110) is 4 % of ln(128/2)
        ("model.latent_dim", 100, SIZES, None),  # 6 %
        ("model.latent_dim", 2, SIZES, 1),
        ("model.latent_dim", 3, SIZES, None),
        ("model.latent_dim", 1, IntDistribution(1, 64), None),  # no model is smaller
        ("model.latent_dim", 65536, IntDistribution(2, 65536), None),  # or larger
        ("model.latent_dim", 50000, IntDistribution(2, 50000), 65536),
        ("model.latent_dim", 16, CategoricalDistribution([16, 4, 8]), 32),
        ("model.latent_dim", 8, CategoricalDistribution([16, 4, 8]), None),
        ("model.latent_dim", 4, CategoricalDistribution([16, 4, 8]), 2),
        ("model.depth", 3, IntDistribution(0, 3), 6),
        ("model.depth", 0, IntDistribution(0, 3), None),
        ("model.depth", 2, IntDistribution(0, 3), None),
        ("model.depth", 1, IntDistribution(0, 1), 2),
        ("model.width", 12, IntDistribution(12, 64, step=4), 8),
        ("model.width", 4, IntDistribution(4, 64, step=4), None),
        ("lr", 9e-3, RATES, 2e-2),
        ("lr", 1.1e-4, RATES, 5e-5),
        ("lr", 1e-3, RATES, None),
        ("lr", 0.01, FloatDistribution(0.01, 0.1), 0.005),  # never 0
        ("kl_warmup", 0.4, WARMUPS, 0.8),
        ("kl_warmup", 0.0, WARMUPS, None),
        ("kl_warmup", 0.9, FloatDistribution(0.0, 0.9), 1),
        ("optimizer", "adamw", CategoricalDistribution(["adam", "adamw"]), None),
        ("compile", True, CategoricalDistribution([False, True]), None),
        ("image_size", 16, CategoricalDistribution([None, 16]), None),
        ("model.depth", 2, IntDistribution(2, 2), None),
    ],
)
def test_an_end_and_the_range_to_try_instead(
    path: str, value: Any, distribution: BaseDistribution, further: float | None
) -> None:
    found = edges({path: value}, {path: distribution})
    if further is None:
        assert found == []
        return
    (edge,) = found
    assert edge.further == pytest.approx(further)
    assert (edge.path, edge.value) == (path, value)
    assert [edge.low, edge.high] == sorted([min(extremes(distribution)), max(extremes(distribution))])
    assert edge.is_upper == (further > edge.high)
    TrialConfig().replace({path: edge.further})  # a config takes it


def test_what_is_not_asked_and_what_was_not_drawn_have_no_edge() -> None:
    space = {"beta": FloatDistribution(0.1, 10, log=True), "model.latent_dim": SIZES, "lr": RATES}
    drawn = {"beta": 10.0, "model.latent_dim": 128}
    assert [edge.path for edge in edges(drawn, space)] == ["beta", "model.latent_dim"]
    assert [edge.path for edge in edges(drawn, space, ("beta",))] == ["model.latent_dim"]
    assert edges({}, space) == []
