"""Runs ranked, loaded and exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.analysis_fixture import BASE, SIX, build_study

from analysis import load_best
from analysis.reading.best_runs import export_best, ranked_runs
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.training.checkpoint import load_weights
from trainables.training.loop import seeded_vae

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("six") / "study", final_bits=[2.6, 2.4, 2.35, 2.37])


def test_runs_rank_by_bits_and_the_final_one_counts_once_it_is_finished(six: Path, tmp_path: Path) -> None:
    assert [run.label for run in ranked_runs(six)] == ["final", "trial 4", "trial 0", "trial 1"]
    assert ranked_runs(six)[0].stem == "final_epoch_0003"
    unfinished = build_study(tmp_path / "study", final_bits=[2.6, 2.0])
    assert [run.label for run in ranked_runs(unfinished)] == ["trial 4", "trial 0", "trial 1"]


def test_load_best_is_the_saved_model(six: Path) -> None:
    best = load_best(six, rank=1)
    expected = seeded_vae(BASE.of_trial(4, SIX[4].params)).eval()
    x = torch.rand(3, 1, 28, 28)
    assert torch.equal(best.reconstruct(x), expected.reconstruct(x))
    assert not best.training
    with pytest.raises(UserError, match="rank must be below"):
        load_best(six, rank=4)


def test_exported_models_load_and_carry_their_config(six: Path) -> None:
    run = ranked_runs(six)[1]
    weights, config = export_best(six, run)
    assert weights == six / "models" / "VAE" / "trial_0004.safetensors"
    assert load_weights(weights)[0].config == run.config.model
    assert TrialConfig.model_validate_json(config.read_text()) == run.config
