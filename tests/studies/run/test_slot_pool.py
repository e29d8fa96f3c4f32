"""How many slots a study opens."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console
from support.small_study import CONFIG, study

from cluster.plan import Node
from studies.record.ledger import Ledger
from studies.record.study_folder import StudyFolder
from studies.run.options import Resources
from studies.run.slot_pool import share_of_gpu
from studies.search.lifecycle import Session
from studies.watch.live_view import View
from studies.watch.stopping import Stop
from trainables.errors import UserError
from trainables.records.storage_urls import storage_url
from trainables.training.trial import times_that_fit


def test_a_gpus_memory_says_how_many_trials_share_it() -> None:
    assert [times_that_fit(taken, 80 << 30) for taken in (2 << 30, 30 << 30, 100 << 30)] == [36, 2, 1]
    space = {"model.latent_dim": IntDistribution(2, 64), "model.width": CategoricalDistribution([16, 8])}
    largest = study(space=space | {"lr": FloatDistribution(1e-4, 1e-2)}).largest()
    assert largest == CONFIG.replace({"model.latent_dim": 64, "model.width": 16})


def test_trials_cannot_share_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    ledger, view = Ledger(study(), storage_url(tmp_path, None)), View("small", 4, 3, Console(quiet=True))
    session = Session(ledger, StudyFolder(tmp_path), None, view, Stop())
    with pytest.raises(UserError, match=r"must find a GPU in the cluster, got 1 node\(s\) without one"):
        share_of_gpu(Resources(trials_per_gpu="auto"), [Node(2, 0)], session)
