"""How a study is run."""

from __future__ import annotations

import pytest

from studies.run.options import Budget, Resources, Storage


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pack": "0"}, "--pack must be auto or from 1 to 32, got '0'"),
        ({"pack": "2", "workers_per_trial": 2}, "--pack must be 1 where a trial has several workers, got 2"),
        ({"pack": "33"}, "--pack must be auto or from 1 to 32, got '33'"),
        ({"pack": "many"}, "--pack must be auto or from 1 to 32, got 'many'"),
    ],
)
def test_resources_that_make_no_sense_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resources(**fields)


def test_storages_are_told_apart_and_credentials_of_object_stores_refused() -> None:
    both = Storage.of(["s3://bucket/a?region=eu-central-1", "sqlite:///x.db"])
    assert both == Storage(ledger="sqlite:///x.db", checkpoints="s3://bucket/a?region=eu-central-1")
    with pytest.raises(ValueError, match="one database and one object store at most, got two databases"):
        Storage.of(["sqlite:///x.db", "sqlite:///y.db"])
    with pytest.raises(ValueError, match="no credentials") as refused:
        Storage.of(["s3://key:geheim@bucket/a"])
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), 1e6])
def test_a_budget_of_nothing_is_refused(hours: float) -> None:
    with pytest.raises(ValueError, match="--max-hours must be above 0"):
        Budget(hours=hours)
