"""A folder keeps the definitions, and the objective, that it began with."""

from __future__ import annotations

import functools
import shlex
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import NSGAIISampler, TPESampler
from support.commands import ROOT, script
from support.small_study import CONFIG, row, session, study, train

from studies.digits_vae import STUDY
from studies.record.study_folder import StudyFolder
from studies.run.checks import is_finished
from studies.run.retraining import final_trainings, repeats
from studies.sampling import SAMPLERS
from studies.search.lifecycle import Lifecycle, search_trials
from studies.search.pruning import Peers
from studies.study import Study
from trainables.config import TrialConfig
from trainables.errors import UserError
from trainables.metrics import Metrics
from trainables.records.trial_folder import TrialFolder

WRITTEN = ROOT / "tests/fixtures/version_1"
SETTINGS = {"model.width": 4, "model.latent_dim": 3, "lr": 0.01, "limit_train": 200, "limit_val": 50, "epochs": 4}
TYPED = (
    *("--set", "model.width=4", "--set", "model.latent_dim=3", "--set", "lr=0.01", "--limit-train", "200"),
    *("--limit-val", "50", "--epochs", "4"),
)
LIKELIHOODS = {"model.likelihood": CategoricalDistribution(("gaussian", "laplace"))}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    return shutil.copytree(WRITTEN, tmp_path / "version_1")


def asked(**fields: Any) -> Study:
    """The study of the older folder, as a command of today asks it."""
    study = STUDY.with_overrides(SETTINGS)
    return Study(**{**vars(study), "name": "digits_vae", "trials": 9, "final_epochs": 5, "seeds": 1, **fields})


def test_a_folder_of_before_goes_on_under_its_own(older: Path) -> None:
    """Its ninth trial, which was interrupted after an epoch, then what followed: all by definitions 1."""
    folder = StudyFolder(older)
    planned = folder.own_definitions(asked())
    assert (planned.base.definitions, planned.minimised, planned.finals) == (1, "bits_per_dim", 1)
    before = {path: path.read_bytes() for path in older.glob("trials/000[0-7]/*") if path.is_file()}
    opened = session(older, planned, folder.claim(planned)["id"])
    peers = Mock(side_effect=AssertionError("by definitions 1 the ledger prunes"))
    trainings = Lifecycle(opened, [search_trials(opened), repeats(opened), final_trainings(opened, 1)])
    begun = []

    def measure(config: TrialConfig, epoch: int) -> Metrics:
        assert config.definitions == 1
        return row(epoch, 1 + config.beta / 10 + 1 / epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Peers, "prune", peers)
        while (job := trainings.next_job()) is not None:
            begun.append((job.id, job.recorded))
            train(trainings, job, measure)
    assert begun[0] == ("8", 1)
    assert begun[-1] == ("final training", 0)
    eighth = opened.ledger.all()[8]
    assert sorted(eighth.intermediate_values) == [each["epoch"] for each in TrialFolder(folder.layout.trial(8)).rows()]
    assert [path.name for path in folder.layout.trials.glob("final*")] == ["final"]
    assert {path: path.read_bytes() for path in before} == before
    assert is_finished(opened.ledger, opened.folder)


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"objective": "rate_distortion"}, "--objective rate_distortion"),
        ({"prune": 0.5}, "--prune"),
        ({"prune": 0.0}, "--prune"),
        ({"where": ["val_rate<=20"]}, "--where"),
        ({"sampler": SAMPLERS["gp"]}, "--sampler"),
        ({"final": 2}, "--final"),
    ],
)
def test_what_definitions_1_do_not_know_is_two_lines(older: Path, fields: dict[str, Any], option: str) -> None:
    with pytest.raises(UserError, match=f"^{option} is not for a study by definitions 1") as refused:
        StudyFolder(older).own_definitions(asked(**fields))
    assert len(str(refused.value).splitlines()) == 2
    assert StudyFolder(older.with_name("new")).own_definitions(asked(**fields)).base.definitions == 2


def test_a_way_out_that_is_given_is_given_once(tmp_path: Path) -> None:
    likelihoods = {"model.likelihood": CategoricalDistribution(("gaussian", "laplace"))}
    with pytest.raises(UserError, match=r"^rate and distortion cannot .*\ngive --objective bits_per_dim, which can$"):
        StudyFolder(tmp_path / "new").own_definitions(asked(space=likelihoods))


def test_the_older_objective_may_be_said(older: Path) -> None:
    planned = StudyFolder(older).own_definitions(asked(objective="bits_per_dim", sampler=SAMPLERS["tpe"], prune=0.25))
    StudyFolder(older).claim(planned)


def test_a_new_study_may_be_by_definitions_1(tmp_path: Path) -> None:
    base = CONFIG.replace({"definitions": 1})
    planned = StudyFolder(tmp_path).own_definitions(study(base=base))
    assert planned.minimised == "bits_per_dim"
    with pytest.raises(UserError, match=r"^--where is not for a study by definitions 1"):
        StudyFolder(tmp_path).own_definitions(study(base=base, where=["val_mse<=1"]))


@pytest.mark.parametrize("objective", ["rate_distortion", "bits_per_dim"])
def test_the_same_command_without_an_objective_has_the_folders(tmp_path: Path, objective: str) -> None:
    planned = study(objective=objective)
    StudyFolder(tmp_path).claim(StudyFolder(tmp_path).own_definitions(planned))
    again = StudyFolder(tmp_path).own_definitions(study())
    assert again.minimised == objective
    StudyFolder(tmp_path).claim(again)
    other = next(name for name in ("bits_per_dim", "rate_distortion") if name != objective)
    with pytest.raises(UserError, match=f"holds another study: --objective: {objective} in the folder, {other} now"):
        StudyFolder(tmp_path).claim(StudyFolder(tmp_path).own_definitions(study(objective=other)))


def test_another_study_s_folder_says_where_its_command_is(tmp_path: Path) -> None:
    StudyFolder(tmp_path).claim(study(), trials=4, seeds=0, final={"epochs": 0, "workers": 1, "trials": 0})
    with pytest.raises(UserError) as refused:
        StudyFolder(tmp_path).claim(study(base=CONFIG.replace({"epochs": 7})))
    what, way_out = str(refused.value).splitlines()
    assert what.endswith(f"holds another study: --epochs: {CONFIG.epochs} in the folder, 7 now")
    shown = script(*shlex.split(way_out.partition("`")[2].removesuffix("`"))[1:], cwd=ROOT)
    assert "go on by" in shown.stdout, shown.stderr


def test_a_likelihood_is_searched_for_one_number_alone(older: Path, tmp_path: Path) -> None:
    searched = {"space": {**STUDY.space, **LIKELIHOODS}}
    with pytest.raises(ValueError, match=r"rate and distortion cannot be searched with model\.likelihood"):
        asked(objective="rate_distortion", **searched)
    with pytest.raises(UserError, match=r"rate and distortion cannot be searched with model\.likelihood"):
        StudyFolder(tmp_path / "new").own_definitions(asked(**searched))
    assert asked(objective="bits_per_dim", **searched).minimised == "bits_per_dim"
    assert StudyFolder(older).own_definitions(asked(**searched)).minimised == "bits_per_dim"


def test_limits_are_compared_as_values(tmp_path: Path) -> None:
    StudyFolder(tmp_path).claim(study(where=["val_rate<=20", "val_mse<=0.1"]))
    StudyFolder(tmp_path).claim(study(where=["val_mse <= .1", "val_rate <= 20.0 nats"]))
    with pytest.raises(UserError, match=r"where: .*val_rate<=20.* in the folder, .*val_rate<=21.* now"):
        StudyFolder(tmp_path).claim(study(where=["val_rate<=21", "val_mse<=0.1"]))


def test_a_sampler_of_ones_own_is_known_by_its_name(tmp_path: Path) -> None:
    def of_seed(candidates: int, seed: int) -> TPESampler:
        return TPESampler(n_ei_candidates=candidates, seed=seed)

    own = functools.partial(of_seed, 12)
    StudyFolder(tmp_path).claim(study(sampler=own))
    StudyFolder(tmp_path).claim(study(sampler=functools.partial(of_seed, 12)))
    with pytest.raises(UserError, match=r"sampler: .* in the folder, tpe now"):
        StudyFolder(tmp_path).claim(study())
    assert isinstance(study(sampler=own, objective="bits_per_dim").sampler_at(99), TPESampler)


def test_a_sampler_that_cannot_be_used_is_refused_before_a_trial() -> None:
    with pytest.raises(ValueError, match="sampler must be a function of a seed, got 'tpe'"):
        study(sampler="tpe")
    study(sampler=lambda seed: TPESampler(seed=seed)).check_sampler()
    study(sampler=lambda seed: NSGAIISampler(seed=seed), objective="bits_per_dim").check_sampler()
    for make in (lambda seed: [][seed], lambda _: None):
        with pytest.raises(ValueError, match="sampler cannot be used for val_rate and val_distortion: "):
            study(sampler=make).check_sampler()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--objective", "rate_distortion"), "--objective rate_distortion is not for a study by definitions 1"),
        (("--prune", "0.5"), "--prune is not for a study by definitions 1"),
        (("--where", "val_rate<=20"), "--where is not for a study by definitions 1"),
        (("--sampler", "gp"), "--sampler is not for a study by definitions 1"),
    ],
)
def test_a_command_that_asks_an_older_folder_for_more_leaves_it_alone(
    older: Path, options: tuple[str, ...], message: str
) -> None:
    before = {path: path.read_bytes() for path in older.rglob("*") if path.is_file()}
    done = script(ROOT / "studies/digits_vae.py", *TYPED, "--out", older, *options, cwd=older.parent)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 2
    assert {path: path.read_bytes() for path in older.rglob("*") if path.is_file()} == before


@pytest.mark.heavy
def test_a_plan_is_that_of_the_folders_definitions(older: Path) -> None:
    plan = script(ROOT / "studies/digits_vae.py", *TYPED, "--out", older, "--dry-run", cwd=older.parent)
    assert plan.returncode == 0, plan.stderr
    assert "val_bits_per_dim" in plan.stdout
    assert "pruned by the median of their peers" in plan.stdout
    fresh = script(ROOT / "studies/digits_vae.py", *TYPED, "--out", older, "--dry-run", "--fresh", cwd=older.parent)
    assert "val_rate and val_distortion" in fresh.stdout
