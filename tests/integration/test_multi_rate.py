"""A study of networks for every KL weight, as a command, and what is left of it in the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import SMALL_STUDY, script

from analysis import load_best, load_rates, load_trials
from analysis.reading.best_runs import ranked_runs
from trainables.data.datasets import load_dataset
from trainables.errors import UserError
from trainables.metrics import AT_EACH_RATE, RATES


@pytest.mark.slow
def test_a_study_of_every_weight_is_run_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    options = ("--multi-rate", "--epochs", "2", "--final-epochs", "3", "--no-report", "--out", folder)
    done = script(*SMALL_STUDY, *options, "--trials", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = load_trials(folder)
    assert trials["beta"].tolist() == pytest.approx([0.5] * 3)  # the middle of 0.05 to 5
    assert set(trials["state"]) == {"COMPLETE"}

    rates = load_rates(folder)
    assert len(rates) == 3 * RATES
    for number, curve in rates.groupby("number"):
        assert curve["beta"].to_numpy() == pytest.approx(np.geomspace(0.05, 5, RATES))
        middle = curve[curve["place"] == RATES // 2].iloc[0]
        own = trials.loc[trials["number"] == number].iloc[0]
        assert [middle[name] for name in AT_EACH_RATE[:-1]] == [own[name] for name in AT_EACH_RATE[:-1]]

    runs = ranked_runs(folder)
    assert sum(not run.is_final for run in runs) == 3
    assert any(run.is_final for run in runs)
    values = [run.best["val_relative_loss"] for run in runs]
    assert values == sorted(values)
    images = torch.from_numpy(load_dataset("digits").test.images[:4]) / 255
    cheap, faithful = (load_best(folder, beta=beta) for beta in (5.0, 0.05))
    assert not cheap.config.multi_rate
    means = [model.encode(images).mean for model in (cheap, faithful)]
    assert not means[0].allclose(means[1], rtol=1e-3)
    with pytest.raises(UserError, match=r"beta must be a number within the network's beta_range, 0\.05 to 5, got 6"):
        load_best(folder, beta=6.0)
