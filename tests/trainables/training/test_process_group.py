"""The process group."""

from __future__ import annotations

import torch

from trainables.training.process_group import World


def test_what_processes_hold_is_their_cost() -> None:
    threads = torch.get_num_threads()
    assert World(0, 3).cost(2.0) == {"cpu_seconds": 6.0 * threads, "gpu_seconds": 0.0}
    gpu = World(0, 2, torch.device("cuda"), gpus=0.25)
    assert gpu.cost(8.0)["gpu_seconds"] == 4.0
