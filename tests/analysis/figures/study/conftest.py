"""Studies that the figures are drawn from."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.analysis_fixture import build_study
from support.study_cases import synthetic

from analysis.reading.study_record import StudyRecord, read_study


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("six") / "study", final_bits=[2.6, 2.4, 2.35, 2.37])


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return read_study(synthetic(tmp_path_factory.mktemp("sixty") / "study", 60))
