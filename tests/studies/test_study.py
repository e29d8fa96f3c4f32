"""A study as a declaration."""

from __future__ import annotations

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from support.small_study import CONFIG, study

from studies.run.checks import check_data
from studies.run.options import Options
from trainables.config import TrialConfig, used
from trainables.errors import UserError
from vae_models import ModelConfig


def test_a_space_is_checked_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="no field of ModelConfig"):
        study(space={"model.detph": CategoricalDistribution((1,))})
    with pytest.raises(ValueError, match="latent_dim"):
        study(space={"model.latent_dim": CategoricalDistribution((0, 1))})
    with pytest.raises(ValueError, match="seed cannot be searched"):
        study(space={"seed": CategoricalDistribution((0, 1))})
    binary = TrialConfig(model=ModelConfig(likelihood="bernoulli", binarise="fixed"))
    with pytest.raises(
        ValueError, match=r"model\.binarise cannot be searched: trials that differ in it cannot be comp"
    ):
        study(base=binary, space={"model.binarise": CategoricalDistribution(("fixed", "threshold"))})
    with pytest.warns(UserWarning, match="Choices"):  # Optuna's own word on them
        lists = CategoricalDistribution(((20,), (40,)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"model\.widths cannot be searched.*got \(20,\)"):
        study(space={"model.widths": lists})


def test_a_space_has_fields_of_every_architecture_that_it_draws() -> None:
    linear = TrialConfig(model=ModelConfig(architecture="linear"))
    with pytest.raises(ValueError, match="depth must be 0 with architecture linear, which has none, got 1"):
        study(base=linear, space={"model.depth": IntDistribution(0, 1)})
    both = CategoricalDistribution(("convolutional", "linear", "mlp"))
    only = CategoricalDistribution(("linear", "mlp"))
    with pytest.raises(
        ValueError, match=r"model\.depth can be searched with model\.architecture convolutional, got li"
    ):
        study(base=linear, space={"model.architecture": only, "model.depth": IntDistribution(0, 1)})
    searched = study(base=linear, space={"model.architecture": both, "model.latent_dim": IntDistribution(2, 8)})
    assert searched.largest().model == ModelConfig(latent_dim=8)
    # what has been set is searched no more
    space = {"beta": FloatDistribution(0.1, 1), "model.depth": IntDistribution(0, 1)}
    plain = study(base=TrialConfig(), space=space)
    assert list(plain.with_overrides({"model.architecture": "mlp", "model.depth": 0}).space) == ["beta"]


def test_what_another_network_has_no_use_for_goes_with_it() -> None:
    """A script's own width and depth are of its convolutions; what is typed beside an mlp is refused as ever."""
    convolutional = TrialConfig(model=ModelConfig(width=16, depth=1))
    space = {"beta": FloatDistribution(0.1, 1), "model.depth": IntDistribution(0, 1)}
    for base in (convolutional, convolutional.replace({"model.activation": "relu"})):
        dense = study(base=base, space=space).with_overrides({"model.architecture": "mlp"})
        assert dense.base.model == ModelConfig(architecture="mlp", activation=base.model.activation)
        assert list(dense.space) == ["beta"]
    with pytest.raises(ValueError, match="width must be 32 with architecture mlp, which has none, got 8"):
        study(base=convolutional, space=space).with_overrides({"model.architecture": "mlp", "model.width": 8})


def test_the_way_out_names_what_is_at_fault() -> None:
    space = {
        "beta": FloatDistribution(0.1, 1),
        "model.latent_dim": IntDistribution(2, 8),
        "lr": FloatDistribution(1e-4, 1),
    }
    way_out = "change the space, or leave beta out of it, as --set beta=VALUE does"
    with pytest.raises(ValueError, match=rf"^beta must be 1 .*\n{way_out}$"):
        study(base=TrialConfig(importance_samples=5), space=space)


def test_a_field_is_searched_beside_the_choice_that_has_it() -> None:
    """Each trial takes those of the drawn values that its choices have, and the base's own alike."""
    space = {
        "model.likelihood": CategoricalDistribution(("logistic_mixture", "beta_binomial", "discretised_gaussian")),
        "model.components": IntDistribution(2, 9),
        "model.learnt_sigma": CategoricalDistribution(("one", "channel")),
        "model.prior": CategoricalDistribution(("vamp", "standard_normal")),
        "model.pseudo_inputs": IntDistribution(20, 80),
        "model.architecture": CategoricalDistribution(("linear", "convolutional")),
        "model.depth": IntDistribution(0, 2),
    }
    base = TrialConfig(model=ModelConfig(width=8))
    searched = study(base=base, space=space, objective="bits_per_dim")
    drawn = {"model.components": 7, "model.learnt_sigma": "channel", "model.pseudo_inputs": 30, "model.depth": 2}
    chosen = {
        "model.likelihood": "logistic_mixture",
        "model.prior": "standard_normal",
        "model.architecture": "convolutional",
    }
    mixture = ModelConfig(likelihood="logistic_mixture", components=7, width=8, depth=2)
    assert searched.base.of_trial(3, drawn | chosen).model == mixture
    assert used(drawn | chosen) == chosen | {"model.components": 7, "model.depth": 2}
    chosen = {"model.likelihood": "discretised_gaussian", "model.prior": "vamp", "model.architecture": "linear"}
    linear = {"architecture": "linear", "likelihood": "discretised_gaussian", "learnt_sigma": "channel"}
    assert searched.base.of_trial(3, drawn | chosen).model == ModelConfig(**linear, prior="vamp", pseudo_inputs=30)
    assert searched.smallest().model == ModelConfig(architecture="linear")
    assert searched.largest().model == ModelConfig(width=8, depth=2, prior="vamp", pseudo_inputs=80)


def test_values_of_a_space_go_together_in_pairs() -> None:
    both = CategoricalDistribution(("standard_normal", "vamp"))
    base = TrialConfig()
    assert study(base=base, space={"model.prior": both, "lr": FloatDistribution(1e-4, 1e-2)}).largest().model.prior == (
        "vamp"
    )
    with pytest.raises(ValueError, match=r"pseudo_inputs must be 500 with prior standard_normal.*got 20"):
        study(base=base, space={"model.pseudo_inputs": CategoricalDistribution((20, 50))})
    with pytest.raises(ValueError, match=r"importance_samples must be a whole number, got 20\.6"):  # unlike its ends
        study(base=base, space={"importance_samples": FloatDistribution(1, 50)})
    with pytest.raises(ValueError, match=r"model\.depth must be searched among its own values, got '0'"):
        study(base=base, space={"model.depth": CategoricalDistribution(("0", "1"))})
    with pytest.raises(ValueError, match=r"free_bits must be 0 with model\.prior vamp.*got 0\.5"):
        study(base=base, space={"model.prior": both, "free_bits": FloatDistribution(0.0, 0.5)})
    samples = CategoricalDistribution((1, 5, 50))
    assert study(base=base, space={"importance_samples": samples}).largest().importance_samples == 50
    with pytest.raises(
        ValueError,
        match=r"beta must be 1 with importance_samples 5, .*, got 0\.1\nchange the space, or leave beta out of it",
    ):
        study(base=base, space={"importance_samples": samples, "beta": FloatDistribution(0.1, 1.0)})
    vamp = TrialConfig(model=ModelConfig(prior="vamp"))
    searched = study(base=vamp, space={"model.pseudo_inputs": IntDistribution(10, 100)})
    assert (searched.smallest().model.pseudo_inputs, searched.largest().model.pseudo_inputs) == (10, 100)


def test_a_prior_of_more_components_than_images_is_refused_before_anything_begins() -> None:
    vamp = TrialConfig(model=ModelConfig(prior="vamp", pseudo_inputs=30), limit_train=40)
    check_data(study(base=vamp, space={}), Options())
    for asked in (
        study(base=vamp.replace({"limit_train": 29}), space={}),
        study(base=vamp, space={"model.pseudo_inputs": IntDistribution(10, 41)}),
        study(base=TrialConfig(limit_train=40), space={"model.prior": CategoricalDistribution(("vamp",))}),
    ):
        with pytest.raises(UserError, match=r"pseudo_inputs must be at most the (29|40) training images.*\nset fewer"):
            check_data(asked, Options())


def test_a_study_of_ones_own_images_has_a_name_that_ray_takes() -> None:
    assert study().with_overrides({"dataset": "imagefolder:/x/my photos é"}).name == "my_photos_vae"
    assert study().with_overrides({"dataset": "imagefolder:/x/写真"}).name == "images_vae"


def test_every_weight_at_once_is_the_same_question_of_other_networks() -> None:
    space = {"beta": FloatDistribution(0.05, 5.0, log=True), "model.depth": IntDistribution(0, 1)}
    plain = study(base=TrialConfig(lr=0.003), space=space)
    found = plain.multi_rate()
    assert found.name == f"{plain.name}_multi_rate"
    assert found.base.model == ModelConfig(multi_rate=True, beta_range=(0.05, 5.0))
    assert found.base.main_beta == pytest.approx(0.5)
    assert list(found.space) == ["model.depth", "lr"]
    assert found.objectives == ("val_relative_loss",)
    assert (found.prune, found.finals, plain.prune) == (0.5, 1, 0.25)
    assert study(base=TrialConfig(), space=space, prune=0.1).multi_rate().prune == 0.1
    searched = study(base=TrialConfig(), space={"lr": FloatDistribution(1e-4, 1e-2)}).multi_rate()
    assert searched.space == {"lr": FloatDistribution(1e-4, 1e-2)}
    assert searched.base.model.beta_range == (0.1, 10.0)
    assert found.multi_rate() is found
    assert study(base=TrialConfig(kl_warmup=0.3), space=space).multi_rate().base.kl_warmup == 0
    assert found.with_overrides({"dataset": "imagefolder:/x/pictures"}).name == "pictures_vae_multi_rate"
    assert type(found).of_question(found.question()).question() == found.question()


def test_multi_rate_networks_have_their_own_objective_and_no_searched_weight() -> None:
    base = TrialConfig(model=ModelConfig(multi_rate=True))
    with pytest.raises(ValueError, match="cannot minimise rate_distortion\nleave --multi-rate out"):
        study(base=base, space={}, objective="rate_distortion")
    with pytest.raises(ValueError, match="cannot minimise multi_rate\ngive --multi-rate"):
        study(objective="multi_rate")
    with pytest.raises(ValueError, match=r"beta must be 1 with model\.multi_rate"):
        study(base=base, space={"beta": FloatDistribution(0.1, 1.0)})
    for path, value in (("model.multi_rate", True), ("model.beta_range", 1)):
        with pytest.raises(ValueError, match=f"{path} cannot be searched"):
            study(base=base, space={path: CategoricalDistribution((value,))})
    networks = study(base=base, space={})
    with pytest.raises(ValueError, match="--multi-rate is not for a study by definitions 1"):
        networks.by_definitions(1)
    for asked, in_the_folder, own in (
        (study(), "multi_rate", "rate_distortion"),
        (networks, "bits_per_dim", "multi_rate"),
    ):
        assert asked.by_definitions(2, in_the_folder).minimised == own  # and the folder is found to be another study's
    limit = ["val_relative_loss<=1.2"]
    assert study(base=base, space={}, where=limit).question()["where"] == limit
    with pytest.raises(ValueError, match=r"got val_relative_loss<=1\.2\nadd --multi-rate"):
        study(where=limit)


def test_differences_are_named() -> None:
    other = study(base=CONFIG.replace({"lr": 0.5}))
    assert study().differences(study().question()) == []
    assert other.differences(study().question()) == ["--set lr: 0.001 in the folder, 0.5 now"]


def test_what_another_question_searches_is_said_as_a_person_reads_it() -> None:
    asked = study()
    others = {
        "beta: 0.1 to 10, log scale in the folder, 0.1 to 5 now": {"beta": FloatDistribution(0.1, 5)},
        "beta: 0.1 to 10, log scale in the folder, not there now": {},
        "lr: not there in the folder, 0.1, 0.2 now": {**asked.space, "lr": CategoricalDistribution((0.1, 0.2))},
    }
    for said, space in others.items():
        assert f"space.{said}" in study(space=space).differences(asked.question())
    steps = study(space={"beta": IntDistribution(1, 10)})
    (kinds,) = study(space={"beta": IntDistribution(1, 10, step=3)}).differences(steps.question())
    assert '"step": 1' in kinds
    assert '"step": 3' in kinds
