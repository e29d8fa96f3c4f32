"""A study in a notebook, and the README's analysis."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
from support.analysis_fixture import SIX, Made, build_study

from analysis import StudyView, load_trials


def test_a_study_shows_itself_and_escapes_what_it_holds(tmp_path: Path) -> None:
    view = StudyView(build_study(tmp_path / "study", name="<b>bold"))
    assert view.title == "<b>bold: 6 trials (3 complete, 1 pruned, 1 failed, 1 interrupted)"
    assert view.table["number"].tolist()[:3] == [4, 0, 1]
    assert view.run().best["val_bits_per_dim"] == 2.4
    low = [SIX[0], Made("PRUNED", SIX[2].params, [1.0])]
    assert StudyView(build_study(tmp_path / "low", low)).table["number"].tolist() == [0, 1]
    assert "2.40" in repr(view)
    assert "<h4>&lt;b&gt;bold: 6 trials" in view._repr_html_()
    assert "<b>bold" not in view._repr_html_()
    pd.testing.assert_frame_equal(view.trials, load_trials(tmp_path / "study"))
    assert len(StudyView(build_study(tmp_path / "empty", [])).table) == 0
    two = StudyView(build_study(tmp_path / "two", objective="rate_distortion")).table
    assert two["number"].tolist()[:3] == [1, 0, 4]  # by rate
    assert two["front"].tolist() == [True] * 3 + [False] * 3


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("readme", "heading", "printed"),
    [
        ("README.md", "## In pandas", "torch.Size([16, 1, 28, 28])"),
        ("analysis/README.md", "## In Python", "nats an image"),
    ],
)
def test_the_readme_s_analysis_runs_as_it_stands(readme: str, heading: str, printed: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / readme).read_text()
    part = text.split(heading)[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", part, re.MULTILINE)
    code = textwrap.dedent(next(block for block in blocks if "import" in block))
    build_study(tmp_path / "runs" / "digits_vae", final_bits=[2.6, 2.4, 2.35, 2.37])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
