"""How long a report takes, against some that were timed."""

from __future__ import annotations

import pytest

from analysis.report.cost import report_seconds


@pytest.mark.parametrize(
    ("trials", "models", "test_images", "seconds"),
    [
        (5, 1, 359, 27.8),
        (12, 3, 359, 56.1),
        (14, 2, 359, 54.9),
        (48, 2, 359, 64.5),
        (64, 3, 10_000, 97.0),
        (64, 3, 10_000, 118.0),
        (8, 1, 10_000, 50.9),
        (20, 0, 359, 2.2),
        (3, 0, 359, 3.1),
    ],
)
def test_it_is_near_the_reports_that_it_was_fitted_to(
    trials: int, models: int, test_images: int, seconds: float
) -> None:
    assert report_seconds(trials, models, test_images) == pytest.approx(seconds, rel=0.25, abs=3)
