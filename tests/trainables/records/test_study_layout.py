"""Where everything of a study is."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from trainables.records.atomic_files import write_atomic
from trainables.records.study_layout import StudyLayout, new_study_of, visu_name


def test_visu_names_are_safe() -> None:
    assert visu_name("mnist") == "mnist_vae"
    assert visu_name("imagefolder:/home/me/../x y") == "imagefolder_vae"
    assert "/" not in visu_name("../../etc")


def test_the_longest_name_of_a_study_is_the_longest_whose_files_can_be_beside_it(tmp_path: Path) -> None:
    longest, longer = tmp_path / ("n" * 224), tmp_path / ("n" * 225)
    write_atomic(StudyLayout(new_study_of(longest)).request, "stop")
    with pytest.raises(OSError, match="File name too long"):
        write_atomic(StudyLayout(longer).request, "stop")
    (tmp_path / "link").symlink_to(longer)
    for path in (longer, tmp_path / "link"):
        with pytest.raises(typer.BadParameter, match="must end in a name of at most 224 bytes"):
            new_study_of(path)
