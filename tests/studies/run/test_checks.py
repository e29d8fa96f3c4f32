"""What a study's command refuses before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from support.small_study import CONFIG, study

from studies.record.study_folder import StudyFolder
from studies.run import checks
from studies.run.checks import check, check_pixels
from studies.run.options import Options
from studies.study import Study
from trainables.errors import UserError

SPACE = {"beta": FloatDistribution(0.1, 10, log=True)}
GREY = "^model.likelihood bernoulli is of binary pixels, and those of digits have 256 levels\nmake them binary: --set"


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


@pytest.mark.parametrize(
    ("there", "torch", "visible", "found"),
    [
        (["/dev/nvidiactl"], "2.11.0", None, True),
        (["/dev/nvidiactl"], "2.11.0+cpu", None, False),
        (["/dev/nvidiactl"], "2.11.0", "NoDevFiles", False),  # of a job of Slurm without one
        (["/dev/kfd"], "2.11.0", None, False),  # the graphics of many a laptop
        (["/dev/kfd"], "2.11.0+rocm7.0", None, True),
        (["/dev/dxg"], "2.11.0", None, False),  # of any that Windows has
        (["/dev/dxg", "/usr/lib/wsl/lib/libcuda.so.1"], "2.11.0", None, True),
    ],
)
def test_a_gpu_is_one_that_this_torch_may_compute_on(
    there: list[str], torch: str, visible: str | None, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "version", lambda _: torch)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) in there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert checks.has_gpu() == found
