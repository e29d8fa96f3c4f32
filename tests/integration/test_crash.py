"""Every file the project writes, cut off at every byte and with every bit turned: what was there before, or
one clear error, and never something else.
"""

from __future__ import annotations

import random
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from support.analysis_fixture import build_study
from support.commands import script

from analysis import load_best, load_trials
from studies.record.ledger import Ledger, check_trials
from studies.record.study_folder import StudyFolder
from studies.study import Study
from trainables.config import TrialConfig
from trainables.data import datasets as data
from trainables.data.datasets import load_dataset
from trainables.errors import StudyWarning, UserError
from trainables.records.atomic_files import digest, seal, unseal
from trainables.records.trial_folder import TrialFolder
from trainables.training import checkpoint
from trainables.training.trial import train
from vae_models import ModelConfig

TINY = TrialConfig(model=ModelConfig(width=4, latent_dim=1), epochs=3, limit_train=30, limit_val=10, batch_size=30)
DAMAGED = object()


def cuts(content: bytes, most: int | None = None) -> Iterator[bytes]:
    """The file cut off at every offset, or at so many."""
    step = len(content) // most or 1 if most else 1
    return (content[:length] for length in range(0, len(content), step))


def flips(content: bytes, most: int = 1500) -> Iterator[bytes]:
    """The file with one bit turned: every bit of a small file, a seeded sample of a large one's."""
    bits = range(8 * len(content))
    for bit in bits if len(bits) <= most else sorted(random.Random(0).sample(bits, most)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def read(action: Callable[[], Any]) -> Any:
    """What ``action`` gives, or DAMAGED for the one error that is allowed, which names a file."""
    try:
        return action()
    except UserError as error:
        text = str(error)
    assert "/" in text
    assert len(text.splitlines()) <= 2
    return DAMAGED


def survives(path: Path, action: Callable[[], Any], allowed: list[Any]) -> None:
    """Whatever is cut off or turned in ``path``, ``action`` gives one of ``allowed`` or is DAMAGED."""
    content = path.read_bytes()
    for damaged in chain(cuts(content), flips(content)):
        path.write_bytes(damaged)
        result = read(action)
        assert result is DAMAGED or result in allowed, damaged[:400]
    path.write_bytes(content)
    assert read(action) == allowed[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrialFolder:
    folder = TrialFolder(tmp_path_factory.mktemp("trained"))
    folder.create(TINY)
    for row in train(TINY, folder):
        folder.append(row)
    return folder


def test_a_sealed_value_comes_back_and_a_changed_one_does_not() -> None:
    values = {"a": 0.1, "b": [1, None, "ü"], "c": {"d": True}}
    assert unseal(seal(values)) == values
    for text in ("{}", "[]", "", "{", '{"a": 1, "content_sha256": "0"}', "[" * 100_000):
        with pytest.raises((ValueError, RecursionError)):
            unseal(text)


def test_a_trials_config(trained: TrialFolder) -> None:
    survives(trained.path / "config.json", trained.config, [TINY])


def test_a_trials_record(trained: TrialFolder) -> None:
    rows = trained.rows()
    survives(trained.path / "metrics.jsonl", trained.rows, [rows[:n] for n in range(4)])


def test_a_record_goes_on_after_every_cut(trained: TrialFolder) -> None:
    path, rows = trained.path / "metrics.jsonl", trained.rows()
    content = path.read_bytes()
    for damaged in cuts(content):
        path.write_bytes(damaged)
        for row in rows:
            trained.append(row)
        assert path.read_bytes() == content


@pytest.mark.slow
def test_a_checkpoint_falls_back_to_the_one_before(trained: TrialFolder) -> None:
    newest, _ = checkpoint.states(trained.checkpoints)

    def epochs() -> int | None:
        state = checkpoint.load_latest(trained.checkpoints, TINY, "cpu")
        return state and len(state["history"])

    content = newest.read_bytes()
    for damaged in chain(cuts(content), flips(content, most=1000)):
        newest.write_bytes(damaged)
        assert digest(damaged) != newest.name.split(".")[1]
    # the hash decides, so a few whole readings stand for all
    for damaged in (content[:-1], content[:100], b"", *list(flips(content, most=5))):
        newest.write_bytes(damaged)
        assert epochs() == 2
    newest.write_bytes(content)
    assert epochs() == 3


def test_weights_and_what_is_said_of_them(trained: TrialFolder) -> None:
    model, metrics = checkpoint.load_weights(trained.best)
    expected = (metrics, model.config, {name: t.tolist() for name, t in model.state_dict().items()})

    def load() -> Any:
        model, metrics = checkpoint.load_weights(trained.best)
        return metrics, model.config, {name: t.tolist() for name, t in model.state_dict().items()}

    content = trained.best.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for damaged in (*cuts(content, most=300), *flips(content, most=300)):
        trained.best.write_bytes(damaged)
        assert read(load) is DAMAGED
    for damaged in flips(content[:header], most=1500):
        trained.best.write_bytes(damaged + content[header:])
        result = read(load)
        assert result is DAMAGED or result == expected
    trained.best.write_bytes(content)
    assert read(load) == expected


@pytest.mark.heavy
def test_a_prepared_data_set_is_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path))
    whole = load_dataset("digits")
    (folder,) = (path for path in (tmp_path / "prepared").iterdir() if path.is_dir())
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        samples = (*cuts(content, most=6), *flips(content, most=6))
        for damaged in samples:
            path.write_bytes(damaged)
            data._open.cache_clear()
            again = load_dataset("digits")
            assert again.classes == whole.classes
            assert (again.test.labels == whole.test.labels).all()
            assert path.read_bytes() == content


def test_the_question_of_a_study(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    study = Study(name="s", base=TINY, space={}, trials=1)
    identity = folder.claim(study)["id"]
    survives(folder.layout.question, lambda: folder.claim(study)["id"], [identity])


@pytest.mark.slow
def test_a_study_opened_for_analysis(tmp_path: Path) -> None:
    """study.json and metrics.jsonl at every cut and flip: the whole table, an error, or the trial is left out."""
    folder = build_study(tmp_path / "study")
    table = load_trials(folder)
    for path in (folder / "study.json", folder / "trials" / "0004" / "metrics.jsonl"):
        content = path.read_bytes()
        for damaged in (*cuts(content, most=60), *flips(content, most=60)):
            path.write_bytes(damaged)
            with warnings.catch_warnings(action="ignore", category=StudyWarning):
                result = read(lambda: load_trials(folder))
            if result is not DAMAGED and not result.equals(table):
                assert path.name == "metrics.jsonl"
                assert result["epochs"].tolist() == [*table["epochs"][:4], 0, *table["epochs"][5:]]
                bits = table["val_bits_per_dim"].where(table["number"] != 4)
                assert result["val_bits_per_dim"].equals(bits)
        path.write_bytes(content)
    assert load_trials(folder).equals(table)


def test_a_torn_locked_or_emptied_ledger_is_one_clear_error(tmp_path: Path) -> None:
    folder = StudyFolder(build_study(tmp_path / "study"))
    path, table = folder.path / "study.db", load_trials(folder.path)
    content = path.read_bytes()
    for length in [0, 1, 100, *range(4096, len(content), 4096), len(content) - 1]:
        path.write_bytes(content[:length])
        result = read(lambda: load_trials(folder.path))
        assert result is DAMAGED or (length and result.equals(table))  # an index may be all that is missing
    path.unlink()
    assert read(lambda: load_trials(folder.path)) is DAMAGED
    study = Study(name="digits_vae", base=TINY, space={}, trials=9)
    with pytest.raises(UserError, match=r"must know the \d trials .* got 0"):
        check_trials(0, folder)

    locked = tmp_path / "locked.db"
    Ledger(study, f"sqlite:///{locked}")
    with sqlite3.connect(locked) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match=r"locked\.db is locked: another program holds it"):
            Ledger(study, f"sqlite:///{locked}?timeout=1")


def test_an_export_is_refused_when_it_was_cut(tmp_path: Path) -> None:
    folder = build_study(tmp_path / "study")
    for weights in folder.glob("trials/*/checkpoints/best.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1])
    fault = "best.safetensors is not a whole weights file: it is cut off, altered, or another program's"
    with pytest.raises(UserError, match=re.escape(fault)):
        load_best(folder)
    done = script("-m", "analysis", "best", folder, cwd=tmp_path)
    assert done.returncode == 0
    warned, way_out = done.stderr.splitlines()
    assert warned.startswith("warning: ")
    assert warned.endswith(fault)
    assert way_out == "restore it from a copy, or train its run again"
