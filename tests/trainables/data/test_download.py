"""Downloading, with the real code, from a server on this machine."""

import errno
import hashlib
import os
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from support.commands import ROOT
from support.image_sets import CIFAR_BATCHES, IDX_FILES, error_of, write_cifar, write_mnist

from trainables.data import download
from trainables.data.catalog import CATALOG
from trainables.data.datasets import load_dataset


def publish(monkeypatch, name: str, folder: Path, *mirrors: str) -> None:
    """Have the set's archives be the files of ``folder``, which the mirrors serve."""
    archives = {path.name: f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}" for path in sorted(folder.iterdir())}
    version, *others = CATALOG[name].versions
    assert sorted(archives) == sorted(version.archives)
    versions = (replace(version, mirrors=mirrors, archives=archives), *others)
    monkeypatch.setitem(CATALOG, name, replace(CATALOG[name], versions=versions))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """(address, folder) of a server of files."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", folder
        running.shutdown()


@pytest.fixture
def mnist_mirror(server, monkeypatch):
    """The folder that is served as MNIST's."""
    address, folder = server
    write_mnist(folder, packed=True)
    publish(monkeypatch, "mnist", folder, address)
    return folder


@pytest.fixture
def nobody():
    """The address of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_without_files_and_network_the_error_says_what_to_put_where(tmp_path, no_network, capfd, name):
    message = error_of(name, tmp_path / "none")
    first, second = message.splitlines()
    assert first.startswith(f"{name} is not in {tmp_path / 'none'} and cannot be downloaded: no network")
    assert str(tmp_path / "none" / CATALOG[name].versions[0].folders[0]) in second
    assert second.endswith("or use digits, which needs no files")
    assert not (tmp_path / "none").exists()
    assert capfd.readouterr() == ("", "")


def test_a_network_that_swallows_everything_is_given_up_on(tmp_path, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(download, "_NETWORK_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(60))
    start = time.monotonic()
    message = error_of("mnist", tmp_path / "none")
    released.set()
    assert "no network (no answer in 0 s)" in message
    assert time.monotonic() - start < 20  # importing pooch takes some of it


def test_a_download_lands_whole_and_quietly(tmp_path, mnist_mirror, capfd):
    assert len(load_dataset("mnist", tmp_path / "data").train.labels) == 30
    assert sorted(path.name for path in (tmp_path / "data/MNIST/raw").iterdir()) == sorted(IDX_FILES)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]
    assert capfd.readouterr() == ("", f"downloading mnist to {tmp_path / 'data/MNIST/raw'}\n")


def test_cifar_is_downloaded_in_the_binary_version(tmp_path, server, monkeypatch, capfd):
    address, folder = server
    batches = write_cifar(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin/readme.html").write_text("not needed")
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    publish(monkeypatch, "cifar10", folder, address)
    dataset = load_dataset("cifar10", tmp_path / "data")
    np.testing.assert_array_equal(dataset.train.images, np.concatenate([images for images, _ in batches[:5]]))
    np.testing.assert_array_equal(dataset.test.labels, batches[5][1])
    target = tmp_path / "data/cifar-10-batches-bin"
    assert sorted(path.name for path in target.iterdir()) == [f"{batch}.bin" for batch in CIFAR_BATCHES]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-10-batches-bin"]
    assert capfd.readouterr() == ("", f"downloading cifar10 to {target}\n")


def test_an_archive_that_lies_in_the_data_folder_is_unpacked_without_a_network(
    tmp_path, monkeypatch, no_network, capfd
):
    batches = write_cifar(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "data").mkdir()
    archive = tmp_path / "data/cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "cifar-10-batches-bin", "cifar-10-batches-bin")
    assert "cannot be downloaded: no network" in error_of("cifar10", tmp_path / "data")  # it is not the published one
    publish(monkeypatch, "cifar10", tmp_path / "data", "http://127.0.0.1/")
    capfd.readouterr()
    np.testing.assert_array_equal(load_dataset("cifar10", tmp_path / "data").test.images, batches[5][0])
    assert capfd.readouterr() == ("", f"unpacking cifar10 to {tmp_path / 'data/cifar-10-batches-bin'}\n")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["cifar-10-batches-bin", archive.name]


def test_a_download_that_fails_midway_leaves_nothing(tmp_path, mnist_mirror):
    path = mnist_mirror / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    message = error_of("mnist", tmp_path / "data")
    assert "cannot be downloaded: Error downloading train-labels-idx1-ubyte.gz" in message
    assert not list((tmp_path / "data").iterdir())


def test_a_full_disk_is_called_full(tmp_path, mnist_mirror, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    first, second = error_of("mnist", tmp_path / "data").splitlines()
    assert first == f"{tmp_path / 'data'} is on a disk or a quota that is full: No space left on device"
    assert second == "set --data-dir or VAE_DATA_DIR to another folder"
    assert not list((tmp_path / "data").iterdir())


def test_a_file_that_no_mirror_has_is_named_with_what_each_said(tmp_path, mnist_mirror):
    (mnist_mirror / "t10k-labels-idx1-ubyte.gz").unlink()
    message = error_of("mnist", tmp_path / "data")
    assert "Error downloading t10k-labels-idx1-ubyte.gz from http://127.0.0.1:" in message
    assert "404" in message
    assert not list((tmp_path / "data").iterdir())


def test_the_next_mirror_is_tried_where_one_does_not_answer_or_has_other_files(
    tmp_path, mnist_mirror, nobody, monkeypatch
):
    version = CATALOG["mnist"].versions[0]
    address = version.mirrors[0]
    (mnist_mirror / "wrong").mkdir()
    write_mnist(mnist_mirror / "wrong", packed=True)
    mirrors = (nobody, f"{address}wrong/", f"{address}nothing/", address)
    monkeypatch.setitem(CATALOG, "mnist", replace(CATALOG["mnist"], versions=(replace(version, mirrors=mirrors),)))
    assert len(load_dataset("mnist", tmp_path / "data").train.labels) == 30


def test_a_server_that_falls_silent_midway_is_given_up_on(tmp_path, monkeypatch):
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(b"x" * 10)
            released.wait(60)

        def log_message(self, *args):
            pass

    monkeypatch.setattr(download, "_NETWORK_SECONDS", 0.5)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        mirrors = (f"http://127.0.0.1:{running.server_port}/",)
        versions = (replace(CATALOG["mnist"].versions[0], mirrors=mirrors),)
        monkeypatch.setitem(CATALOG, "mnist", replace(CATALOG["mnist"], versions=versions))
        start = time.monotonic()
        message = error_of("mnist", tmp_path / "data")
        released.set()
        running.shutdown()
    assert "Error downloading train-images-idx3-ubyte.gz" in message
    assert time.monotonic() - start < 20
    assert not list((tmp_path / "data").iterdir())


def test_two_processes_download_once(tmp_path, server, monkeypatch):
    address, folder = server
    write_mnist(folder, packed=True)
    program = (
        "import sys\n"
        "from dataclasses import replace\n"
        "from trainables.data.catalog import CATALOG\n"
        "from trainables.data.datasets import load_dataset\n"
        "known = CATALOG['mnist']\n"
        "address, *sums = sys.argv[2:]\n"
        "archives = dict(zip(known.versions[0].archives, sums, strict=True))\n"
        "version = replace(known.versions[0], mirrors=(address,), archives=archives)\n"
        "CATALOG['mnist'] = replace(known, versions=(version,))\n"
        "print(load_dataset('mnist', sys.argv[1]).train.images.sum())\n"
    )
    sums = [hashlib.md5((folder / name).read_bytes()).hexdigest() for name in CATALOG["mnist"].versions[0].archives]
    arguments = [str(tmp_path / "data"), address, *(f"md5:{md5}" for md5 in sums)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0][0] == outputs[1][0]
    assert sum(error.count("downloading mnist") for _, error in outputs) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]


def test_a_page_in_a_files_place_is_told_in_our_words(tmp_path, mnist_mirror):
    for file in mnist_mirror.iterdir():
        file.write_text("<html>please log in</html>")
    message = error_of("mnist", tmp_path / "data")
    assert "it sent another file, such as the page of a network's login" in message
    assert "hash" not in message


def test_a_certificate_that_is_not_trusted_is_named():
    error = ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate (_ssl.c:1006)")
    assert download._told(error).startswith("its certificate is not trusted here; ")
