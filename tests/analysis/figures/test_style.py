"""What every figure shares."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.analysis_fixture import build_study
from support.commands import ROOT

from analysis.figures.files import save_figure
from analysis.figures.style import draw_note, plain, short_name, short_names, show_tiles, styled


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
        ("a\ufeffb", r"a\ufeffb"),  # the font has it, and nobody sees it
        ("\u202etxt", r"\u202etxt"),  # what follows would be turned around
        ("e\u0301\u0302 עברית العربية", "e\u0301\u0302 עברית العربية"),
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
        draw().savefig(tmp_path / "text.pdf")


def test_pictures_that_end_in_white_have_a_frame_and_missing_ones_none() -> None:
    white = np.ones((1, 8, 8))
    white[0, 3:5, 3:5] = 0
    images = np.stack([np.zeros((1, 8, 8)), white, np.ones((1, 8, 8))])[None]  # the last is no picture
    axes = Figure().subplots()
    show_tiles(axes, images, gap=2)
    (frame,) = axes.patches
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (9.5, -0.5, 8, 8)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat", "cat"),
        ("0123456789ab", "0123456789ab"),
        ("0123456789abc", "012345…89abc"),
        ("two\nlines", r"two\nlines"),
        ("猫猫猫", r"\u732b…"),  # an escape is whole, or left out
        ("$" * 20, r"\$" * 6 + "…" + r"\$" * 5),  # of a dollar its escape is not drawn
        ("fish_imperator_juvenile", "fish_i…enile"),
        ("fish_imperator_adult", "fish_i…adult"),
        ("", ""),
    ],
)
def test_a_name_has_one_line_of_at_most_so_many_characters(name: str, shown: str) -> None:
    assert short_name(name, 12) == shown


@pytest.mark.parametrize("width", [12, 16, 18])
@pytest.mark.parametrize(
    "names",
    [
        [f"{plant}___{what}" for plant in ("Potato", "Tomato") for what in ("Early_blight", "Late_blight", "healthy")],
        ["番茄早疫病", "番茄晚疫病", "番茄叶霉病"],
        [f"a_long_name_with_{number}_within_it_all" for number in range(120)],
        ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a" * 60],
        ["x" * 30 + "0" + "y" * 30, "x" * 30 + "1" + "y" * 30, "x" * 5 + "…" + "y" * 6],
    ],
)
def test_names_of_one_figure_are_told_apart(names: list[str], width: int) -> None:
    found = short_names([*names, names[0]], width)
    assert list(found) == names
    assert len(set(found.values())) == len(names)
    assert max(map(len, found.values())) <= width


def test_what_sets_names_apart_is_shown() -> None:
    found = short_names(["Potato___Early_blight", "Potato___Late_blight", "Potato___healthy"], 16)
    assert list(found.values()) == ["Potato___Early…", "Potato___Late…", "Potato___healthy"]
    assert short_names(["cat", "dog"], 12) == {"cat": "cat", "dog": "dog"}


_DRAW = """
import sys
from pathlib import Path
from analysis.figures.files import save_figure, study_charts
from analysis.figures.registry import StudyContext, study_figures
from analysis.figures.style import draw_note
from analysis.reading.study_record import read_study
save_figure(draw_note("100 % of a_b"), Path("note.png"))
assert study_charts(StudyContext(read_study(sys.argv[1])), study_figures())
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("settings", "variables"),
    [
        (
            "text.usetex: True\nsavefig.bbox: tight\nfont.family: no such font\npdf.compression: 0\nfigure.dpi: 30\n"
            "path.sketch: 1, 2, 3\naxes.formatter.use_locale: True",
            {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        ),
        ("", {"MPLBACKEND": "TkAgg", "DISPLAY": ""}),
        ("backend: nonsense", {"MPLBACKEND": "nonsense", "LC_ALL": "de_DE.UTF-8"}),
        ("font.family: caf\udce9", {}),  # not UTF-8
        ("", {"MATPLOTLIBRC": "latin_1"}),
    ],
)
def test_a_persons_own_settings_change_no_figure(settings: str, variables: dict[str, str], tmp_path: Path) -> None:
    if settings:
        (tmp_path / "matplotlibrc").write_text(settings, errors="surrogateescape")
    (tmp_path / "latin_1").write_bytes(b"text.usetex: True  # caf\xe9")
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    study = build_study(tmp_path / "study", objective="rate_distortion")
    subprocess.run([sys.executable, "-c", _DRAW, study], cwd=tmp_path, env=environment, check=True, timeout=60)
    save_figure(draw_note("100 % of a_b"), tmp_path / "plain.png")
    for kind in (".png", ".pdf"):
        assert (tmp_path / "note").with_suffix(kind).read_bytes() == (tmp_path / "plain").with_suffix(kind).read_bytes()
