"""Studies on clusters of several nodes, each a Ray node of its own on this machine."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest
import torch
from moto.server import ThreadedMotoServer
from pyarrow import fs
from support.commands import ROOT, SMALL_STUDY, script, timeless
from support.processes import raylet_of

import trainables
from analysis import load_trials
from cluster import preflight
from cluster.access import check_address
from cluster.connect import check_is_ray
from cluster.local_cluster import local_cluster
from cluster.plan import Node, chosen, fitting, plan_slots
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.records.object_store import Mirror
from trainables.records.trial_folder import Place, TrialFolder
from trainables.slots.mailbox import Mailbox
from trainables.slots.messages import Job
from trainables.slots.resources import Placement, SlotResources
from trainables.training.checkpoint import load_weights
from trainables.training.loop import Epoch
from trainables.training.process_group import World
from trainables.training.trial import Training, train
from vae_models import ModelConfig

CONFIG = TrialConfig(model=ModelConfig(width=4, latent_dim=3), epochs=4, limit_train=200, limit_val=50)
STUDY = (*SMALL_STUDY, "--no-report", "--patience", "20")


def workers_of(folder: Path) -> list[str]:
    return [line for path in sorted(folder.rglob("workers.log")) for line in path.read_text().splitlines()]


def node_ids(folder: Path) -> set[str]:
    return {re.findall(r"node (\w+)", line)[0] for line in workers_of(folder)}


# An object store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a bucket of a real S3 server on this machine."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ada")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = f"endpoint_override={quote(f'http://{host}:{port}', safe='')}&region=us-east-1"
    fs.FileSystem.from_uri(f"s3://x?{options}&allow_bucket_creation=true")[0].create_dir("bucket")
    yield f"s3://bucket/{uuid.uuid4().hex}?{options}"
    server.stop()


def objects(store: str) -> list[str]:
    files, path = fs.FileSystem.from_uri(store)
    found = files.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return sorted(info.path.removeprefix(f"{path}/") for info in found if info.is_file)


@pytest.mark.parametrize("scheme", ["s3", "file"])
def test_a_training_in_a_mirror_goes_on_anywhere_to_the_same_end(
    store: str, scheme: str, tmp_path: Path, one_thread: None
) -> None:
    """It begins in one folder, is cut short, and ends where nothing is but the mirror."""
    whole = list(train(CONFIG, TrialFolder(tmp_path / "whole")))
    mirror = Mirror(store if scheme == "s3" else f"file://{tmp_path}/store", "trials/0000")

    def train_and_save(training: Training) -> Iterator[None]:
        for each in training.run.epochs():
            if isinstance(each, Epoch):
                training.save(training.snapshot(each))
                yield

    first = Training(CONFIG, TrialFolder(tmp_path / "unseen"), None, World(), mirror=mirror)
    for _ in islice(train_and_save(first), 2):
        pass
    second = Training(CONFIG, TrialFolder(tmp_path / "unseen"), None, World(), mirror=mirror)
    assert timeless(second.run.history) == timeless(whole[:2])
    for _ in train_and_save(second):
        pass
    assert timeless(second.run.history) == timeless(whole)
    assert not (tmp_path / "unseen").exists()
    mirror.remove("epoch_*.pt")
    mirror.pull(tmp_path)
    best, metrics = load_weights(tmp_path / "whole/checkpoints/best.safetensors")
    found, found_metrics = load_weights(tmp_path / "best.safetensors")
    assert timeless([found_metrics]) == timeless([metrics])
    assert all(torch.equal(weight, found.get_parameter(name)) for name, weight in best.named_parameters())
    assert [path.name for path in tmp_path.glob("*.*")] == ["best.safetensors"]


def test_a_store_that_is_not_there_is_two_lines(store: str) -> None:
    Mirror(store, "x").check()
    assert objects(store) == []
    with pytest.raises(UserError, match="must be an object store that can be written, got s3://nobody") as error:
        Mirror(store.replace("bucket", "nobody"), "x").check()
    assert len(str(error.value).splitlines()) == 2
    with pytest.raises(UserError, match="must be an object store"):
        Mirror("s3://", "x").check()


@pytest.mark.slow
def test_a_study_over_two_nodes_keeps_its_checkpoints_in_a_store_and_survives_a_kill(
    store: str, tmp_path: Path
) -> None:
    """Each trial is trained by a worker a node; its rows are those of one process, as far as sums over ranks
    round alike."""
    folder = tmp_path / "s"
    command = (
        *STUDY,
        "--out",
        folder,
        "--storage",
        store,
        "--trials",
        "2",
        "--epochs",
        "10",
        "--max-concurrent",
        "1",
        "--workers-per-trial",
        "2",
        "--final",
        "1",
        "--final-epochs",
        "2",
        "--final-workers",
        "2",
    )
    with local_cluster([1, 1]) as cluster:
        command = (*command, "--address", cluster.address)
        killed = subprocess.Popen([sys.executable, *map(str, command)], cwd=tmp_path)
        while not any("0001/epoch_" in name for name in objects(store)):
            assert killed.poll() is None
            time.sleep(0.1)
        killed.kill()
        killed.wait()
        done = script(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    trials = load_trials(folder)
    assert list(trials["state"]) == ["COMPLETE"] * 2
    assert list(trials["epochs"]) == [10] * 2
    (final,) = folder.glob("trials/final_*")
    assert [name.partition("/")[2] for name in objects(store)] == [
        f"trials/{trial}/best.safetensors" for trial in ("0000", "0001", f"{final.name}.next")
    ]
    assert not list(folder.rglob("epoch_*.pt"))
    assert len(list(folder.rglob("best.safetensors"))) == 3
    assert len(node_ids(folder)) == 2
    assert {line.split(" rank ")[1][0] for line in workers_of(folder)} == {"0", "1"}
    for number in range(2):
        record = TrialFolder(folder / f"trials/{number:04d}")
        alone = list(train(record.config(), TrialFolder(tmp_path / f"alone{number}")))
        for ours, theirs in zip(record.rows(), alone, strict=True):
            assert ours["val_bits_per_dim"] == pytest.approx(theirs["val_bits_per_dim"], rel=1e-3)
    assert "geheim" not in json.dumps(json.loads((folder / "study.json").read_text()))


# Nodes that come and go


@pytest.mark.slow
def test_a_node_that_joins_is_used_unless_it_cannot_be(tmp_path: Path) -> None:
    folder, log = tmp_path / "s", tmp_path / "log"
    command = (
        *STUDY,
        "--out",
        folder,
        "--trials",
        "600",  # more than there is time for
        "--epochs",
        "120",
        "--final-epochs",
        "0",
        "--max-concurrent",
        "2",
        "--workers-per-trial",
        "1",
    )
    with local_cluster([1]) as cluster, log.open("w") as output:
        refused = script(*command, "--address", cluster.address, cwd=tmp_path)
        assert refused.returncode == 2
        assert "2 trial(s) at once of 1 worker(s) need room for 2 workers" in refused.stderr
        study = subprocess.Popen(
            [sys.executable, *map(str, command[: command.index("--max-concurrent")]), "--address", cluster.address],
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )

        def until(text: str) -> None:
            while text not in log.read_text():
                assert study.poll() is None, log.read_text()
                time.sleep(0.1)

        until("epoch 2:")
        bare = cluster.add_node(1, python=environment(tmp_path / "bare"))
        until("a node has joined that is not used: node ")
        assert "must have the package vae-studies" in log.read_text()
        raylet_of(bare).kill()
        cluster.add_node(1, "--labels", "zone=b")
        until("joined: 2 slots from now on")
        while len(node_ids(folder)) < 2:
            assert study.poll() is None, log.read_text()
            time.sleep(0.1)
        study.send_signal(signal.SIGTERM)
        assert study.wait(timeout=300) == 130, log.read_text()
        there = script(
            *command[:-4],
            "--address",
            cluster.address,
            "--label",
            "zone=b",
            "--out",
            tmp_path / "b",
            "--trials",
            "1",
            "--epochs",
            "1",
            cwd=tmp_path,
        )
        assert there.returncode == 0, there.stdout + there.stderr
        assert node_ids(tmp_path / "b") < node_ids(folder)
        nowhere = script(
            *command[:-4],
            "--address",
            cluster.address,
            "--accelerator",
            "H100",
            "--label",
            "zone=c",
            "--out",
            tmp_path / "c",
            cwd=tmp_path,
        )
        assert nowhere.returncode == 2
        assert "--accelerator H100 --label zone=c must fit a node of the cluster" in nowhere.stderr
        assert "zone=b" in nowhere.stderr
        assert "Traceback" not in nowhere.stderr


def environment(folder: Path, *lines: str) -> Path:
    """The Python of an environment that has what this one has, but for this package; ``lines`` run at its
    start."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (ours,) = {str(Path(importlib.metadata.distribution("ray").locate_file("")))}
    (packages / "ours.pth").write_text("\n".join([ours, *lines]) + "\n")
    return folder / "bin/python"


# a command that does more after its cluster is gone, as drawing a report
_AFTERWARDS = """
import os, resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (128_000_000,) * 2)
from cluster.connect import connected
from trainables.process import settle
settle()
with connected(None):
    pass
try:
    os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
def test_what_ends_a_command_does_so_in_order_after_its_cluster_is_gone_too(tmp_path: Path) -> None:
    """Nothing is left of the cluster, which has room in files as small as are allowed."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as temporary:  # where a socket's path is short
        here = os.environ | {"TMPDIR": temporary}
        command = [sys.executable, "-c", _AFTERWARDS]
        done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=200, check=False)
        (root,) = Path(temporary).iterdir()
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert root.name.startswith("ray-")


@pytest.mark.slow
def test_another_version_of_ray_is_two_lines(tmp_path: Path) -> None:
    python = environment(tmp_path / "old", "import ray; ray.__version__ = '2.59.0'")
    with local_cluster([]) as cluster:
        cluster.add_node(1, python=python)
        done = script(*STUDY, "--out", tmp_path / "s", "--address", cluster.address, cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    assert re.search(r"error: the cluster at \S+ has Ray 2.59.0 and Python \S+, this process Ray", done.stderr)
    assert done.stderr.endswith("install the same versions on both\n")
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_cluster_by_command_takes_a_job_with_its_working_directory(tmp_path: Path) -> None:
    """As its own words say; the job's code is the copy that was shipped, on every node."""
    shipped = tmp_path / "shipped"
    ignored = ("*.egg-info", ".git", ".venv", "runs", "__pycache__", ".*_cache")
    from shutil import copytree, ignore_patterns

    copytree(ROOT, shipped, ignore=ignore_patterns(*ignored))
    (shipped / "trainables/text.py").open("a").write("\nSHIPPED = True\n")
    (shipped / "runs").mkdir()
    (shipped / "runs/ballast").write_bytes(bytes(600 << 20))  # Ray refuses packages of more than 500 MiB
    log = tmp_path / "log"
    active = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with log.open("w") as output:
        cluster = subprocess.Popen(
            [sys.executable, "-m", "cluster", "local", "--nodes", "2", "--workers-per-node", "1"],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            env=active,
        )
    try:
        while "Ctrl-C stops it" not in log.read_text():
            assert cluster.poll() is None, log.read_text()
            time.sleep(0.1)
        said = dict(re.findall(r"^(\w+)  +(.*)$", log.read_text(), flags=re.M))
        study = "--limit-train 200 --limit-val 50 --trials 1 --epochs 1 --final-epochs 1 --no-report"
        study += " --final-workers 2"
        command = said["job"].replace("ray job", f"{sys.executable} -m ray.scripts.scripts job")
        submit = command.replace("~/runs/digits_vae", f"{tmp_path}/s {study}")
        job = subprocess.run(submit, shell=True, cwd=shipped, capture_output=True, text=True, check=False)
        assert job.returncode == 0, job.stdout + job.stderr
        assert len(node_ids(tmp_path / "s")) == 2
        inside = submit.replace(f"--out {tmp_path}/s ", "")
        lost = subprocess.run(inside, shell=True, cwd=shipped, capture_output=True, text=True, check=False)
        assert lost.returncode != 0
        assert "--out must be outside the job's working directory, which Ray removes" in lost.stdout
    finally:
        cluster.send_signal(signal.SIGINT)
        assert cluster.wait(timeout=60) == 0
    assert log.read_text().endswith("\nstopped\n")


# Without a cluster


@pytest.fixture
def web() -> Iterator[str]:
    """The address of something that is no Ray cluster."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def test_what_is_no_ray_cluster_is_two_lines(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.connect.ANSWER_SECONDS", 3)
    with pytest.raises(UserError, match=f"what listens at {web} does not answer as a Ray cluster"):
        check_is_ray(web)
    silent = socket.create_server(("127.0.0.1", 0))  # it accepts, and says nothing
    with silent, pytest.raises(UserError, match="does not answer as a Ray cluster"):
        check_is_ray(f"127.0.0.1:{silent.getsockname()[1]}")


def test_addresses_are_told_as_ray_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert (check_address(None), check_address("local"), check_address("auto")) == (None, None, "auto")


def test_the_nodes_with_a_label_and_an_accelerator_are_chosen() -> None:
    gpus = Node(16, 4, "a", accelerator="H100", labels={"zone": "a"})
    others = Node(16, 2, "b", accelerator="L4", labels={"zone": "a", "disk": "fast"})
    cluster = [gpus, others, Node(8, 0, "c")]
    assert chosen(cluster, Placement("H100")) == [gpus]
    assert chosen(cluster, Placement(labels={"zone": "a"})) == [gpus, others]
    assert chosen(cluster, Placement("L4", {"zone": "a", "disk": "fast"})) == [others]
    with pytest.raises(UserError, match=r"--accelerator T4 must fit .* accelerators H100, L4; labels .*zone=a"):
        chosen(cluster, Placement("T4"))
    count, slot = plan_slots(cluster, 1, trials=100, placement=Placement("H100"))
    assert (count, slot.gpus_per_worker) == (4, 1)
    assert fitting(cluster, slot) == 4
    assert fitting([*cluster, gpus], slot) == 8
    assert fitting(cluster, SlotResources(3, 16, 0)) == 0


def test_a_node_is_looked_at_for_code_torch_and_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker, version = tmp_path / "marker", importlib.metadata.version("torch")
    here = preflight.code()
    assert "must see the folder" in preflight.fault_of(here, version, marker)
    marker.touch()
    assert preflight.fault_of(here, version, marker) == ""
    assert "must have the same code" in preflight.fault_of("other", version, marker)
    assert "must have torch 1.0" in preflight.fault_of(here, "1.0", marker)
    assert "digits" not in preflight.data_fault("digits", None, None)
    assert "cannot prepare imagefolder:" in preflight.data_fault(f"imagefolder:{tmp_path}/none", None, None)
    copy = tmp_path / "copy/trainables"
    shutil.copytree(Path(trainables.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sys, "path", [str(copy.parent), *sys.path])
    monkeypatch.delitem(sys.modules, "trainables")
    assert preflight.code() == here
    (copy / "training/loop.py").open("a").write("# changed\n")
    assert preflight.code() != here


def test_readers_hear_where_a_job_is_taken_and_how_long_it_waited() -> None:
    place = Place(0, "10.0.0.1", "abc", 123, "/logs/x.out")

    async def run() -> None:
        mailbox, job = Mailbox(["a", "b"]), Job("0", CONFIG, Path(), None)
        reader = asyncio.create_task(mailbox.news(job))
        await asyncio.sleep(0.05)
        assert await mailbox.take("a", frozenset(), (place,)) == job
        news = await reader
        (assignment,) = news.assignments
        assert assignment.places == (place,)
        assert assignment.waited is not None
        assert 0.05 <= assignment.waited < 60
        job = job.after(0, 1)
        reader = asyncio.create_task(mailbox.news(job))
        await mailbox.take("a", frozenset(), (place,))  # its workers died
        (again,) = (await reader).assignments
        assert again.waited is None
        await mailbox.lose("a", "gone")
        await mailbox.take("b", frozenset(), (place,))
        (moved,) = (await mailbox.news(job.after(0, 1))).assignments
        assert moved.waited is not None

    asyncio.run(run())


def test_assignments_are_noted_in_the_trials_folder(tmp_path: Path) -> None:

    record = TrialFolder(tmp_path / "t")
    record.create(CONFIG)
    record.note((Place(0, "h0", "n0", 1, "/a"), Place(1, "h1", "n1", 2, "/b")))
    lines = (tmp_path / "t/workers.log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == [
        "rank 0: process 1 on h0, node n0, log /a",
        "rank 1: process 2 on h1, node n1, log /b",
    ]


def test_no_cluster_at_auto_is_two_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from studies.command_line.command import leave\nfrom trainables.console import run\n"
    code += "from cluster.connect import connected\n"
    code += "def app(**_):\n    with connected('127.0.0.1:1'): pass\nrun(app, leave=leave)"
    done = script("-c", code, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in done.stderr
