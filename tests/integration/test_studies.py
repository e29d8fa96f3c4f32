"""Studies with real Ray clusters and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import optuna
import psutil
import pytest
import ray
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console
from support.commands import ROOT, script, timeless
from support.processes import process_of

from analysis import load_best, load_epochs, load_trials
from analysis.reading.repeats import load_repeats
from cluster.access import check_address
from cluster.connect import connected
from cluster.plan import Node, plan_slots
from studies.record.driver_lock import DriverLock
from studies.record.ledger import Ledger, suggest
from studies.record.study_folder import StudyFolder
from studies.run.options import Resources
from studies.run.slot_pool import share_of_gpu
from studies.search.lifecycle import Lifecycle, search_trials
from studies.study import Study
from studies.watch.live_view import View
from studies.watch.session import Session
from studies.watch.stopping import Stop
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.storage_urls import storage_url
from trainables.records.trial_folder import TrialFolder
from trainables.slots.mailbox import Mailbox
from trainables.slots.messages import Job, News
from trainables.slots.resources import SlotResources
from trainables.slots.slots import Slots
from trainables.training.capacity import fitting
from trainables.training.checkpoint import load_latest, load_weights
from trainables.training.loop import fit
from trainables.training.trial import load_pixels, train
from vae_models import ModelConfig

CONFIG = TrialConfig(model=ModelConfig(width=4, latent_dim=3), epochs=3, limit_train=200, limit_val=50)
SMALL = ("--set", "model.width=4", "--limit-train", "200", "--limit-val", "50", "--epochs", "3", "--no-report")


def study(**fields: object) -> Study:
    space = {"beta": FloatDistribution(0.1, 10, log=True), "model.latent_dim": CategoricalDistribution((2, 4))}
    return Study(**{"name": "small", "base": CONFIG, "space": space, "trials": 4} | fields)  # type: ignore[arg-type]


# The ledger, without Ray


def row(epoch: int, value: float) -> Metrics:
    return {"epoch": epoch, "val_bits_per_dim": value, "epoch_seconds": 0.0}


def test_a_ledger_reopened_by_another_driver_suggests_the_same(tmp_path: Path) -> None:
    def run(url: str, reopen: bool) -> list[dict]:
        ledger = Ledger(study(), url)
        asked = []
        for n in range(9):
            if reopen:
                ledger = Ledger(study(), url)
            number = ledger.ask()
            asked.append(ledger.parameters(number))
            ledger.report(number, row(1, asked[-1]["beta"] + n % 2))
            ledger.complete(number)
        return asked

    whole = run(f"sqlite:///{tmp_path}/a.db", reopen=False)
    assert run(f"sqlite:///{tmp_path}/b.db", reopen=True) == whole


def test_an_interrupted_trial_is_taken_up_under_its_own_number(tmp_path: Path) -> None:
    url = storage_url(tmp_path, None)
    first = Ledger(study(), url)
    number = first.ask()
    parameters = first.parameters(number)
    first.report(number, row(1, 3.0))
    second = Ledger(study(), url)
    assert second.interrupted() == [number]
    assert second.resume(number) == number
    assert second.parameters(number) == parameters
    assert second.interrupted() == []
    second.report(number, row(1, 3.0))
    second.report(number, row(2, 2.0))
    second.complete(number)
    best = second.best()
    assert best is not None
    assert best.value == 2.0


@pytest.mark.parametrize("before", [0, 8])
def test_a_crash_between_two_parameters_does_not_change_the_later(tmp_path: Path, before: int) -> None:
    def search(name: str, cut: int | None) -> dict:
        url = f"sqlite:///{tmp_path}/{name}.db"
        ledger = Ledger(study(), url)
        for n in range(before):
            number = ledger.ask()
            ledger.report(number, row(1, 5.0 + n % 3))
            ledger.complete(number)
        if cut is None:
            return ledger.parameters(ledger.ask())
        with pytest.MonkeyPatch.context() as patch:
            real, drawn = suggest, iter(range(cut))
            patch.setattr("studies.record.ledger.suggest", lambda *a: (next(drawn), real(*a)))
            with pytest.raises(StopIteration):
                ledger.ask()
        ledger = Ledger(study(), url)
        return ledger.parameters(ledger.resume(before))

    whole = search("whole", None)
    assert [search(f"cut{cut}", cut) for cut in (0, 1)] == [whole, whole]


def lifecycle(ledger: Ledger, folder: StudyFolder) -> Lifecycle:
    """Of the search's trials."""
    session = Session(ledger, folder, None, View("small", 4, 3, Console(quiet=True)), Stop())
    return Lifecycle(session, [search_trials(session)])


def test_a_crash_before_the_ledger_heard_of_the_end_does_not_prune(tmp_path: Path) -> None:
    """A trial that falls behind its peers in its last epoch has run to its end; so it has after a crash."""
    folder = StudyFolder(tmp_path)
    ledger = Ledger(study(trials=7), storage_url(tmp_path, None))
    for number in range(7):
        trainings = lifecycle(ledger, folder)
        job = trainings.next_job()
        assert job is not None
        for epoch, bits in ((1, 5.0), (2, 4.0), (3, 4.5 if number == 6 else 3.0)):
            trainings.report(job.id, row(epoch, bits) | {"val_rate": 9.0, "images_per_second": 99.0})
        if number < 6:
            trainings.complete(job.id)
    ledger = Ledger(study(trials=7), storage_url(tmp_path, None))
    assert ledger.interrupted() == [6]
    assert lifecycle(ledger, folder).next_job() is None
    assert dict(ledger.count()) == {"COMPLETE": 7}


@pytest.mark.parametrize("left", [(), (".config.json.0123456789ab.partial",), ("config.json",)])
def test_a_crash_while_a_trials_folder_is_made_is_made_good(tmp_path: Path, left: tuple[str, ...]) -> None:
    folder = StudyFolder(tmp_path)
    Ledger(study(), storage_url(tmp_path, None)).ask()
    folder.layout.trial(0).mkdir(parents=True)
    for name in left:
        (folder.layout.trial(0) / name).write_text("{")
    ledger = Ledger(study(), storage_url(tmp_path, None))
    job = lifecycle(ledger, folder).next_job()
    assert job is not None
    assert TrialFolder(folder.layout.trial(0)).config() == job.config


def test_a_crash_while_a_study_is_claimed_is_made_good(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    (folder.path / ".study.json.0123456789ab.partial").write_text("{")
    folder.claim(study())
    assert [path.name for path in folder.path.iterdir()] == ["study.json"]


def test_a_mailbox_that_was_restarted_hears_again_which_slots_are_lost() -> None:
    async def lose_both() -> News:
        mailbox = Mailbox(["a", "b"])
        await mailbox.lose("a", "gone")
        mailbox = Mailbox(["a", "b"])
        for slot in ("a", "b"):
            await mailbox.lose(slot, "gone")
        return await mailbox.news(Job("0", CONFIG, Path(), None))

    assert asyncio.run(lose_both()).lost


def test_a_poor_trial_is_pruned_and_a_good_one_is_not(tmp_path: Path) -> None:
    ledger = Ledger(study(), storage_url(tmp_path, None))
    for _ in range(5):
        number = ledger.ask()
        assert not any(ledger.report(number, row(epoch, 5.0)) for epoch in (1, 2, 3))
        ledger.complete(number)
    poor, good = ledger.ask(), ledger.ask()
    assert [ledger.report(poor, row(epoch, 6.0)) for epoch in (1, 2)] == [False, True]
    assert [ledger.report(good, row(epoch, 4.0)) for epoch in (1, 2)] == [False, False]
    ledger.prune(poor)
    ledger.fail(good, "non-finite at epoch 3")
    assert dict(ledger.count()) == {"COMPLETE": 5, "PRUNED": 1, "FAIL": 1}


def best_of(seed: int, share_failing: float, finite: int = 25) -> float:
    """The best value of a search for the lowest point of a bowl, of 1, after so many finite trials."""
    bowl = {
        "beta": FloatDistribution(0.01, 100, log=True),
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "model.latent_dim": IntDistribution(1, 64),
    }
    ledger = Ledger(study(space=bowl, seed=seed, trials=1000), "sqlite://")
    fails = np.random.default_rng(seed)
    left = finite
    while left:
        number = ledger.ask()
        if fails.random() < share_failing:
            ledger.fail(number, "non-finite at epoch 1: train_loss = nan")
            continue
        drawn = ledger.parameters(number)
        distances = (np.log(drawn["beta"] / 0.3), np.log(drawn["lr"] / 3e-3), (drawn["model.latent_dim"] - 20) / 16)
        ledger.report(number, row(1, 1 + sum(d**2 for d in distances) / 3))
        ledger.complete(number)
        left -= 1
    best = ledger.best()
    assert best is not None
    assert best.value is not None
    return best.value


@pytest.mark.slow
def test_failed_trials_do_not_mislead_the_search() -> None:
    """With 30 % of non-finite trials, 20 searches find what clean ones of as many finite trials find."""
    clean, failing = (np.mean([best_of(seed, share) for seed in range(20)]) for share in (0.0, 0.3))
    assert failing <= 1.05 * clean
    assert clean < 1.5  # the bowl's rim is at 20: there was something to find


def test_optuna_reads_the_ledger_without_us(tmp_path: Path) -> None:
    ledger = Ledger(study(), storage_url(tmp_path, None))
    number = ledger.ask()
    ledger.report(number, row(1, 4.5))
    ledger.complete(number)
    (trial,) = optuna.load_study(study_name="small", storage=storage_url(tmp_path, None)).trials
    assert trial.params.keys() == {"beta", "model.latent_dim"}
    assert (trial.intermediate_values, trial.value) == ({1: 4.5}, 4.5)


def test_a_storage_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"not a database, but long enough to have a header" * 9)
    with pytest.raises(UserError, match=r"storage cannot be opened: .*study\.db"):
        Ledger(study(), storage_url(tmp_path, None))


def test_a_storage_that_others_share_keeps_their_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    Ledger(study(), url, owner="mine").ask()
    assert Ledger(study(), url, owner="mine").interrupted() == [0]
    with pytest.raises(UserError, match="holds a study 'small' of another folder"):
        Ledger(study(), url, owner="theirs")


def test_a_password_is_not_shown() -> None:
    with pytest.raises(UserError) as caught:
        Ledger(study(), "postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)


def test_records_of_another_ledger_are_not_taken_for_a_trials_own(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    stale = TrialFolder(folder.layout.trial(0))
    stale.create(CONFIG.replace({"seed": 99}))
    for epoch in (1, 2, 3):
        stale.append(row(epoch, 1.0))
    ledger = Ledger(study(), storage_url(tmp_path, None))
    with pytest.raises(UserError, match=r"is not the folder of trial 0: its config\.json is another's"):
        lifecycle(ledger, folder).next_job()
    assert len(stale.rows()) == 3


def test_a_space_is_checked_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="no field of ModelConfig"):
        study(space={"model.detph": CategoricalDistribution((1,))})
    with pytest.raises(ValueError, match="latent_dim"):
        study(space={"model.latent_dim": CategoricalDistribution((0, 1))})
    with pytest.raises(ValueError, match="seed cannot be searched"):
        study(space={"seed": CategoricalDistribution((0, 1))})


def test_a_study_of_ones_own_images_has_a_name_that_ray_takes() -> None:
    assert study().with_overrides({"dataset": "imagefolder:/x/my photos é"}).name == "my_photos_vae"
    assert study().with_overrides({"dataset": "imagefolder:/x/写真"}).name == "images_vae"


def test_differences_are_named() -> None:
    other = study(base=CONFIG.replace({"lr": 0.5}))
    assert study().differences(study().question()) == []
    assert other.differences(study().question()) == ["base.lr: 0.001 in the folder, 0.5 now"]


# What a cluster holds


@pytest.mark.parametrize(
    ("nodes", "workers", "concurrent", "gpus", "expected"),
    [
        ([Node(2, 0)], 1, None, None, (2, SlotResources(1, 1, 0.0))),
        ([Node(8, 0)], 2, 1, None, (1, SlotResources(2, 4, 0.0))),
        ([Node(2, 0)] * 3, 2, 1, None, (1, SlotResources(2, 2, 0.0))),
        ([Node(16, 4)], 2, None, None, (2, SlotResources(2, 4, 1.0))),
        ([Node(16, 1)], 1, None, 0.25, (4, SlotResources(1, 4, 0.25))),
        ([Node(16, 2)], 1, 1, 0.0, (1, SlotResources(1, 16, 0.0))),
        ([Node(16, 1)], 2, 1, None, (1, SlotResources(2, 8, 0.5))),
        ([Node(16, 2)], 1, 4, None, (4, SlotResources(1, 4, 0.5))),
    ],
)
def test_slots_fit_the_nodes(
    nodes: list[Node], workers: int, concurrent: int | None, gpus: float | None, expected: tuple
) -> None:
    assert plan_slots(nodes, workers, concurrent, gpus) == expected


def test_most_trials_can_learn_from_those_before() -> None:
    assert plan_slots([Node(64, 0)], 1, trials=12) == (4, SlotResources(1, 16, 0.0))
    assert plan_slots([Node(64, 0)], 1, trials=1) == (1, SlotResources(1, 64, 0.0))
    assert plan_slots([Node(64, 0)], 1, max_concurrent=9, trials=12)[0] == 9


def test_packs_fill_slots() -> None:
    assert plan_slots([Node(64, 0)], 1, trials=24, pack=4) == (2, SlotResources(1, 32, 0.0, 4))
    assert plan_slots([Node(2, 0)], 1, max_concurrent=6, pack=3) == (2, SlotResources(1, 1, 0.0, 3))
    assert plan_slots([Node(2, 0)], 1, max_concurrent=2, pack=8) == (1, SlotResources(1, 2, 0.0, 2))
    assert plan_slots([Node(2, 0)], 1, max_concurrent=5, pack=3) == (2, SlotResources(1, 1, 0.0, 3))
    assert plan_slots([Node(2, 0)], 1, trials=9, pack=8) == (1, SlotResources(1, 2, 0.0, 3))
    assert plan_slots([Node(16, 1)], 1, None, 0.25, pack=2) == (4, SlotResources(1, 4, 0.25, 2))


def test_a_gpus_memory_says_how_many_trials_share_it() -> None:
    assert [fitting(taken, 80 << 30) for taken in (2 << 30, 30 << 30, 100 << 30)] == [36, 2, 1]
    space = {"model.latent_dim": IntDistribution(2, 64), "model.width": CategoricalDistribution([16, 8])}
    largest = study(space=space | {"lr": FloatDistribution(1e-4, 1e-2)}).largest()
    assert largest == CONFIG.replace({"model.latent_dim": 64, "model.width": 16})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pack": 0}, "pack must be at least 1, got 0"),
        ({"pack": 2, "workers_per_trial": 2}, "pack must be 1 where a trial has several workers, got 2"),
        ({"trials_per_gpu": "0"}, "trials_per_gpu must be at least 1, got 0"),
        ({"trials_per_gpu": "many"}, "trials_per_gpu must be a number or auto, got 'many'"),
        ({"trials_per_gpu": "2", "gpus_per_worker": 0.5}, "say the same: give one of them"),
    ],
)
def test_resources_that_make_no_sense_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resources(**fields)


def test_trials_that_share_a_gpu_are_in_processes_of_a_pack_each() -> None:
    shares = [Resources(trials_per_gpu=n, pack=pack).share_of_gpu() for n, pack in (("4", 1), ("8", 4), ("2", 4))]
    assert shares == [0.25, 0.5, 1.0]


def test_a_job_that_kills_its_workers_costs_those_beside_it_nothing() -> None:
    async def serve() -> dict[str, str | None]:
        mailbox = Mailbox(["a"])
        jobs = {name: Job(name, CONFIG, Path(), None) for name in ("good", "deadly", "other")}
        readers = [asyncio.create_task(mailbox.news(job)) for job in jobs.values()]
        await asyncio.sleep(0)
        done = dict.fromkeys(jobs, 0)
        for _ in range(100):  # a worker that dies in the first epoch of the deadly one
            held: list[str] = []
            while not isinstance(job := await mailbox.take("a", frozenset(held)), str):
                held.append(job.id)
            while held:
                if "deadly" in held:
                    break
                for name in list(held):
                    done[name] += 1
                    if not await mailbox.report("a", name, row(done[name], 1.0)):
                        raise AssertionError(name)
                    if done[name] == CONFIG.epochs:
                        await mailbox.finish("a", name, None)
                        held.remove(name)
                while held and not isinstance(job := await mailbox.take("a", frozenset(held)), str):
                    held.append(job.id)
            if not mailbox._queue and all(entry.ended for entry in mailbox._entries.values()):
                break
        await asyncio.gather(*readers)
        return {name: mailbox._entries[name].cause for name in jobs}

    causes = asyncio.run(serve())
    assert causes == {"good": None, "other": None, "deadly": "its workers died 3 times without a new epoch"}


def test_a_study_is_checked_without_torch() -> None:
    """It takes as long to import as Ray to come up, and is imported meanwhile."""
    code = (
        "import sys\n"
        "from studies.digits_vae import STUDY\n"
        "from studies.record.provenance import provenance\n"
        "from studies.run.runner import check_data\n"
        "check_data(STUDY, None, 1)\n"
        "provenance()\n"
        "print([name for name in ('torch', 'ray.train') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("fresh", [(), ("--fresh",)])
def test_a_folder_that_is_refused_keeps_all_it_holds(tmp_path: Path, fresh: tuple[str, ...]) -> None:
    foreign = tmp_path / "mine"
    foreign.mkdir()
    for name in ("study.db", "study.db-journal"):
        (foreign / name).write_text("mine")
    done = script(ROOT / "studies/digits_vae.py", "--out", foreign, *fresh, cwd=tmp_path)
    assert (done.returncode, "holds no study" in done.stderr) == (1, True), done.stderr
    assert {path.name: path.read_text() for path in foreign.iterdir()} == {
        "study.db": "mine",
        "study.db-journal": "mine",
    }


def test_trials_cannot_share_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    ledger, view = Ledger(study(), storage_url(tmp_path, None)), View("small", 4, 3, Console(quiet=True))
    session = Session(ledger, StudyFolder(tmp_path), None, view, Stop())
    with pytest.raises(UserError, match=r"must find a GPU in the cluster, got 1 node\(s\) without one"):
        share_of_gpu(Resources(trials_per_gpu="auto"), [Node(2, 0)], session)


def test_more_workers_than_the_cluster_holds_are_refused() -> None:
    with pytest.raises(UserError, match="need room for 6 workers\nthe cluster holds 2"):
        plan_slots([Node(2, 0)], 3, 2)


def test_a_cluster_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        check_address("127.0.0.1:1")
    with pytest.raises(UserError, match="must be host:port or auto, got 'nowhere'"):
        check_address("nowhere")


# Slots, in a real cluster of this process


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
@pytest.mark.timeout(300)
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
@pytest.mark.timeout(300)
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
@pytest.mark.timeout(300)
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
    assert str(lost.cause).startswith("FileExistsError")
    assert str(ended.pop("diverges").cause).startswith("non-finite at epoch 1: ")
    for name, news in ended.items():
        assert news.cause is None, name
        alone = timeless(train(configs[name], TrialFolder(tmp_path / "alone" / name)))
        for ours, theirs in zip(timeless(news.rows), alone, strict=True):
            assert ours["val_nelbo"] == pytest.approx(theirs["val_nelbo"], rel=1e-2), name


@pytest.mark.slow
def test_a_cancelled_trial_frees_its_slot_at_its_next_epoch(cluster: object, tmp_path: Path) -> None:
    endless = CONFIG.replace({"epochs": 100_000})
    with Slots("cancel", 1, SlotResources(1), tmp_path / "ray") as slots:
        await_a_row(slots, Job("0", endless, tmp_path / "0", None))
        ray.get(slots.mailbox.cancel.remote("0"), timeout=60)
        assert [r["epoch"] for r in outcome(slots, Job("1", CONFIG, tmp_path / "1", None)).rows] == [1, 2, 3]


# Whole studies, as a person runs them


@pytest.mark.slow
def test_the_best_trials_are_repeated_with_other_seeds_whatever_is_killed(tmp_path: Path) -> None:
    command = [ROOT / "studies/digits_vae.py", *SMALL, "--trials", "4", "--final-epochs", "0", "--seeds", "2"]
    killed = subprocess.Popen(
        [sys.executable, *map(str, command), "--out", "s"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(tmp_path.glob("s/repeats/*/02/metrics.jsonl")):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(load_repeats(tmp_path / "s")) < 6
    done = script(*command, "--out", "s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials, repeats = load_trials(tmp_path / "s"), load_repeats(tmp_path / "s")
    best = sorted(trials.sort_values("val_bits_per_dim")["number"][:3])
    assert repeats["number"].tolist() == sorted(best * 2)
    assert repeats["state"].tolist() == ["COMPLETE"] * 6
    assert repeats["val_bits_per_dim"].nunique() == 6
    # an oracle: the same config, trained here
    config = TrialFolder(tmp_path / f"s/trials/{best[0]:04d}").config()
    again = config.of_repeat(2)
    assert again == config.replace({"seed": again.seed})
    rows = [epoch.metrics for epoch in fit(again, *load_pixels(again, None, "cpu"))]
    lowest = min(row["val_bits_per_dim"] for row in rows)
    assert repeats["val_bits_per_dim"][1] == pytest.approx(lowest, rel=1e-5)
    idle = script(*command, "--out", "s", cwd=tmp_path)
    assert idle.returncode == 0
    assert "Ray dashboard" not in idle.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_study_continues_to_the_same_result(tmp_path: Path) -> None:
    """SIGKILL to the driver, then the same command: with one trial at a time, the same study to the bit."""
    command = [ROOT / "studies/digits_vae.py", *SMALL, "--trials", "7", "--max-concurrent", "1", "--final-epochs", "2"]
    whole = script(*command, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr

    killed = subprocess.Popen(
        [sys.executable, *map(str, command), "--out", "killed"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(list(tmp_path.glob("killed/trials/0003/checkpoints/epoch_*.pt"))) == 0:
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (load_trials(tmp_path / "killed")["state"] == "COMPLETE").all()
    resumed = script(*command, "--out", "killed", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr

    columns = ["number", "state", "beta", "latent_dim", "depth", "epochs", "val_bits_per_dim", "val_rate"]
    expected, got = load_trials(tmp_path / "whole"), load_trials(tmp_path / "killed")
    assert got[columns].equals(expected[columns])
    assert len(load_epochs(tmp_path / "killed")) == expected["epochs"].sum()
    assert (
        TrialFolder(tmp_path / "killed/trials/final").config() == TrialFolder(tmp_path / "whole/trials/final").config()
    )
    assert load_best(tmp_path / "killed").sample(1).numpy().shape == (1, 1, 28, 28)

    # a finished study is not run again, a larger budget extends it, another question is refused
    start = time.monotonic()
    again = script(*command, "--out", "whole", cwd=tmp_path)
    assert again.returncode == 0
    assert "Ray dashboard" not in again.stdout, time.monotonic() - start
    more = script(*command, "--out", "whole", "--trials", "8", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    extended = load_trials(tmp_path / "whole")
    assert len(extended) == 8
    assert extended[columns].head(7).equals(expected[columns])
    other = script(*command, "--out", "whole", "--set", "lr=0.5", cwd=tmp_path)
    assert other.returncode == 1
    assert "base.lr: 0.004 in the folder, 0.5 now" in other.stderr
    foreign = script(ROOT / "studies/mnist_vae.py", "--out", "whole", "--set", "dataset=digits", cwd=tmp_path)
    assert foreign.returncode == 1
    assert "holds another study" in foreign.stderr


@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_what_is_done_and_leaves_no_process(tmp_path: Path, presses: int) -> None:
    command = [
        sys.executable,
        str(ROOT / "studies/digits_vae.py"),
        *SMALL,
        "--out",
        "s",
        "--trials",
        "2",
        "--max-concurrent",
        "1",
        "--epochs",
        "400",
    ]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = TrialFolder(tmp_path / "s/trials/0000")
    while len(record.rows()) < 2:
        assert running.poll() is None
        time.sleep(0.05)
    started = psutil.Process(running.pid).children(recursive=True)
    for _ in range(presses):
        running.send_signal(signal.SIGINT)
        time.sleep(0.2)
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 130, errors
    assert "interrupted: s keeps what is done; the same command goes on from there" in output
    assert ("stopping after the running epochs" in output) or presses > 1
    assert "Traceback" not in output + errors
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
    assert list(load_trials(tmp_path / "s")["state"]) == ["RUNNING"]
    # the epochs that were reported are recorded, and the checkpoint to go on from is there
    assert 2 <= len(record.rows()) < 400
    assert load_latest(record.checkpoints, record.config(), "cpu") is not None


@pytest.mark.slow
def test_a_study_whose_trials_all_fail_ends_says_why_and_keeps_its_slots(tmp_path: Path) -> None:
    diverge = ("--set", "lr=1e30", "--set", "grad_clip=1e30")
    done = script(ROOT / "studies/digits_vae.py", *SMALL, *diverge, "--trials", "3", "--out", "bad", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no trial of bad completed (3 fail)" in done.stderr
    assert "the first cause: non-finite at epoch 1" in done.stderr
    assert done.stdout.count("trial 1 failed: non-finite at epoch 1") == 1
    assert "Traceback" not in done.stdout + done.stderr
    frame = load_trials(tmp_path / "bad")
    assert list(frame["state"]) == ["FAIL"] * 3
    assert frame["cause"].str.startswith("non-finite at epoch 1: ").all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--no-such-option"], 2, "--no-such-option"),
        (["--trials", "0"], 2, "trials must be at least 1, got 0"),
        (["--epochs", "0"], 2, "epochs"),
        (["--max-concurrent", "-1"], 2, "max_concurrent must be at least 1, got -1"),
        (["--set", "model.latent_dim=0"], 2, "model.latent_dim"),
        (["--set", "model.detph=1"], 2, "'model.detph' is no field of ModelConfig"),
        (["--set", "beta=-1"], 2, "beta"),
        (["--set", "epochs=3"], 2, "epochs is set twice: use --epochs, or --set once"),
        (["--set", "model.image_shape=[1,8,8]"], 2, "model.image_shape follows from the data set"),
        (["--patience", "inf"], 2, "patience must be from 1 to 86,400 seconds, got inf"),
        (["--set", "nonsense"], 2, "--set must be FIELD=VALUE, got 'nonsense'"),
        (["--set", "dataset=imagenet"], 1, "imagenet"),
        (["--workers-per-trial", "999"], 1, "the cluster holds"),
        (["--final-workers", "999"], 1, "the cluster holds"),
        (["--out", "/proc/nowhere"], 1, "/proc/nowhere"),
        (["--address", "127.0.0.1:1"], 1, "no Ray cluster answers at 127.0.0.1:1"),
        (["--storage", "nonsense://"], 1, "storage cannot be opened"),
    ],
)
@pytest.mark.slow
def test_a_wrong_request_is_two_lines_and_no_traceback(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    dry = ["--dry-run"] if arguments[0] in ("--workers-per-trial", "--final-workers") else []
    done = script(ROOT / "studies/digits_vae.py", *arguments, *dry, cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4, done.stderr


@pytest.mark.slow
def test_a_study_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    command = (ROOT / "studies/digits_vae.py", *SMALL, "--out", "s", "--storage", url)
    done = script(*command, "--max-concurrent", "999", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "the cluster holds" in done.stderr
    assert not (tmp_path / "s").exists()
    assert optuna.get_all_study_names(url) == []


def test_a_dry_run_prints_the_plan_and_starts_nothing(tmp_path: Path) -> None:
    done = script(ROOT / "studies/cifar_vae.py", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("beta: 0.05 to 5, log scale", "48 trials of 20 epochs", "trial(s) at once"):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cifar", "mnist", "fashion_mnist", "digits"])
def test_every_study_offers_the_same_options(name: str, tmp_path: Path) -> None:
    done = script(ROOT / f"studies/{name}_vae.py", "--help", cwd=tmp_path)
    options = (
        "--data-dir --out --trials --epochs --workers-per-trial --max-concurrent --limit-train --limit-val "
        "--seed --address --storage --dry-run --fresh --final-epochs --final-workers"
    )
    assert done.returncode == 0
    assert [option for option in options.split() if option not in done.stdout] == []


def test_a_study_in_use_and_a_study_json_that_is_damaged_are_refused(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    with DriverLock(folder.layout).acquired():
        folder.claim(study())
        done = script(ROOT / "studies/digits_vae.py", "--out", folder.path, cwd=tmp_path)
        assert done.returncode == 1
        assert f"process {os.getpid()}" in done.stderr
    question = json.loads(folder.layout.question.read_text())
    assert question["versions"]["ray"] == ray.__version__
    folder.layout.question.write_text(folder.layout.question.read_text()[:100])
    with DriverLock(folder.layout).acquired(), pytest.raises(UserError, match=r"study\.json is damaged"):
        folder.claim(study())
    kept = folder.move_aside()
    assert kept is not None
    assert (kept / "study.json").exists()
