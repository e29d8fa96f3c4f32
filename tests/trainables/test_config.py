from __future__ import annotations

from trainables.config import TrialConfig


def test_no_repeat_has_the_seed_of_a_trial_or_of_another_repeat() -> None:
    configs = [TrialConfig().of_trial(number, {}) for number in range(1000)]
    seeds = [config.seed for config in configs]
    seeds += [config.of_repeat(k).seed for config in configs for k in range(1, 100)]
    assert len(set(seeds)) == len(seeds)
