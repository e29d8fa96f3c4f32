"""Pruning at a trial's own price: the rule against one said in words, and that its verdicts follow from the records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import Trial, TrialState
from support.small_study import CONFIG, curve, lifecycle, row, session, study, train

from studies.record.ledger import Ledger
from studies.search.lifecycle import Lifecycle
from studies.search.pruning import Peers, is_judged
from studies.study import Study
from trainables.config import TrialConfig
from trainables.metrics import Metrics
from trainables.records.atomic_files import seal
from trainables.records.study_layout import StudyLayout
from trainables.records.trial_folder import TrialFolder
from trainables.slots.messages import Job

Known = Mapping[int, tuple[TrialConfig, list[Metrics]]]  # what is recorded, by trial


def is_pruned(known: Known, trial: int, epoch: int, quantile: float) -> bool:
    """Pruned where D + beta R lies strictly above the quantile of those of the rows of exactly that epoch of all
    trials, itself included, once there are 5 others; at epochs 1, 2, 4, 8, ..., never at the last."""
    config = known[trial][0]
    if quantile == 0 or epoch not in (1, 2, 4, 8, 16) or epoch >= config.epochs:
        return False
    if config.beta_at(epoch) < config.beta:  # its warm-up has not ended
        return False
    prices = {}
    for number, (other, rows) in known.items():
        if other.model.likelihood == config.model.likelihood:
            for each in rows:
                price = each["val_distortion"] + config.beta * each["val_rate"]
                if each["epoch"] == epoch and math.isfinite(price):
                    prices[number] = price
    if len(prices) < 6:
        return False
    place, ordered = quantile * (len(prices) - 1), sorted(prices.values())
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return prices[trial] > low + (place - math.floor(place)) * (high - low)


def recorded(folder: StudyLayout) -> Known:
    records = {int(path.name): TrialFolder(path) for path in folder.trial_folders()}
    return {number: (records[number].config(), records[number].rows()) for number in sorted(records)}


# The rule


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_rule_in_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quantile, epochs = float(rng.choice([0.0, 0.15, 0.25, 0.5, 0.9])), int(rng.choice([1, 4, 9]))
    warmup, unusual = float(rng.choice([0.0, 0.0, 0.5, 1.0])), float(rng.choice([0.0, 0.0, 0.2]))
    peers, known, verdicts = Peers(quantile), {}, set()
    for number in range(14):
        likelihood = str(rng.choice(["gaussian", "gaussian", "gaussian", "laplace"]))
        settings = {"model.likelihood": likelihood, "beta": float(rng.uniform(0.1, 4)), "kl_warmup": warmup}
        config = CONFIG.replace({**settings, "epochs": epochs, "seed": number})
        known[number] = config, []
    live = [number for number in known for _ in range(epochs)]
    for number in rng.permutation(live).tolist():  # rows come in any order
        config, rows = known[number]
        told = row(len(rows) + 1, float(rng.integers(20)), float(rng.integers(10)))  # equal ones too
        if rng.random() < unusual:
            told[str(rng.choice(["val_distortion", "val_rate"]))] = float(rng.choice([math.nan, math.inf, -math.inf]))
        rows.append(told)
        peers.add(number, config, told)
        verdict = peers.prune(number, config, told)
        verdicts.add(verdict)
        if math.isfinite(told["val_distortion"] + told["val_rate"]):
            assert verdict == is_pruned(known, number, len(rows), quantile), (number, len(rows))
    assert verdicts == {False} or (quantile > 0 and epochs > 1 and warmup < 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["val_distortion", "val_rate"])
def test_what_is_not_finite_is_no_peer_and_prunes_nobody(name: str, bad: float) -> None:
    peers = Peers(0.25)
    for number in range(5):
        peers.add(number, CONFIG, row(1, 5.0))
    peers.add(5, CONFIG, row(1, 1.0) | {name: bad})
    peers.add(6, CONFIG, row(1, 9.0))
    assert peers.prune(6, CONFIG, row(1, 9.0))  # 5 others, not 6
    peers = Peers(0.25)
    for number in range(4):
        peers.add(number, CONFIG, row(1, 5.0))
    peers.add(5, CONFIG, row(1, 1.0) | {name: bad})
    peers.add(6, CONFIG, row(1, 9.0))
    assert not peers.prune(6, CONFIG, row(1, 9.0))  # 4 others


def test_a_trial_is_judged_at_powers_of_two_after_its_warmup_and_not_at_its_last() -> None:
    def judged(epochs: int, kl_warmup: float = 0.0) -> list[int]:
        config = CONFIG.replace({"epochs": epochs, "kl_warmup": kl_warmup})
        return [epoch for epoch in range(1, epochs + 1) if is_judged(epoch, config)]

    assert judged(20) == [1, 2, 4, 8, 16]
    assert judged(16) == [1, 2, 4, 8]
    assert judged(1) == []
    assert judged(20, 0.2) == [4, 8, 16]  # at its end the KL weight is the full one
    assert judged(20, 0.25) == [8, 16]
    assert judged(20, 1.0) == []


# Records

DAMAGED: dict[str, Callable[[TrialFolder], object]] = {
    "altered": lambda it: it.metrics.write_bytes(it.metrics.read_bytes().replace(b"0.0", b"9.0", 1)),
    "torn in the middle": lambda it: it.metrics.write_bytes(it.metrics.read_bytes()[7:]),
    "not JSON": lambda it: it.metrics.write_text("nonsense\n"),
    "not text": lambda it: it.metrics.write_bytes(b"\xff\x00\n"),
    "empty": lambda it: it.metrics.write_bytes(b""),
    "missing": lambda it: it.metrics.unlink(),
    "a folder": lambda it: (it.metrics.unlink(), it.metrics.mkdir()),
    "without its config": lambda it: (it.path / "config.json").unlink(),
    "with another's config": lambda it: (it.path / "config.json").write_text(seal({"model": {"depth": -1}})),
    "a list for a config": lambda it: (it.path / "config.json").write_text("[]"),
    "without a rate": lambda it: it.metrics.write_text(seal({"epoch": 1, "val_distortion": 0.0}) + "\n"),
    "null": lambda it: it.metrics.write_text(seal(row(1, 0.0) | {"val_rate": None}) + "\n"),  # type: ignore[dict-item]
    "text": lambda it: it.metrics.write_text(seal(row(1, 0.0) | {"val_rate": "low"}) + "\n"),  # type: ignore[dict-item]
    "gone": lambda it: it.path.rename(f"{it.path}.away"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_record_that_cannot_be_read_is_no_peer(tmp_path: Path, damage: str) -> None:
    opened = session(tmp_path, study(trials=7))
    for number in range(7):
        opened.ledger.ask()
        record = TrialFolder(opened.folder.layout.trial(number))
        record.create(CONFIG)
        record.append(row(1, 0.0))
    judged = row(1, 9.0)

    def pruned() -> bool:
        peers = Peers.recorded(opened.ledger, opened.folder)
        peers.add(7, CONFIG, judged)
        return peers.prune(7, CONFIG, judged)

    assert pruned()
    for number in (0, 1):
        DAMAGED[damage](TrialFolder(opened.folder.layout.trial(number)))
    assert pruned()  # 5 others are left
    DAMAGED[damage](TrialFolder(opened.folder.layout.trial(2)))
    assert not pruned()


def test_what_a_crash_tore_off_at_the_end_is_no_row_and_those_before_are(tmp_path: Path) -> None:
    opened = session(tmp_path, study(trials=7))
    for number in range(5):
        opened.ledger.ask()
        record = TrialFolder(opened.folder.layout.trial(number))
        record.create(CONFIG)
        for epoch in (1, 2):
            record.append(row(epoch, 0.0))
        record.metrics.write_bytes(record.metrics.read_bytes()[:-9])
    verdicts = []
    for epoch in (1, 2):
        peers = Peers.recorded(opened.ledger, opened.folder)
        peers.add(5, CONFIG, row(epoch, 9.0))
        verdicts.append(peers.prune(5, CONFIG, row(epoch, 9.0)))
    assert verdicts == [True, False]


# Studies

PLANNED = study(base=CONFIG.replace({"epochs": 5}), trials=11, prune=0.4, where=["val_rate<=8"])
WARMED = study(base=CONFIG.replace({"epochs": 5, "kl_warmup": 0.3}), trials=11, prune=0.4)


class Verdicts:
    """What `Peers.prune` says of trials and epochs, while it is patched; another verdict than the first is an error."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.given: dict[tuple[int, int], bool] = {}
        real = Peers.prune

        def prune(peers: Peers, trial: int, config: TrialConfig, told: Metrics) -> bool:
            verdict = real(peers, trial, config, told)
            assert self.given.setdefault((trial, int(told["epoch"])), verdict) == verdict
            return verdict

        patch.setattr(Peers, "prune", prune)


def run(path: Path, planned: Study, deliver: Callable[[Lifecycle, Job], object] = train) -> Ledger:
    """One trial at a time."""
    trainings, opened = lifecycle(path, planned)
    while (job := trainings.next_job()) is not None:
        deliver(trainings, job)
    return opened.ledger


def results(ledger: Ledger) -> list[tuple[Any, ...]]:
    return [(each.state.name, each.values, each.params, each.constraints) for each in ledger.all()]


@pytest.mark.parametrize("planned", [PLANNED, WARMED], ids=["at once", "after a warm-up"])
def test_each_trial_of_a_study_is_judged_by_what_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: Study
) -> None:
    verdicts = Verdicts(monkeypatch)
    ledger = run(tmp_path, planned)
    known, pruned = recorded(StudyLayout(tmp_path)), set()
    for (trial, epoch), verdict in verdicts.given.items():
        before = {
            n: (config, rows[:epoch] if n == trial else rows) for n, (config, rows) in known.items() if n <= trial
        }
        assert verdict == is_pruned(before, trial, epoch, planned.prune), (trial, epoch)
        pruned |= {trial} if verdict else set()
    assert verdicts.given.keys() == {(n, row["epoch"]) for n, (_, rows) in known.items() for row in rows}
    assert {each.number for each in ledger.all() if each.state == TrialState.PRUNED} == pruned
    assert 1 < len(pruned) < 10
    assert all(len(known[each.number][1]) == 5 for each in ledger.all() if each.state == TrialState.COMPLETE)
    assert all(not each.intermediate_values for each in ledger.all())


class Killed(BaseException):
    """What no driver catches."""


def killing(patch: pytest.MonkeyPatch, owner: type, name: str, seen: set[object]) -> None:
    """Kill who calls a method, once before and once after it did, for each that is called."""
    real = getattr(owner, name)

    def call(it: Any, *arguments: Any, **more: Any) -> Any:
        who = len(it.all()) if isinstance(it, Ledger) else getattr(it, "path", getattr(it, "number", None))
        what = tuple(getattr(each, "number", each) for each in arguments if not isinstance(each, TrialConfig))
        for moment in ("before", "after"):
            if moment == "after":
                answer = real(it, *arguments, **more)
            if (point := f"{moment} {name} {who} {what}") not in seen:
                seen.add(point)
                if name == "append" and moment == "before":
                    with it.metrics.open("a") as file:
                        file.write('{"epoch": 1, "val_')
                raise Killed(point)
        return answer

    patch.setattr(owner, name, call)


def deliver_all(trainings: Lifecycle, job: Job) -> None:
    """Train a job as one whose state is older than its record: it tells its first epochs again."""
    for epoch in range(1, job.config.epochs + 1):
        if not trainings.report(job.id, curve(job.config, epoch)):
            return
    trainings.complete(job.id)


@pytest.mark.heavy
def test_a_study_that_is_killed_at_each_point_of_its_life_is_the_same_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    verdicts = Verdicts(monkeypatch)
    expected = results(run(tmp_path / "whole", PLANNED))
    judged, verdicts.given = verdicts.given, {}
    run(tmp_path / "killed", replace(PLANNED, trials=7))
    seen: set[object] = set()
    killed = [
        *((Ledger, "ask"), (Ledger, "end"), (TrialFolder, "create"), (TrialFolder, "append"), (Peers, "prune")),
        *(
            (Trial, "suggest_float"),
            (optuna.storages.RDBStorage, "set_trial_system_attr"),
            (optuna.study.Study, "tell"),
        ),
    ]
    for owner, name in killed:
        killing(monkeypatch, owner, name, seen)
    drivers = 1
    while True:
        try:
            ledger = run(tmp_path / "killed", PLANNED, deliver_all)
            break
        except Killed:
            drivers += 1
    assert results(ledger) == expected
    assert verdicts.given == judged
    assert drivers > 80
    whole, survivor = (recorded(StudyLayout(tmp_path / name)) for name in ("whole", "killed"))
    assert survivor == whole
    assert [str(each.message) for each in recwarn if "constraint" in str(each.message)] == []


def several(path: Path) -> tuple[Lifecycle, list[Job]]:
    """Seven trials at once, of which the first costs the most."""
    trainings, _ = lifecycle(path, study(base=CONFIG.replace({"epochs": 6}), trials=7))
    jobs = [trainings.next_job() for _ in range(7)]
    return trainings, [job for job in jobs if job is not None]


def test_a_row_is_judged_once_however_often_it_is_delivered(tmp_path: Path) -> None:
    trainings, jobs = several(tmp_path)
    assert trainings.report("0", row(1, 99.0))  # it has no peers yet
    for job in jobs[1:]:
        trainings.report(job.id, row(1, 5.0))
    assert trainings.report("0", row(1, 99.0))
    assert trainings.report("0", row(2, 99.0))


@pytest.mark.parametrize(("epochs", "goes_on"), [(1, False), (2, True), (3, True)])
def test_after_a_crash_only_the_last_recorded_row_is_judged(tmp_path: Path, epochs: int, goes_on: bool) -> None:
    trainings, jobs = several(tmp_path)
    for epoch in range(1, epochs + 1):
        assert trainings.report("0", row(epoch, 99.0))
    for job in jobs[1:]:
        trainings.report(job.id, row(1, 5.0))
    again = several(tmp_path)[1]
    assert [job.id for job in again][:1] == (["0"] if goes_on else ["1"])
    states = {each.number: each.state for each in session(tmp_path, study(trials=7)).ledger.all()}
    assert states[0] == (TrialState.RUNNING if goes_on else TrialState.PRUNED)


def test_a_study_that_prunes_nothing_reads_no_records(tmp_path: Path) -> None:
    opened = session(tmp_path, study(prune=0))
    opened.ledger.ask()
    peers = Peers.recorded(opened.ledger, opened.folder)
    for number in range(9):
        peers.add(number, CONFIG, row(1, float(number)))
    assert not peers.prune(8, CONFIG, row(1, 8.0))


def test_a_verdict_among_10_000_trials_takes_20_ms() -> None:
    peers, seconds = Peers(0.25), []
    for number, price in enumerate(np.random.default_rng(0).uniform(size=10_000).tolist()):
        peers.add(number, CONFIG, row(1, price))
    for _ in range(9):
        began = time.process_time()
        peers.prune(9999, CONFIG, row(1, 1.0))
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.02
