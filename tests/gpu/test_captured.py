"""What only a GPU runs: steps captured as graphs, each on a stream of its own."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import timeless
from support.turns import in_turns
from torch import nn

from trainables.config import TrialConfig
from trainables.training import batches, checkpoint, pack
from trainables.training.batches import Pixels
from trainables.training.evaluate import calibrated_sigma, evaluate
from trainables.training.loop import Epoch, Run, State, seeded_vae
from trainables.training.process_group import World, first_device
from trainables.training.step import Step
from vae_models import ModelConfig

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: make gpu")]

PLAIN = TrialConfig(model=ModelConfig(width=8, latent_dim=6), batch_size=64, epochs=3, lr=3e-3)
VARIED = {
    "plain": PLAIN,
    "deep": PLAIN.replace({"model.depth": 1, "seed": 1, "batch_size": 50, "kl_warmup": 0.5}),
    "bf16": PLAIN.replace({"precision": "bf16", "seed": 2, "schedule": "plateau"}),
    "mlp": PLAIN.replace({"model.architecture": "mlp", "model.width": 32, "seed": 3, "epochs": 2, "optimizer": "adam"}),
    "vamp": PLAIN.replace({"model.prior": "vamp", "model.pseudo_inputs": 20, "seed": 4, "schedule": "burda"}),
    "bound": PLAIN.replace({"importance_samples": 5, "seed": 5}),
    "free bits": PLAIN.replace({"free_bits": 0.5, "seed": 6}),
    "binary": PLAIN.replace({"model.likelihood": "bernoulli", "model.binarise": "dynamic", "seed": 7}),
    "counts": PLAIN.replace({"model.likelihood": "beta_binomial", "seed": 8}),
    "mixture": PLAIN.replace({"model.likelihood": "logistic_mixture", "seed": 9}),
    "sigma": PLAIN.replace({"model.likelihood": "discretised_gaussian", "seed": 10}),
    "optimal": PLAIN.replace({"model.likelihood": "optimal_gaussian", "seed": 11}),
    "bounded": PLAIN.replace({"model.likelihood": "continuous_bernoulli", "seed": 12}),
}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Blobs of a random place and size, so that there is something to learn."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:28, :28]
    (x, y), size = rng.uniform(6, 22, (2, 1200, 1, 1)), rng.uniform(8, 40, (1200, 1, 1))
    blobs = 255 * np.exp(-((rows - x) ** 2 + (columns - y) ** 2) / size)
    return blobs.astype(np.uint8)[:, None]


@pytest.fixture(scope="module")
def sets(images: np.ndarray) -> tuple[Pixels, Pixels]:
    device = first_device()
    return Pixels(images[:1000], device=device), Pixels(images[1000:], device=device)


def world() -> World:
    return World(device=first_device())


def trained(config: TrialConfig, sets: tuple[Pixels, Pixels], resume: State | None = None) -> Run:
    run = Run(config, *sets, world(), resume)
    in_turns([run])
    return run


def assert_equal(ours: Run, theirs: Run) -> None:
    """To the bit."""
    assert timeless(ours.history) == timeless(theirs.history)
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(tensor, theirs.model.state_dict()[name]), name


@pytest.mark.parametrize("name", VARIED)
def test_a_captured_step_computes_what_an_eager_one_does(
    name: str, sets: tuple[Pixels, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = trained(VARIED[name], sets)
    monkeypatch.setattr(Step, "_capture", lambda _: None)
    eager = trained(VARIED[name], sets)
    assert captured.history[-1]["train_loss"] < captured.history[0]["train_loss"]
    band = 0.02 if VARIED[name].precision == "bf16" else 1e-3
    for ours, theirs in zip(timeless(captured.history), timeless(eager.history), strict=True):
        for key in ours.keys() - {"val_active_units"}:
            assert ours[key] == pytest.approx(theirs[key], rel=band, abs=1e-6), key


@pytest.mark.parametrize("name", VARIED)
def test_no_operation_lacks_a_deterministic_form(name: str, sets: tuple[Pixels, Pixels]) -> None:
    """One that lacks it is an error here."""
    torch.use_deterministic_algorithms(True)
    try:
        trained(VARIED[name].replace({"epochs": 1}), sets)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", VARIED)
def test_the_same_run_twice_is_the_same_to_the_bit(name: str, sets: tuple[Pixels, Pixels]) -> None:
    assert_equal(trained(VARIED[name], sets), trained(VARIED[name], sets))


@pytest.mark.parametrize("name", VARIED)
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    name: str, sets: tuple[Pixels, Pixels], tmp_path: Path
) -> None:
    config = VARIED[name]
    whole = trained(config, sets)
    for each in Run(config, *sets, world()).epochs():
        if isinstance(each, Epoch):
            checkpoint.save(tmp_path, checkpoint.snapshot(each, config))
            break
    state = checkpoint.load_latest(tmp_path, config, first_device())
    assert state is not None
    assert_equal(trained(config, sets, state), whole)


def test_a_pack_of_any_architectures_trains_each_to_the_bit_as_alone(sets: tuple[Pixels, Pixels]) -> None:
    runs = [Run(config, *sets, world()) for config in VARIED.values()]
    assert not in_turns(runs)
    for run, config in zip(runs, VARIED.values(), strict=True):
        assert_equal(run, trained(config, sets))


def snapshots(sets: tuple[Pixels, Pixels], *, wait: bool) -> list[checkpoint.Snapshot]:
    run, taken = Run(PLAIN, *sets, world()), []
    for each in run.epochs():
        if isinstance(each, Epoch):
            taken.append(checkpoint.snapshot(each, PLAIN))
            if wait:
                torch.cuda.synchronize()
    torch.cuda.synchronize()
    return taken


def test_a_state_is_copied_before_the_next_epoch_changes_it(sets: tuple[Pixels, Pixels]) -> None:
    """It is written while the next epoch trains already."""
    for ours, theirs in zip(snapshots(sets, wait=False), snapshots(sets, wait=True), strict=True):
        for name, tensor in theirs.model.items():
            assert torch.equal(ours.model[name], tensor), name
        for number, moments in theirs.optimizer["state"].items():
            for name, tensor in moments.items():
                assert torch.equal(ours.optimizer["state"][number][name], tensor), name


def test_a_long_run_is_the_same_beside_more_short_ones_than_there_are_streams(sets: tuple[Pixels, Pixels]) -> None:
    """What ends gives back its own stream's workspace, and no other's."""
    long = PLAIN.replace({"epochs": 12})
    run, short = Run(long, *sets, world()), VARIED["mlp"].replace({"epochs": 1, "batch_size": 250})
    turns = run.epochs()
    for seed in range(40):
        next(turns)
        assert not in_turns([Run(short.replace({"seed": seed}), *sets, world())])
        gc.collect()
    for _ in turns:
        pass
    assert_equal(run, trained(long, sets))


def test_a_set_that_is_too_large_for_the_gpu_is_fed_to_the_same_end(
    images: np.ndarray, sets: tuple[Pixels, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_DEVICE_SHARE", 0.0)
    fed = Pixels(images[:1000], device=first_device()), Pixels(images[1000:], device=first_device())
    assert not fed[0].is_on_device
    assert_equal(trained(PLAIN, fed), trained(PLAIN, sets))


def test_a_run_that_diverges_leaves_those_beside_it_alone(sets: tuple[Pixels, Pixels]) -> None:
    good, bad = Run(PLAIN, *sets, world()), Run(PLAIN.replace({"seed": 1}), *sets, world())
    nn.init.constant_(bad.model.encoder.mean.bias, math.nan)
    failed = in_turns([bad, good])
    assert failed.keys() == {0}
    assert failed[0].startswith("non-finite at epoch 1: train_loss = nan")
    assert_equal(good, trained(PLAIN, sets))


def test_a_run_that_finds_no_memory_leaves_those_beside_it_alone(sets: tuple[Pixels, Pixels]) -> None:
    good = Run(PLAIN, *sets, world())
    turns = good.epochs()
    next(turns)
    share = (torch.cuda.memory_reserved() + (256 << 20)) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    try:
        with pytest.raises(torch.OutOfMemoryError):
            trained(PLAIN.replace({"model.width": 512, "model.depth": 2, "batch_size": 1000}), sets)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    for _ in turns:
        pass
    assert_equal(good, trained(PLAIN, sets))


def freed() -> int:
    """Bytes that are taken once all that has ended is let go of."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()


def test_two_hundred_trials_in_turn_leave_no_memory_behind(sets: tuple[Pixels, Pixels]) -> None:
    config = VARIED["mlp"].replace({"epochs": 1, "model.widths": (64,), "batch_size": 250})
    taken = []
    for seed in range(200):
        trained(config.replace({"seed": seed}), sets)
        if seed in (9, 199):
            taken.append(freed())
    assert taken[1] <= taken[0]


def test_sixteen_plain_runs_take_less_than_four_gib(sets: tuple[Pixels, Pixels]) -> None:
    freed()
    torch.cuda.reset_peak_memory_stats()
    config = TrialConfig(model=ModelConfig(latent_dim=32), epochs=1)
    assert not in_turns([Run(config.replace({"seed": seed}), *sets, world()) for seed in range(16)])
    assert torch.cuda.max_memory_reserved() < 4 << 30


def test_how_many_runs_serve_a_gpu_best_is_measured(
    sets: tuple[Pixels, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was measured leaves no memory behind."""
    monkeypatch.setattr(pack, "load_pixels", lambda *_: sets)
    before = freed()
    assert pack.best_pack(PLAIN, None, 1) == 1
    assert pack.best_pack(PLAIN, None, 4) in (1, 2, 4)
    assert freed() <= before + (64 << 20)


def test_a_model_is_evaluated_as_on_a_cpu(images: np.ndarray, sets: tuple[Pixels, Pixels]) -> None:
    run = trained(PLAIN, sets)
    here = seeded_vae(PLAIN)
    here.load_state_dict({name: tensor.cpu() for name, tensor in run.model.state_dict().items()})
    sigma = calibrated_sigma(here, Pixels(images[1000:]), World())
    assert calibrated_sigma(run.model, sets[1], world()) == pytest.approx(sigma, rel=2e-3)
    ours, theirs = evaluate(run.model, sets[1], sigma, world()), evaluate(here, Pixels(images[1000:]), sigma, World())
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=2e-3), name
