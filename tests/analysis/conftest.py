"""What several rooms of the analysis read."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.multi_rate_study import multi_rate_study


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two multi-rate networks; not to be written to."""
    return multi_rate_study(tmp_path_factory.mktemp("networks") / "study")
