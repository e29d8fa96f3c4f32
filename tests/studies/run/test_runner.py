"""What a study's command says before it begins."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution
from support.small_study import CONFIG, study

from cluster.plan import Node
from studies.run import runner


@pytest.mark.parametrize(
    ("precision", "gpus", "nodes", "is_searched", "has_bfloat16", "says"),
    [
        ("float32", 0, 1, False, True, True),
        ("float32", 0, 1, False, False, False),
        ("bf16", 0, 1, False, True, False),
        ("float32", 1, 1, False, True, False),
        ("float32", 0, 2, False, True, False),
        ("float32", 0, 1, True, True, False),
    ],
)
def test_bfloat16_is_offered_where_the_processor_has_it(
    precision: str,
    gpus: int,
    nodes: int,
    is_searched: bool,
    has_bfloat16: bool,
    says: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "has_bfloat16", lambda: has_bfloat16)
    searched = {"precision": CategoricalDistribution(("float32", "bf16"))} if is_searched else {}
    asked = study(base=CONFIG.replace({"precision": precision}), space=study().space | searched)
    assert ("--set precision=bf16" in runner.faster_precision(asked, [Node(2, gpus)] * nodes)) == says
