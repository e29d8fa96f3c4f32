"""What every figure shares."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures.style import plain, show_tiles, styled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat", "cat"),
        ("café Ж Ω", "café Ж Ω"),
        ("two\nlines", "two\nlines"),
        ("$5_a$", r"\$5_a\$"),
        ("_hidden", " _hidden"),
        ("猫", r"\u732b"),
        ("tab\t", r"tab\t"),
        ("\udcff", r"\udcff"),  # of a name that is not UTF-8
    ],
)
def test_text_is_shown_as_it_is_or_escaped(text: str, shown: str, tmp_path: Path) -> None:
    assert plain(text) == shown

    @styled
    def draw() -> Figure:
        figure = Figure()
        figure.text(0.5, 0.5, plain(text))
        return figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as for a letter that the font lacks
        draw().savefig(tmp_path / "text.png")


def test_pictures_that_end_in_white_have_a_frame_and_missing_ones_none() -> None:
    white = np.ones((1, 8, 8))
    white[0, 3:5, 3:5] = 0
    images = np.stack([np.zeros((1, 8, 8)), white, np.ones((1, 8, 8))])[None]  # the last is no picture
    axes = Figure().subplots()
    show_tiles(axes, images, gap=2)
    (frame,) = axes.patches
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (9.5, -0.5, 8, 8)
