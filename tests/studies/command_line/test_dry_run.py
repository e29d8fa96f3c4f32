"""A command before it begins: what becomes of the folder, what it changes, and how long it takes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from sqlalchemy import Engine, event
from support.commands import ROOT, SMALL_STUDY, script
from support.image_sets import write_pictures
from support.small_study import session, study, train

from analysis.reading.validation import read_question
from analysis.report.listing import list_studies
from studies.command_line import tables
from studies.command_line.tables import warn_of_days
from studies.digits_vae import STUDY
from studies.record import study_folder
from studies.record.driver_lock import DriverLock
from studies.record.ledger import Ledger
from studies.record.study_folder import StudyFolder
from studies.run import estimate
from studies.run.checks import check, foresee
from studies.run.estimate import Estimate, _epochs, images_to_train, smaller
from studies.run.operations import described, status_of
from studies.run.options import Budget, Options, Resources, Sinks, Storage
from studies.search.lifecycle import Lifecycle, search_trials
from trainables.data.datasets import load_dataset
from trainables.errors import UserError
from trainables.records.storage_urls import storage_url
from trainables.records.study_layout import StudyLayout
from trainables.slots.resources import SlotResources
from trainables.text import python_command
from trainables.training.probe import Pace


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A study of 4 trials, of which 2 are done."""
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    record = folder.claim(study(), trials=4, seeds=0, final={"epochs": 0, "workers": 1, "trials": 0})
    opened = session(folder.path, study(), record["id"])
    trainings = Lifecycle(opened, [search_trials(opened)])
    for _ in range(2):
        job = trainings.next_job()
        assert job is not None
        train(trainings, job)
    return folder.path


def becomes(path: Path, options: Options = Options(), **plan: object) -> str:  # noqa: B008
    return foresee(study(**({"final_epochs": 0} | plan)), StudyFolder(path), options).folder


def test_what_becomes_of_a_folder_is_said_and_nothing_is_changed(begun: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert becomes(tmp_path / "none") == "new"
    assert becomes(begun) == "continued, 2 of 4 trials are done"
    assert becomes(begun, trials=9) == "extended from 4 trials to 9, 2 of 9 trials are done"
    assert becomes(begun, trials=2) == "finished, 2 of 2 trials are done: nothing is left to train"
    assert becomes(begun, trials=1) == "finished, 2 trials are done, 1 asked for: nothing is left to train"
    assert becomes(begun, Options(fresh=True)) == "new; the study there is moved aside, to s.<time>"
    with pytest.raises(UserError, match=r"holds another study: .*beta.*\nuse another --out, or --fresh"):
        becomes(begun, base=study().base.replace({"lr": 0.5}), space={"beta": STUDY.space["beta"]})
    with pytest.raises(UserError, match=r"is not empty and holds no study"):
        becomes(tmp_path)
    with pytest.raises(UserError, match="--storage must be the one that"):
        becomes(begun, Options(storage=Storage(ledger=f"sqlite:///{tmp_path}/other.db")))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.fixture(scope="module")
def while_made(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What a ledger's file holds after statements that make it, as a driver leaves it that is killed there."""
    path, found = tmp_path_factory.mktemp("ledger"), [b""]

    def look(*_: object) -> None:
        content = (path / "study.db").read_bytes()
        found.extend([content] if content != found[-1] else [])

    for moment in ("after_cursor_execute", "commit"):
        event.listen(Engine, moment, look)
    try:
        Ledger(study(), storage_url(path, None), "x" * 32)
    finally:
        for moment in ("after_cursor_execute", "commit"):
            event.remove(Engine, moment, look)
    return found[:-8:5] + found[-8:]  # some of its tables; its versions, the study, its metrics' names, its owner


def test_a_study_that_was_ended_while_its_ledger_was_made_has_nothing_done(
    while_made: list[bytes], tmp_path: Path
) -> None:
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    folder.claim(study(), trials=4, seeds=0, final={"epochs": 0, "workers": 1, "trials": 0})
    owner = read_question(folder.layout)[1].id
    for content in [None, *(each.replace(b"x" * 32, owner.encode()) for each in while_made)]:
        folder.layout.ledger.unlink(missing_ok=True)
        if content is not None:
            folder.layout.ledger.write_bytes(content)
        assert becomes(folder.path) == "continued, 0 of 4 trials are done"
        said = described(status_of(folder.path))
        assert (said["state"], said["trials"]) == ("not running", "0 of 4 done")
        listed = list_studies(tmp_path)
        assert listed["fault"].isna().all()
        assert listed["trials"].tolist() == [0]
        assert session(folder.path, study(), owner).ledger.count() == {}  # and so a run finds it
        assert becomes(folder.path) == "continued, 0 of 4 trials are done"


def test_a_ledger_that_lost_its_trials_is_refused(while_made: list[bytes], begun: Path, tmp_path: Path) -> None:
    ledger = StudyFolder(begun).layout.ledger
    for content in [None, *while_made]:
        ledger.unlink()
        if content is not None:
            ledger.write_bytes(content)
        with pytest.raises(UserError, match=r"restore|another folder|cannot be had"):
            becomes(begun)
        with pytest.raises(UserError):
            status_of(begun)
        assert list_studies(tmp_path)["fault"].notna().all()
        ledger.touch()


@pytest.mark.parametrize("what", ["a mount", "in a folder of others"])
def test_a_study_that_cannot_be_moved_aside_is_refused_as_the_run_does(
    what: str, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "a mount":
        reason = "Device or resource busy"
        monkeypatch.setattr(os.path, "ismount", lambda found: Path(found) == begun)
    else:
        reason = "Permission denied"
        monkeypatch.setattr(study_folder, "unwritable", lambda found: reason if found == begun.parent else "")
    with pytest.raises(UserError, match=rf"s cannot be moved aside to s\.<time>: {reason}\nuse another --out, or move"):
        becomes(begun, Options(fresh=True))
    assert becomes(begun) == "continued, 2 of 4 trials are done"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(storage=Storage(ledger="sqlite:////nowhere/x.db")), "--storage must be in a folder"),
        (Options(storage=Storage(checkpoints="file:///proc/x")), "--storage must be an object store that can be"),
        (Options(sinks=Sinks(mlflow="nonsense")), "--mlflow must be a tracking URI"),
        (Options(resources=Resources(max_concurrent=99)), "need room for 99 workers"),
        (Options(resources=Resources(address="127.0.0.1:1")), "no Ray cluster answers"),
    ],
)
def test_what_the_run_would_refuse_is_refused_now(tmp_path: Path, options: Options, message: str) -> None:
    with pytest.raises(UserError, match=message):
        foresee(study(), StudyFolder(tmp_path / "s"), options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("variable", "value"), [("RAY_TMPDIR", "/dev/null"), ("TMPDIR", "/nowhere")])
def test_where_ray_may_write_is_looked_at_now(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=f"{variable} {value} must be a folder that can be written"):
        foresee(study(), StudyFolder(tmp_path / "s"), Options())


def test_what_a_reader_refuses_is_refused_before_it_is_trained(begun: Path, tmp_path: Path) -> None:
    """Of a study whose trials were moved to a larger disk, the report would not be drawn."""
    (begun / "trials").rename(tmp_path / "larger")
    (begun / "trials").symlink_to(tmp_path / "larger")
    with pytest.raises(UserError, match=r"s/trials must not be a link out of "):
        check(study(final_epochs=0), StudyFolder(begun), Options())


def test_what_is_the_machine_s_in_the_root_of_a_disk_is_passed_over(begun: Path) -> None:
    (begun / "lost+found").mkdir()
    (begun / "lost+found" / "#42").symlink_to("/etc/passwd")  # as what is closed to all but root, it is not looked into
    check(study(final_epochs=0), StudyFolder(begun), Options())
    read_question(StudyLayout(begun))


def test_a_study_on_other_images_is_refused_before_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "cache"))
    plan = study(base=study().base.replace({"dataset": f"imagefolder:{tmp_path / 'own'}", "image_size": 28}))
    plan = plan.with_overrides({"dataset": plan.base.dataset})
    write_pictures(tmp_path / "own", {"a": 20, "b": 20})
    folder = StudyFolder(tmp_path / "s")
    folder.path.mkdir()
    folder.claim(plan, images=load_dataset(plan.base.dataset, image_size=28).identity)
    check(plan, folder, Options())
    write_pictures(tmp_path / "own", {"c": 20})
    with pytest.raises(UserError, match=r"s began with other images of imagefolder:.*: 40 then, 60 now\nput them back"):
        foresee(plan, StudyFolder(tmp_path / "s"), Options())


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("-v 12000000", "a process 17.2 GB of addresses, which Ray reserves and hardly uses, got 12.3 GB"),
        ("-f 20000", "must allow files of 128.0 MB, by one of which Ray's processes share memory, got 20.5 MB"),
    ],
)
def test_limits_with_which_ray_does_not_start_are_refused(limit: str, said: str, tmp_path: Path) -> None:
    """It hung at its start, and heard no signal. In a process of its own, which has them no more."""
    command = f"ulimit {limit}; {sys.executable} -m studies.digits_vae --dry-run --out {tmp_path / 's'}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f"error: ulimit {limit[:2]} " in done.stderr
    assert f"{said}\nulimit {limit[:2]} unlimited" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interface_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = next(iter(psutil.net_if_addrs()))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", f"{there},eth99")
    with pytest.raises(UserError, match=r"GLOO_SOCKET_IFNAME must name network interfaces .*, got eth99\nunset it"):
        foresee(study(), StudyFolder(tmp_path / "s"), Options())
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", there)
    check(study(), StudyFolder(tmp_path / "s"), Options())


def test_hours_of_a_gpu_that_is_not_there_end_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError) as refused:
        foresee(study(), StudyFolder(tmp_path / "s"), Options(budget=Budget(gpu_hours=1)))
    what = "--max-gpu-hours counts hours of GPUs, and this machine has none, got 1"
    assert str(refused.value).splitlines() == [what, "use --max-hours"]


def test_what_cannot_be_compiled_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = study(base=study().base.replace({"compile": True}))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError) as refused:
        foresee(plan, StudyFolder(tmp_path / "s"), Options())
    what, way_out = str(refused.value).splitlines()
    assert what == "compile needs a C++ compiler and Python's headers, and there is no no-such-compiler"
    assert way_out == "install g++ and python3-dev, or leave out --set compile=true"


def test_code_is_not_compiled_to_where_none_may_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As to a temporary folder that is mounted so."""
    noexec = [
        place
        for _, place, _, options, *_ in map(str.split, Path("/proc/mounts").read_text().splitlines())
        if "noexec" in options.split(",") and Path(place).is_dir()
    ]
    if not noexec:
        pytest.skip("no disk here is mounted noexec")
    plan = study(base=study().base.replace({"compile": True}))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "code"))
    check(plan, StudyFolder(tmp_path / "s"), Options())
    code = Path(noexec[0], "code")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(code))
    with pytest.raises(UserError, match=rf"the disk of {code} lets none \(noexec\)\nset TORCHINDUCTOR_CACHE_DIR to"):
        check(plan, StudyFolder(tmp_path / "s"), Options())


def test_checkpoints_elsewhere_are_tried_and_nothing_stays(tmp_path: Path) -> None:
    place = tmp_path / "store"
    foresee(study(), StudyFolder(tmp_path / "s"), Options(storage=Storage(checkpoints=place.as_uri())))
    assert list(place.iterdir()) == []


def test_a_study_in_use_is_no_wrong_option(begun: Path, tmp_path: Path) -> None:
    with DriverLock(StudyFolder(begun).layout).acquired():
        done = script(ROOT / "studies/digits_vae.py", "--out", begun, "--dry-run", cwd=tmp_path)
    assert done.returncode == 1
    assert "is in use: process" in done.stderr


@pytest.mark.heavy
def test_a_dry_run_says_what_is_changed_and_how_long_it_takes(tmp_path: Path) -> None:
    done = script(*SMALL_STUDY, "--set", "epochs=3", "--set", "beta=2", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in (
        "digits_vae in runs/digits_vae: new",
        "epochs: 8 -> 3",
        "model.width: 16 -> 4",
        "beta is searched no more",
        "12 trials of 3 epochs",
        "time       about ",
        "by a few steps, +- ",
        "the report takes about ",
    ):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_epochs_are_added_up_as_they_are_trained() -> None:
    """8 epochs, looked at after 1, 2 and 4, of which a half goes on each time: 1 + 1/2 + 2/4 + 4/8 epochs."""
    plan = study(base=study().base.replace({"epochs": 8}), trials=10, final_epochs=20, final=3)
    assert _epochs(plan, 0.5, 1) == 6 * 8 + 4 * 2.5 + 3 * 20
    assert _epochs(plan, 1.0, 1) == 10 * 8 + 3 * 20
    assert _epochs(plan, 1.0, 2) == 10 * 8 / 2 + 3 * 20 / 2
    assert _epochs(study(trials=1, final_epochs=0), 0.5, 4) == 3  # one trial takes one slot
    assert _epochs(study(trials=4, final_epochs=0, seeds=2), 1.0, 1) == 4 * 3 + 3 * 2 * 3
    assert images_to_train(study(trials=4, final_epochs=0), 1000) == 4 * 3 * 200


_GIVEN = (
    *("--out", "a (1)", "--out=b", "--epochs", "300000", "--set", "batch_size=64", "--set=model.width=32", "--final=8"),
    *("--set", "limit_train=5000", "--set", "lr=0.002", "--storage", "sqlite:///other.db", "--fresh", "--trials", "9"),
)


@pytest.mark.parametrize("measured", [(2.0, 3.0), (3.0, 2.0)], ids=["as it is", "by a busy machine"])
@pytest.mark.parametrize("prune", [0.0, 0.5])
def test_the_time_is_within_its_range(
    measured: tuple[float, float], prune: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "paces", lambda *_: [Pace(seconds, 0.01, "cpu") for seconds in measured])
    time = estimate.estimated(replace(STUDY, prune=prune), Options(), 1, SlotResources(1, 1), report=5.0)
    assert time.low < time.seconds < time.high


Warned = Callable[[float], list[str]]


@pytest.fixture
def warned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warned:
    """What a study of 300,000 epochs on digits says on a CPU, if it is measured to take so many seconds."""

    def lines(seconds: float) -> list[str]:
        pace = Pace(1.0, 0.1, "cpu")
        monkeypatch.setattr(tables, "sees_gpu", lambda: False)
        monkeypatch.setattr(tables, "estimated", lambda *_: Estimate(pace, pace, seconds, seconds, seconds, ()))
        monkeypatch.setattr(sys, "argv", ["my studies/digits.py", *_GIVEN])
        shown = StringIO()
        changed = {"epochs": 300_000, "batch_size": 64, "model.width": 32, "limit_train": 5_000, "lr": 0.002}
        plan = replace(STUDY, trials=9, final=8).with_overrides(changed)
        warn_of_days(plan, tmp_path / "a (1)", Options(), Console(file=shown, width=80))
        return shown.getvalue().splitlines()

    return lines


_SCRIPT = """
from studies.command_line.command import main
from studies.digits_vae import STUDY
main(STUDY)
"""


@pytest.mark.heavy
def test_days_on_a_cpu_are_told_with_the_smaller_study_to_copy(warned: Warned, tmp_path: Path) -> None:
    lines = warned(5 * 86_400)
    assert "time     about 5.0 days, from 5.0 days to 5.0 days" in lines
    (command,) = [line.removeprefix("smaller").strip() for line in lines if line.startswith("smaller")]
    assert shlex.split(command) == [
        *(*shlex.split(python_command()), "my studies/digits.py", "--set", "lr=0.002", "--fresh"),
        *("--set", "model.width=16", "--set", "batch_size=32", "--limit-train", "4000", "--limit-val", "1000"),
        *("--trials", "6", "--epochs", "2", "--final-epochs", "4", "--final", "6"),
        *("--out", str(tmp_path / "a (1)_small")),
    ]
    (tmp_path / "my studies").mkdir()
    (tmp_path / "my studies" / "digits.py").write_text(_SCRIPT)
    done = script(*shlex.split(command)[1:], "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 trials of 2 epochs" in done.stdout


def test_minutes_are_not_warned_of(warned: Warned) -> None:
    assert warned(600) == ["no GPU is seen here: measuring how long this takes"]


def test_a_small_study_is_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_days(STUDY, tmp_path / "s", Options(), Console())
    assert capsys.readouterr().out == ""


def test_beside_a_mount_the_smaller_study_finds_no_place() -> None:
    assert smaller(STUDY, Path("/proc"))["--out"] == "runs/proc_small"
    assert smaller(STUDY, Path("/tmp/x"))["--out"] == "/tmp/x_small"


def test_the_smaller_study_is_one_that_a_study_can_be() -> None:
    options = smaller(STUDY.with_overrides({"model.width": 64}), Path("runs/x"))
    assert options == {
        **{"--set model.width": "16", "--set batch_size": "32", "--limit-train": "4000", "--limit-val": "1000"},
        **{"--trials": "6", "--epochs": "2", "--final-epochs": "4", "--out": "runs/x_small"},
    }


def test_large_pictures_take_long_and_the_smaller_study_has_small_ones(tmp_path: Path) -> None:
    photos = {"dataset": "imagefolder:photos", "image_size": 256}
    small, large = STUDY.with_overrides({"limit_train": None}), STUDY.with_overrides(photos | {"limit_train": None})
    images = 3600 * 100 // images_to_train(small, 1) // 2  # of 28 x 28 pixels for half an hour
    assert not estimate.may_take_long(small, images)
    assert estimate.may_take_long(large, images)
    assert smaller(large, tmp_path / "s")["--set image_size"] == "32"
    assert "--set image_size" not in smaller(small, tmp_path / "s")
