"""Nothing that a study's folder or an image set holds is executed, shown unescaped, or leads elsewhere."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.analysis_fixture import BASE, SIX, build_study
from support.hostile import ESCAPE, IMAGES, MARKUP, SECRET, STUDIES, Bomb, Scene, forge

from analysis import load_best, load_epochs, load_trials
from analysis.reading.study_record import read_study
from analysis.reading.validation import read_epochs
from analysis.report.report import write_report
from trainables.data.datasets import load_dataset
from trainables.errors import StudyWarning, UserError
from trainables.metrics import EPOCH
from trainables.records.atomic_files import unseal
from trainables.records.trial_folder import TrialFolder
from trainables.training.checkpoint import load_latest, load_weights, weights_hash

MNIST = BASE.replace({"dataset": "mnist"})
EXAMPLES = int(os.environ.get("VAE_FUZZ", "150"))
"""Of each of the four properties below; the long run has 2,500, 10,000 in all."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # of a data set that is not there: the pictures of its best runs would take most of the time
    return build_study(tmp_path_factory.mktemp("whole") / "study", SIX[:3], base=MNIST)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text(SECRET)
    Image.new("RGB", (16, 16), "red").save(outside / "picture.png")
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "no data"))
    return Scene(tmp_path / "study", tmp_path / "canary", outside)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def attempt(action: Any, *arguments: Any) -> Any:
    """What the action gives, or None for the one error that is allowed, of two lines at most."""
    try:
        return action(*arguments)
    except UserError as error:
        refused = str(error).splitlines()
    assert len(refused) <= 2, refused
    return None


def test_the_canary_would_sing(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


def test_the_corpus_is_no_smaller_than_it_was() -> None:
    assert len(STUDIES) + len(IMAGES) >= 130


@pytest.mark.heavy
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", STUDIES)
def test_a_hostile_study(name: str, whole: Path, scene: Scene, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("pixels_alone" if "markup" in name else "no_pixels")
    shutil.copytree(whole, scene.folder)
    STUDIES[name](scene)
    before = contents(scene.outside)
    trials = attempt(load_trials, scene.folder)
    attempt(load_epochs, scene.folder)
    attempt(load_best, scene.folder)
    trial = TrialFolder(scene.trial)
    if not trial.checkpoints.is_symlink():
        attempt(load_latest, trial.checkpoints, MNIST, "cpu")
    if trials is not None:
        attempt(write_report, scene.folder)
    assert not scene.canary.exists()
    assert contents(scene.outside) == before
    page = scene.folder / "report.html"
    if page.is_file() and not page.is_symlink():
        text = page.read_text(errors="replace")
        assert MARKUP not in text
        assert ESCAPE not in text
        assert SECRET not in text
        assert "root:x:0:0" not in text
    for table in scene.folder.glob("trials.csv"):
        assert table.is_symlink() or SECRET not in table.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "study.db a parameter that was not drawn",
        "study.db a computed column",
        "study.db a trigger",
        "links_through_the_folder_that_is_not_read",
    ],
)
def test_what_nobody_wrote_is_refused(name: str, whole: Path, scene: Scene) -> None:
    shutil.copytree(whole, scene.folder)
    STUDIES[name](scene)
    with pytest.raises(UserError):
        load_trials(scene.folder)


@pytest.mark.parametrize(
    "name", ["study.db a metric that was not told", "study.db a value that was not told", "config_of_another_data_set"]
)
def test_a_trial_of_which_record_and_ledger_differ_is_left_out(name: str, whole: Path, scene: Scene) -> None:
    shutil.copytree(whole, scene.folder)
    assert load_trials(scene.folder)["epochs"].iloc[0] > 0
    STUDIES[name](scene)
    with pytest.warns(StudyWarning, match=r"trial 0 is left out: .* and the study's ledger contradict each other: .*"):
        first = load_trials(scene.folder).iloc[0]
    assert first["epochs"] == 0
    assert np.isnan(first["val_rate"])
    assert not first["front"]


def test_weights_of_another_trial_are_refused(whole: Path, scene: Scene) -> None:
    shutil.copytree(whole, scene.folder)
    assert load_best(scene.folder).config.latent_dim == 8
    STUDIES["weights_of_another_trial"](scene)
    with pytest.raises(UserError, match="must hold the weights of trial 0's best epoch"):
        load_best(scene.folder)


def test_a_ledger_that_is_gone_is_no_empty_table(whole: Path, scene: Scene) -> None:
    shutil.copytree(whole, scene.folder)
    with sqlite3.connect(scene.folder / "study.db") as ledger:
        ledger.execute("DELETE FROM trials WHERE trial_id = 3")
        ledger.execute("DELETE FROM trial_params WHERE trial_id = 3")
    with pytest.raises(UserError, match=r"must know the 3 trials in .*, got 2\nrestore .*study\.db"):
        load_trials(scene.folder)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", IMAGES)
def test_a_hostile_image_set(name: str, scene: Scene) -> None:
    scene.folder.mkdir()
    dataset, case = IMAGES[name]
    case(scene)
    if dataset == "imagefolder":
        dataset = f"imagefolder:{scene.folder}"
    with pytest.raises(UserError):
        load_dataset(dataset, scene.folder, may_download=False)
    assert not scene.canary.exists()


# The same with what Hypothesis comes up with: it puts any JSON anywhere, and seals it

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([MARKUP, ESCAPE, "../..", "sqlite:////etc/passwd", 10**400, "\ud800", "digits"])
)
ANY = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[int, Any]]:
    """Places in a document, and what to put there."""
    return draw(st.lists(st.tuples(st.integers(0, 1000), ANY), min_size=1, max_size=3))


def changed(document: Any, edits: list[tuple[int, Any]]) -> Any:
    """The document with each edit at the place that its number leads to."""
    for place, value in edits:
        node = document
        while isinstance(node, dict) and node:
            key = sorted(node, key=str)[place % len(node)]
            place //= len(node)
            if isinstance(node[key], dict) and node[key] and place % 3:
                node = node[key]
                continue
            node[key] = value
            break
    return document


def write_forged(path: Path, values: dict[str, Any]) -> None:
    with suppress(UnicodeEncodeError):  # a lone surrogate cannot be written as UTF-8
        path.write_text(forge(values))


@pytest.mark.heavy
@FUZZ
@given(edits=changes())
def test_any_study_json(edits: list[tuple[int, Any]], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    if not folder.exists():
        shutil.copytree(whole, folder)
    info = unseal((whole / "study.json").read_bytes())
    write_forged(folder / "study.json", changed(info, edits))
    if attempt(read_study, folder) is not None:
        attempt(load_trials, folder)


@FUZZ
@given(edits=changes(), name=st.sampled_from(["config.json", "metrics.jsonl"]))
def test_any_trial(edits: list[tuple[int, Any]], name: str, whole: Path, tmp_path: Path) -> None:
    record = TrialFolder(tmp_path / "trial")
    if not record.path.exists():
        shutil.copytree(whole / "trials" / "0000", record.path)
    source = (whole / "trials" / "0000" / name).read_text()
    first, *rest = source.splitlines() if name == "metrics.jsonl" else [source]
    with suppress(UnicodeEncodeError):
        text = forge(changed(unseal(first), edits))
        (record.path / name).write_text("\n".join([text, *rest]) + "\n")
    rows = attempt(read_epochs, record)
    config = attempt(record.config)
    oldest = [not metric.since for metric in EPOCH]  # a record without one of the others is an older one
    assert rows is None or np.isfinite(rows[:, oldest]).all()
    assert rows is None or not np.isinf(rows).any()
    assert config is None or config.model.latent_dim >= 1


@FUZZ
@given(edits=changes(), metrics=ANY, cut=st.integers(0, 400))
def test_any_weights(edits: list[tuple[int, Any]], metrics: Any, cut: int, whole: Path, tmp_path: Path) -> None:
    source = whole / "trials" / "0000" / "checkpoints" / "best.safetensors"
    with safetensors.safe_open(source, framework="pt") as file:
        found = dict(file.metadata())
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    model = json.dumps(changed(json.loads(found["model"]), edits))
    metadata = {"model": model, "metrics": json.dumps(metrics)}
    path = tmp_path / "best.safetensors"
    content = safetensors.torch.save(tensors, metadata | {"sha256": weights_hash(tensors, metadata)})
    path.write_bytes(content[: -cut if cut > 300 else None])
    attempt(load_weights, path)


@FUZZ
@given(content=st.binary(max_size=300), start=st.integers(0, 3))
def test_any_bytes(content: bytes, start: int, whole: Path, tmp_path: Path) -> None:
    """Random bytes, alone or after the true beginning, as each file that is read."""
    names = ("study.json", *(f"trials/0000/{n}" for n in ("config.json", "metrics.jsonl")))
    sources = [whole / name for name in (*names, "trials/0000/checkpoints/best.safetensors")]
    folder = tmp_path / "bytes"
    folder.mkdir(exist_ok=True)
    path = folder / sources[start].name
    path.write_bytes(sources[start].read_bytes()[: len(content)] + content)
    readers = [read_study, TrialFolder(folder).config, TrialFolder(folder).rows, load_weights]
    arguments: list[tuple[Any, ...]] = [(folder,), (), (), (path,)]
    attempt(readers[start], *arguments[start])
