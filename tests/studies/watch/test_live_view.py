"""What a person watches."""

from __future__ import annotations

from rich.console import Console

from studies.watch.live_view import View


def test_the_view_counts_what_prometheus_is_told() -> None:
    view = View("s", 5, 3, Console(quiet=True))
    view.known({"COMPLETE": 1, "RUNNING": 1}, None)
    view.started(1, {"beta": 1.0})
    view.reported(1, {"epoch": 1, "val_bits_per_dim": 2.5, "val_rate": 1.0, "images_per_second": 100.0})
    assert view.counts() == {"complete": 1, "pruned": 0, "failed": 0, "running": 1}
    assert (view.best_value(), view.images_per_second()) == (2.5, 100.0)
    view.ended(1, "pruned")
    assert view.counts() == {"complete": 1, "pruned": 1, "failed": 0, "running": 0}
