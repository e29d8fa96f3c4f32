"""The report as a whole."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import escape
from support.analysis_fixture import BASE, SIX, Made, build_study
from support.pictures import looks_drawn

from analysis import load_trials
from analysis.figures.registry import model_figures, study_figures
from analysis.report.report import write_report
from trainables.records.atomic_files import seal, unseal
from trainables.records.trial_folder import TrialFolder

NEEDS_MORE = {"across_beta", "search_quality"}  # than these studies have: models of one architecture, two objectives
OF_NETWORKS = {"rate_curve", "latents_by_beta"}  # figures of multi-rate studies


@pytest.mark.heavy
def test_report_of_the_best_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.measures.inference_gap._IMAGES", 20)  # measured elsewhere
    hostile = "<script>alert('study')</script>"
    folder = build_study(
        tmp_path / "study", final_bits=[2.6, 2.4, 2.35, 2.37], name=hostile, objective="rate_distortion"
    )
    info = unseal((folder / "study.json").read_text())
    info["command"] = "python x.py --storage postgresql://me:secret@host/db"
    (folder / "study.json").write_text(seal(info))
    steps: dict[str, float] = {}
    old = folder / "visu" / "digits_vae" / "recon" / "trial_0001_epoch_0003.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"once the best")
    capfd.readouterr()  # what the fixture said
    paths = write_report(folder, top=1, progress=steps.__setitem__)
    assert not old.exists()
    assert capfd.readouterr() == ("", "")
    assert "measuring trial 0 on the test set: likelihood" in steps
    assert list(steps.values()) == [k / len(steps) for k in range(len(steps))]
    for name in model_figures().keys() - {"traversal_gif"}:
        for stem in ("trial_0000_epoch_0002", "final_0004_epoch_0003"):
            drawn = folder / "visu" / "digits_vae" / name / f"{stem}.png"
            looks_drawn(drawn, least=400)
            assert drawn.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    for name in study_figures().keys() - {"across_beta"} - OF_NETWORKS:  # its models are of one architecture
        looks_drawn(folder / "visu" / "digits_vae" / "study" / f"{name}.png", least=350)
    assert pd.read_csv(paths["trials"])["number"].tolist() == list(range(6))
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "trials.parquet"), load_trials(folder))
    assert len(list((folder / "models" / "VAE").iterdir())) == 4
    page = paths["report"].read_text()
    assert len(page.encode()) < 6e6
    assert hostile not in page
    assert "&lt;script&gt;alert" in page
    assert "non-finite &lt;script&gt;" in page
    assert "secret" not in page
    assert "For a small code take trial 1 (8.0 nats of rate; latent size 4, depth 1); at the knee trial 0 (13.0" in page
    assert "for faithful pictures final of trial 4 (" in page
    assert "Does the front hold on the test images?" in page
    numbers = [int(number) for number in re.findall(r"<b>Figure (\d+)\. ", page)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert page.index("<b>Figure 1. Rate against distortion.</b>") < page.index('aria-label="The front"')
    assert page.index("</main>") < page.index('id="plotly"')
    for state, count in {"complete": 3, "pruned": 1, "failed": 1, "interrupted": 1}.items():
        assert f'<td class="text">{state}</td><td>{count}</td>' in page
    assert "The search was stopped before its end, and these numbers may still change: 1 trial is interr" in page
    for figure in (study_figures() | model_figures()).values():
        assert (str(escape(figure.caption)) in page) == (figure.name not in {"across_beta"} | OF_NETWORKS)
    markup = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href|srcset|action)\s*=\s*["']?\s*(https?:)?//""", markup, re.IGNORECASE)
    assert not re.search(r"<script[^>]+src", page)
    assert "default-src 'none'" in markup


@pytest.mark.heavy
def test_a_quick_report_stops_after_the_first_screen(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study", objective="rate_distortion")
    steps: dict[str, float] = {}
    paths = write_report(folder, progress=steps.__setitem__, quick=True)
    page = paths["report"].read_text()
    assert "at the knee trial 0" in page
    assert "come without --quick" in page
    assert re.findall(r"<b>Figure (\d+)\. ", page) == ["1"]
    assert [path.name for path in (folder / "visu").glob("**/*.png")] == ["rate_distortion.png"]
    assert not (folder / "models").exists()
    assert paths["trials"].exists()
    assert list(steps.values()) == [k / len(steps) for k in range(len(steps))]


@pytest.mark.heavy
@pytest.mark.usefixtures("pixels_alone")
@pytest.mark.parametrize("trials", [[], SIX[:1], [SIX[2]], [SIX[5], SIX[3]]], ids=["empty", "one", "pruned", "running"])
def test_report_without_the_data_set_gives_the_rest(trials: list[Made], tmp_path: Path) -> None:
    base = BASE.model_copy(update={"dataset": f"imagefolder:{tmp_path}/none"})
    paths = write_report(build_study(tmp_path / "study", trials, base=base))
    page = paths["report"].read_text()
    assert "cannot be had" in page
    assert ("no best model" in page) == (trials != SIX[:1])
    for name in study_figures().keys() - NEEDS_MORE - OF_NETWORKS:
        looks_drawn(tmp_path / "study" / "visu" / "imagefolder_vae" / "study" / f"{name}.png", least=350)


def test_missing_weights_are_told(tmp_path: Path) -> None:
    base = BASE.model_copy(update={"dataset": "nothing"})
    folder = build_study(tmp_path / "study", SIX[:1], base=base)
    TrialFolder(folder / "trials" / "0000").best.write_bytes(b"torn")
    assert "The model of trial 0 is missing" in write_report(folder)["report"].read_text()
