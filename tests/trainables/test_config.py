from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from trainables.config import TrialConfig


def test_no_repeat_has_the_seed_of_a_trial_or_of_another_repeat() -> None:
    configs = [TrialConfig().of_trial(number, {}) for number in range(1000)]
    seeds = [config.seed for config in configs]
    seeds += [config.of_repeat(k).seed for config in configs for k in range(1, 100)]
    assert len(set(seeds)) == len(seeds)


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_a_record_is_written() -> None:
    with pytest.raises(ValidationError, match=r"must be a path in UTF-8, as records write it, got imagefolder:/caf"):
        TrialConfig(dataset=f"imagefolder:/{os.fsdecode(b'caf' + bytes([0xE9]))}")
