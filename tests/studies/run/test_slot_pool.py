"""How many slots a study opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console
from support.small_study import CONFIG, study

from cluster.plan import Node
from studies.record.ledger import Ledger
from studies.record.study_folder import StudyFolder
from studies.run.options import Resources
from studies.run.slot_pool import chosen_pack
from studies.search.lifecycle import Session
from studies.watch.live_view import View
from studies.watch.stopping import Stop
from trainables.records.storage_urls import storage_url


def a_session(path: Path) -> Session:
    ledger, view = Ledger(study(), storage_url(path, None)), View("small", 4, 3, Console(quiet=True))
    folder = StudyFolder(path / "study")
    folder.path.mkdir()
    folder.claim(study())
    return Session(ledger, folder, None, view, Stop())


def test_the_largest_model_of_a_space_is_what_is_measured() -> None:
    space = {"model.latent_dim": IntDistribution(2, 64), "model.width": CategoricalDistribution([16, 8])}
    largest = study(space=space | {"lr": FloatDistribution(1e-4, 1e-2)}).largest()
    assert largest == CONFIG.replace({"model.latent_dim": 64, "model.width": 16})


@pytest.mark.parametrize(
    ("asked", "gpus", "measured", "expected"),
    [
        ({"pack": "3"}, 0, None, 3),
        ({"pack": "3"}, 1, 8, 3),
        ({}, 0, 8, 1),
        ({}, 1, 8, 8),
        ({"gpus_per_worker": 0.5}, 1, 8, 1),
        ({"workers_per_trial": 2}, 2, 8, 1),
    ],
)
def test_a_pack_is_what_is_asked_or_what_was_measured_when_the_study_began(
    tmp_path: Path, asked: dict[str, Any], gpus: int, measured: int | None, expected: int
) -> None:
    session = a_session(tmp_path)
    if measured:
        session.folder.note(pack=measured)
    again = replace(session, folder=StudyFolder(session.folder.path))
    again.folder.claim(study())  # the same command, another day
    assert chosen_pack(Resources(**asked), [Node(2, gpus)], again) == expected
    assert again.folder.pack == measured
