"""How figures become files."""

from __future__ import annotations

from pathlib import Path

from support.analysis_fixture import build_study

from analysis.figures.files import save_figure
from analysis.figures.study.timeline import compute_timeline, draw_timeline
from analysis.reading.study_record import read_study


def test_a_pdf_holds_its_fonts_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    study = read_study(build_study(tmp_path / "study"))

    def saved(name: str) -> bytes:
        figure = draw_timeline(compute_timeline(study.trials))
        path = save_figure(figure, tmp_path / name)
        assert path.suffix == ".png"
        return path.with_suffix(".pdf").read_bytes()

    first = saved("a.png")
    assert first.startswith(b"%PDF")
    assert b"/FontFile2" in first
    assert b"/Type3" not in first
    assert b"CreationDate" not in first
    assert saved("b.png") == first
