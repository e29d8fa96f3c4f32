"""How long an epoch takes, by a few steps."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.commands import script
from support.small_study import CONFIG

from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.training.loop import fit
from trainables.training.probe import paces
from trainables.training.trial import load_pixels

pytestmark = pytest.mark.heavy
EPOCH = CONFIG.replace({"model.width": 16, "limit_train": 1200, "limit_val": 150, "batch_size": 32})


@pytest.mark.parametrize(
    "config", [EPOCH, EPOCH.replace({"beta": 1.0, "model.multi_rate": True})], ids=["plain", "multi-rate"]
)
def test_a_pace_is_that_of_an_epoch(config: TrialConfig, one_thread: None) -> None:
    """Within a factor that a busy machine may have."""
    (pace,) = paces([config], None, threads=1)
    took = []
    began = time.perf_counter()
    for _ in fit(config, *load_pixels(config, None, "cpu")):
        took.append(time.perf_counter() - began)
        began = time.perf_counter()
    assert 0.3 < pace.seconds / min(took[1:]) < 3
    assert pace.device == "cpu"


def test_larger_models_take_longer_and_a_single_step_is_less_certain() -> None:
    small, large = paces([EPOCH, EPOCH.replace({"model.width": 32, "model.depth": 1})], None, threads=1)
    assert large.seconds > 2 * small.seconds
    (single,) = paces([EPOCH.replace({"limit_train": 32})], None, threads=1)
    assert single.error == 0.5


def test_what_cannot_be_trained_is_said() -> None:
    with pytest.raises(UserError, match=r"a model of 65536 latents, .* cannot be trained here: .*\nmake it"):
        paces([EPOCH.replace({"model.latent_dim": 65_536, "model.width": 1024})], None, threads=1)


def test_a_script_that_is_no_module_is_not_run_again_to_measure(tmp_path: Path) -> None:
    """As multiprocessing would, without `if __name__ == "__main__"`."""
    (tmp_path / "mine.py").write_text(
        "print('begun')\n"
        "from trainables.config import TrialConfig\n"
        "from trainables.training.probe import paces\n"
        f"config = TrialConfig.model_validate_json({EPOCH.model_dump_json()!r})\n"
        "print(paces([config], None, 1)[0].device)\n"
    )
    done = script(tmp_path / "mine.py", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("begun\ncpu\n", "")
