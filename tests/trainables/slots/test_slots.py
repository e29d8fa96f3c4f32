"""Slots, in a real cluster of this process."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray
import torch
from support.commands import timeless
from support.processes import process_of
from support.small_study import CONFIG

from cluster.connect import connected
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job, News
from trainables.slots.resources import SlotResources
from trainables.slots.slots import Slots
from trainables.training.checkpoint import load_weights
from trainables.training.trial import train


@pytest.fixture(scope="module")
def cluster() -> object:
    with connected(None):
        yield


def outcome(slots: Slots, job: Job) -> News:
    """Run a job to its end."""
    TrialFolder(job.folder).create(job.config)
    rows: list[Metrics] = []
    while True:
        news = ray.get(slots.mailbox.news.remote(job), timeout=120)
        job = job.after(len(news.rows), len(news.assignments))
        rows += news.rows
        if news.ended:
            return News(rows, True, news.cause)


def await_a_row(slots: Slots, job: Job) -> None:
    TrialFolder(job.folder).create(job.config)
    while not (news := ray.get(slots.mailbox.news.remote(job), timeout=60)).rows:
        job = job.after(0, len(news.assignments))


def part_of_slot(kind: str) -> psutil.Process:
    process = process_of(os.getpid(), kind)
    assert process is not None
    return process


@pytest.mark.slow
def test_a_slot_of_two_workers_serves_good_and_bad_trials_and_survives_a_kill(cluster: object, tmp_path: Path) -> None:
    job = Job("0", CONFIG, tmp_path / "0", None)
    with Slots("two", 1, SlotResources(2), tmp_path / "ray") as slots:
        first = outcome(slots, job)
        assert first.cause is None
        assert [r["epoch"] for r in first.rows] == [1, 2, 3]

        alone = timeless(train(CONFIG, TrialFolder(tmp_path / "alone")))
        for ours, theirs in zip(timeless(first.rows), alone, strict=True):
            assert ours["val_bits_per_dim"] == pytest.approx(theirs["val_bits_per_dim"], rel=1e-4)

        # a worker is killed in the middle of a longer trial: the trial ends as it would have
        long = CONFIG.replace({"epochs": 60})
        job = Job("1", long, tmp_path / "1", None)
        await_a_row(slots, job)
        part_of_slot("RayTrainWorker").kill()
        killed = outcome(slots, job)
        assert killed.cause is None
        assert [r["epoch"] for r in killed.rows] == list(range(1, 61))


@pytest.mark.slow
def test_a_trial_ends_as_it_would_have_whichever_part_of_its_slot_is_killed(cluster: object, tmp_path: Path) -> None:
    config = CONFIG.replace({"epochs": 60})
    expected = timeless(train(config, TrialFolder(tmp_path / "alone")))
    with Slots("parts", 1, SlotResources(1), tmp_path / "ray") as slots:
        for part in ("Mailbox", "TrainController", "RayTrainWorker"):
            job = Job(part, config, tmp_path / part, None)
            await_a_row(slots, job)
            victim = part_of_slot(part)
            victim.kill()
            killed = outcome(slots, job)
            assert killed.cause is None, part
            assert part_of_slot(part) != victim
            assert timeless(killed.rows) == expected, part


@pytest.mark.slow
def test_a_trial_leaves_nothing_that_changes_the_next(cluster: object, tmp_path: Path) -> None:
    """After a failed and a full trial in the same slot, a trial gives to the bit what it gives alone."""
    broken = CONFIG.replace({"lr": 1e30, "grad_clip": 1e30})
    wrong_shape = CONFIG.replace({"model.image_shape": (3, 28, 28)})
    with Slots("one", 1, SlotResources(1), tmp_path / "ray") as slots:
        alone = outcome(slots, Job("a", CONFIG, tmp_path / "a", None))
        diverged = outcome(slots, Job("b", broken, tmp_path / "b", None))
        assert diverged.cause is not None
        assert diverged.cause.startswith("non-finite at epoch")
        refused = outcome(slots, Job("c", wrong_shape, tmp_path / "c", None))
        assert refused.cause is not None
        assert "model.image_shape must be that of digits" in refused.cause
        outcome(slots, Job("d", CONFIG.replace({"seed": 7, "model.depth": 1}), tmp_path / "d", None))
        after = outcome(slots, Job("e", CONFIG, tmp_path / "e", None))
    assert timeless(after.rows) == timeless(alone.rows)
    before, later = (load_weights(tmp_path / name / "checkpoints/best.safetensors")[0] for name in "ae")
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, later.state_dict()[name]), name


@pytest.mark.slow
def test_a_slot_trains_a_pack_whose_trials_come_and_go(cluster: object, tmp_path: Path) -> None:
    """Of other lengths and architectures; one diverges, one is cancelled, and the worker dies."""
    long = CONFIG.replace({"epochs": 40})
    configs = {
        "long": long,
        "other": long.replace({"beta": 3.0, "seed": 1}),
        "short": CONFIG.replace({"seed": 2}),
        "deep": CONFIG.replace({"model.depth": 1}),
        "diverges": CONFIG.replace({"lr": 1e30, "grad_clip": 1e30}),
    }
    jobs = {name: Job(name, config, tmp_path / name, None) for name, config in configs.items()}
    with Slots("pack", 1, SlotResources(1, pack=4), tmp_path / "ray") as slots, ThreadPoolExecutor(8) as pool:
        endless = Job("endless", CONFIG.replace({"epochs": 100_000, "seed": 9}), tmp_path / "endless", None)
        broken = Job("broken", CONFIG.replace({"epochs": 100_000, "seed": 8}), tmp_path / "broken", None)
        await_a_row(slots, endless)
        await_a_row(slots, broken)
        futures = {name: pool.submit(outcome, slots, job) for name, job in jobs.items()}
        await_a_row(slots, jobs["long"])
        part_of_slot("RayTrainWorker").kill()
        ended = {name: futures[name].result() for name in ("long", "other")}
        # a disk that fails under one of them ends it alone
        checkpoints = tmp_path / "broken/checkpoints"
        while not checkpoints.is_file():
            with suppress(OSError):
                checkpoints.rename(tmp_path / f"moved-{time.monotonic()}")
                checkpoints.write_text("in the way")
        lost = outcome(slots, broken)
        seen = len(ray.get(slots.mailbox.news.remote(endless), timeout=60).rows)
        await_a_row(slots, endless.after(seen))
        ray.get(slots.mailbox.cancel.remote("endless"), timeout=60)
        ended |= {name: future.result() for name, future in futures.items()}
    assert str(lost.cause).startswith(("FileExistsError", "NotADirectoryError"))  # by what it was at
    assert str(ended.pop("diverges").cause).startswith("non-finite at epoch 1: ")
    for name, news in ended.items():
        assert news.cause is None, name
        alone = timeless(train(configs[name], TrialFolder(tmp_path / "alone" / name)))
        assert timeless(news.rows) == alone, name


@pytest.mark.slow
def test_a_cancelled_trial_frees_its_slot_at_its_next_epoch(cluster: object, tmp_path: Path) -> None:
    endless = CONFIG.replace({"epochs": 100_000})
    with Slots("cancel", 1, SlotResources(1), tmp_path / "ray") as slots:
        await_a_row(slots, Job("0", endless, tmp_path / "0", None))
        ray.get(slots.mailbox.cancel.remote("0"), timeout=60)
        assert [r["epoch"] for r in outcome(slots, Job("1", CONFIG, tmp_path / "1", None)).rows] == [1, 2, 3]
