"""A trial's record, as its driver appends to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from support.small_study import CONFIG, row

from trainables.records import trial_folder
from trainables.records.trial_folder import Place, TrialFolder


@pytest.fixture
def record(tmp_path: Path) -> TrialFolder:
    found = TrialFolder(tmp_path)
    found.create(CONFIG)
    return found


def test_an_epoch_is_recorded_once(record: TrialFolder) -> None:
    assert [record.append(row(epoch, 1.0)) for epoch in (1, 2, 1, 2, 3)] == [True, True, False, False, True]
    assert record.rows() == [row(epoch, 1.0) for epoch in (1, 2, 3)]


def test_what_was_appended_is_not_read_again(record: TrialFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = trial_folder.read_bounded
    monkeypatch.setattr(trial_folder, "read_bounded", lambda path: (read.append(path), real(path))[1])
    for epoch in range(1, 9):
        record.append(row(epoch, 1.0))
    assert len(read) == 1


@pytest.mark.parametrize("tail", [b'{"epoch": 3, "val', b"\0" * 40, b"x"])
def test_what_another_writer_left_torn_makes_room(record: TrialFolder, tail: bytes) -> None:
    for epoch in (1, 2):
        record.append(row(epoch, 1.0))
    with (record.path / "metrics.jsonl").open("ab") as file:
        file.write(tail)
    assert record.append(row(3, 1.0))
    assert [r["epoch"] for r in record.rows()] == [1, 2, 3]


def test_what_another_writer_recorded_is_kept(record: TrialFolder) -> None:
    other = TrialFolder(record.path)
    record.append(row(1, 1.0))
    other.append(row(2, 2.0))
    assert not record.append(row(2, 1.0))
    assert record.append(row(3, 1.0))
    assert [r["val_bits_per_dim"] for r in other.rows()] == [1.0, 2.0, 1.0]


def test_when_it_was_taken_up_is_read_back(record: TrialFolder) -> None:
    assert record.taken_up() == []
    before = datetime.now().replace(microsecond=0)
    while datetime.now().replace(microsecond=0) == before:  # a second that has just begun is no earlier one
        pass
    before = datetime.now().replace(microsecond=0)
    for rank in (0, 1):
        record.note([Place(rank, "host", "node", 7, "log")])
    (found,) = record.taken_up()  # once for all its ranks
    assert before <= found <= datetime.now()
    with (record.path / "workers.log").open("ab") as log:
        log.write(b"\xff\n2026-99-01T00:00:00+0000 rank 0: process\n2026-01-01T00:00:00+0000 rank 0: process 1 on ")
    assert record.taken_up() == [found, datetime(2026, 1, 1)]
