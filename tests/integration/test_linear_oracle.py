"""Studies of a linear VAE against its closed form: loss, training, choice of the epoch, rate, distortion, units."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from support.commands import script

from analysis.reading.best_runs import ranked_runs
from trainables.data.datasets import load_dataset
from trainables.data.water_filling import water_filling
from trainables.errors import UserError
from trainables.training.batches import Pixels
from trainables.training.evaluate import evaluate
from trainables.training.process_group import World
from trainables.training.trial import load_pixels
from vae_models.elbo import ACTIVE_VARIANCE

PAGE = '''
"""A linear VAE: how the KL weight trades rate against distortion where the answer is known."""

from optuna.distributions import FloatDistribution

from studies.command_line.command import main
from studies.study import Study
from trainables.config import TrialConfig
from vae_models import ModelConfig

STUDY = Study(
    name="linear_vae",
    base=TrialConfig(model=ModelConfig(architecture="linear", latent_dim=8)),
    space={"beta": FloatDistribution(0.5, HIGHEST, log=True)},
    trials=4,
    final_epochs=0,
)

if __name__ == "__main__":
    main(STUDY)
'''
# small steps, many: a log-variance that overshoots its bound stays there, and its latent with it
# the three KL weights of this seed are one of the lowest, one of the middle and one of the highest
DIGITS = ("--trials", "3", "--seed", "28", "--epochs", "180", "--set", "batch_size=32", "--set", "lr=0.0045")
MNIST = ("--epochs", "8", "--limit-val", "500", "--set", "batch_size=64", "--set", "lr=0.005", "--set", "dataset=mnist")
EVALUATED = 20_000  # rows at least, each with a noise of its own: their mean is sure to 0.1 % of a loss


class Found(NamedTuple):
    """What a trial came to on the images that it was trained on."""

    beta: float
    excess: float  # of D + beta R over the closed form, as a share of it
    active_units: int
    fewest: int  # that are active where eigenvalues within 5 % of the threshold are not, and where they are
    most: int


def trained(folder: Path, highest: float, *options: str) -> list[Found]:
    page = folder / "linear_vae.py"
    page.write_text(PAGE.replace("HIGHEST", str(highest)))
    fixed = ("--prune", "0", "--no-report", "--out", "study")
    done = script(page, *options, *fixed, cwd=folder, timeout=1100)
    assert done.returncode == 0, done.stderr
    runs = ranked_runs(folder / "study")
    assert {run.config.model.architecture for run in runs} == {"linear"}
    images, _ = load_pixels(runs[0].config, None, "cpu")
    signed = 2 * images.batch(np.arange(len(images))).flatten(1).double().numpy() - 1
    eigenvalues = np.linalg.eigvalsh(np.cov(signed.T, bias=True))
    repeated = Pixels(images._source.numpy(), np.tile(images._indices.numpy(), math.ceil(EVALUATED / len(images))))
    found = []
    for run in runs:
        beta, latent_dim = run.config.beta, run.config.model.latent_dim
        least = water_filling(eigenvalues, latent_dim, np.array([beta]))
        metrics = evaluate(run.load(), repeated, run.best["sigma"], World())
        loss = metrics["distortion"] - 784 * 0.5 * math.log(2 * math.pi) + beta * metrics["rate"]
        height = np.sort(eigenvalues)[-latent_dim:] / (beta / (1 - ACTIVE_VARIANCE))
        fewest, most = int((height > 1.05).sum()), int((height > 0.95).sum())
        excess = loss / float(least.distortion[0] + beta * least.rate[0]) - 1
        found.append(Found(beta, excess, int(metrics["active_units"]), fewest, most))
    return sorted(found)


def check(found: list[Found]) -> None:
    told = "\n".join(map(str, found))
    betas = [each.beta for each in found]
    assert len(set(betas)) >= 3
    assert betas[-1] > 10 * betas[0]
    assert all(-0.002 < each.excess < 0.01 for each in found), told  # what is below 0 is the evaluation's noise
    assert all(each.fewest <= each.active_units <= each.most for each in found), told
    assert len({each.active_units for each in found}) > 1  # some latents collapse, where they should


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_study_finds_the_closed_form(tmp_path: Path) -> None:
    """Of MNIST, or of the digits where that is not at hand."""
    try:
        load_dataset("mnist", may_download=False)
    except UserError:
        check(trained(tmp_path, 42.0, *DIGITS))
    else:
        check(trained(tmp_path, 24.0, *MNIST))
