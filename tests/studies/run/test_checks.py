"""What a study's command refuses before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from support.small_study import CONFIG, study

from studies.record.study_folder import StudyFolder
from studies.run.checks import check, check_pixels
from studies.run.options import Options
from studies.study import Study
from trainables.errors import UserError

SPACE = {"beta": FloatDistribution(0.1, 10, log=True)}
GREY = (
    "^model.likelihood bernoulli is of binary pixels, and those of digits are grey\nmake them binary: --set model.bin"
)


def of_grey_pixels() -> Study:
    return study(base=CONFIG.replace({"model.likelihood": "bernoulli"}), space=SPACE)


def test_a_new_study_of_binary_pixels_makes_them_binary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=GREY) as refused:
        check(of_grey_pixels(), StudyFolder(tmp_path / "new"), Options())
    assert len(str(refused.value).splitlines()) == 2
    assert not (tmp_path / "new").exists()
    searched = SPACE | {"model.likelihood": CategoricalDistribution(("laplace", "bernoulli"))}
    with pytest.raises(UserError, match=GREY):
        check_pixels(study(space=searched, objective="bits_per_dim"))
    for how in ("dynamic", "fixed", "threshold"):
        check_pixels(study(base=CONFIG.replace({"model.likelihood": "bernoulli", "model.binarise": how}), space=SPACE))


def test_one_that_an_older_version_made_of_grey_pixels_goes_on(tmp_path: Path) -> None:
    folder, planned = StudyFolder(tmp_path / "old"), of_grey_pixels()
    folder.path.mkdir()
    folder.claim(folder.own_definitions(planned))
    assert check(planned, StudyFolder(folder.path), Options()).base == planned.base
    with pytest.raises(UserError, match=GREY):
        check(planned, StudyFolder(folder.path), Options(fresh=True))
