"""Every test prepares its data in a cache of its own session, and sees the real sets if they are given."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator

import pytest

# before torch is imported: two threads on cores that others use wait for each other most of the time
os.environ.setdefault("OMP_NUM_THREADS", "1")
# the workers of studies have two: there, those that wait leave the cores to others, and have their share of them
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("RAY_worker_niceness", "0")
# equality to the bit is a CPU's: tests say the same on a machine with GPUs
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# a shell starts what runs in the background deaf to Ctrl-C, and so would be the commands that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
# and what runs under nohup, to a hang-up
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _one_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ.setdefault("VAE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def pixels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are written as PNG; of the PDFs beside them, which take longer, there is only the name."""
    from analysis.figures import files

    rendered = files._rendered
    monkeypatch.setattr(files, "_rendered", lambda it, **way: rendered(it, **way) if way["format"] == "png" else b"")


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn and laid out, and the picture that is written of each is one grey pixel."""
    from PIL import Image

    from analysis.figures import files

    def rendered(_figure: object, **_way: object) -> bytes:
        Image.new("L", (1, 1), 128).save(pixel := io.BytesIO(), "png")
        return pixel.getvalue()

    monkeypatch.setattr(files, "_rendered", rendered)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small models on a shared machine: threads that wait for each other take far longer than one alone."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
