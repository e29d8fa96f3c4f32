"""Where everything of a study is."""

from __future__ import annotations

from trainables.records.study_layout import visu_name


def test_visu_names_are_safe() -> None:
    assert visu_name("mnist") == "mnist_vae"
    assert visu_name("imagefolder:/home/me/../x y") == "imagefolder_vae"
    assert "/" not in visu_name("../../etc")
