from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trainables.config import TrialConfig
from trainables.errors import explain


def test_no_repeat_has_the_seed_of_a_trial_or_of_another_repeat() -> None:
    configs = [TrialConfig().of_trial(number, {}) for number in range(1000)]
    seeds = [config.seed for config in configs]
    seeds += [config.of_repeat(k).seed for config in configs for k in range(1, 100)]
    assert len(set(seeds)) == len(seeds)


def test_a_folder_has_one_name_from_wherever_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pictures", "work", "elsewhere/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "work/link").symlink_to(tmp_path / "elsewhere/deep")
    monkeypatch.chdir(tmp_path / "work")
    names = [TrialConfig(dataset=f"imagefolder:{path}").dataset for path in ("../pictures", "link/../pictures")]
    # whose way leads elsewhere: that folder is not the first one
    assert names == [f"imagefolder:{tmp_path / path}" for path in ("pictures", "work/link/../pictures")]


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_a_record_is_written() -> None:
    with pytest.raises(ValidationError, match=r"must be a path in UTF-8, as records write it, got imagefolder:/caf"):
        TrialConfig(dataset=f"imagefolder:/{os.fsdecode(b'caf' + bytes([0xE9]))}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"importance_samples": 0}, "importance_samples must be at least 1, got 0"),
        ({"importance_samples": 5001}, "importance_samples must be at most 5,000, got 5001"),
        ({"importance_samples": 5, "beta": 2.0}, "beta must be 1 with importance_samples 5, whose bound .*, got 2"),
        ({"importance_samples": 5, "kl_warmup": 0.5}, "kl_warmup must be 0 with importance_samples 5, .*, got 0.5"),
        ({"importance_samples": 5, "free_bits": 1.0}, "free_bits must be 0 with importance_samples 5, .*, got 1"),
        ({"importance_samples": 5, "model.multi_rate": True}, "importance_samples must be 1 with model.multi_rate.*5"),
        ({"free_bits": 1.0, "model.multi_rate": True}, "free_bits must be 0 with model.multi_rate.*, got 1"),
        ({"free_bits": 1.0, "model.prior": "vamp"}, "free_bits must be 0 with model.prior vamp, whose rate .*, got 1"),
        ({"free_bits": -1.0}, "free_bits must be at least 0, got -1"),
        ({"free_bits": float("nan")}, "free_bits must be a finite number"),
        ({"schedule": "burdah"}, "schedule must be one of constant, cosine, plateau, burda, got 'burdah'"),
    ],
)
def test_losses_that_do_not_go_together_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TrialConfig().replace(fields)
    assert re.search(message, explain(refused.value))
