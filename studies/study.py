"""A study as a declaration: what is searched, on what, with which budget."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, distribution_to_json, json_to_distribution
from optuna.samplers import BaseSampler
from optuna.study import create_study

from studies.sampling import SAMPLERS, START, MakeSampler, sampler_for
from trainables.config import MOST_EPOCHS, TrialConfig, idle
from trainables.data.datasets import image_shape
from trainables.metrics import Metrics
from trainables.objective import OBJECTIVES, Constraint, named, values
from trainables.space import check_space, describe, extremes

WITH_OPTION = ("epochs", "limit_train", "limit_val", "seed")
"""Fields of the base configuration that have an option, too."""
# what all trials of a study share
_OF_ALL = {"model.image_shape", "model.binarise", "model.multi_rate", "model.beta_range"}
_FIXED = {"seed", "dataset", "image_size", "limit_val", "held_out", "definitions"} | _OF_ALL
_FINALS = {"rate_distortion": 3, "bits_per_dim": 1, "multi_rate": 1}
_MEDIAN = 0.5  # of the peers, by which multi-rate trials are pruned
_SPREAD = 3.0  # of the learning rates that are searched around a base's, either way
_MULTI_RATE = "_multi_rate"  # at the end of a study's name
_ARCHITECTURE = "model.architecture"
_OF_MODELS = {"latent_dim", "depth", "width", "prior", "pseudo_inputs"}  # of the priors the last by name takes the most
_SIZES = {"batch_size", "importance_samples", *(f"model.{name}" for name in _OF_MODELS)}
_MOST_SEEDS = 99
_MOST_TRIALS = 100_000  # a seed of more would be another's repeat: see `TrialConfig.of_repeat`


@dataclass(frozen=True, kw_only=True)
class Study:
    """A search over ``space`` around ``base``. Raises: ValueError where the space names no field, or holds a value that
    a field refuses.

    Args:
        name: also the name of its folder under ``runs/``.
        base: the configuration that the space varies.
        space: dotted paths of `TrialConfig` to Optuna distributions.
        objective: of `trainables.objective.OBJECTIVES`; None is the folder's own, of a new one rate and distortion.
        prune: the quantile of `studies.search.pruning`; 0 prunes nothing.
        where: what trials must keep to, as `trainables.objective.Constraint` parses it.
        sampler: an Optuna sampler of a seed, asked from trial `studies.sampling.START` on.
        trials: how many trials to run in all.
        final: how many trials to train again for ``final_epochs``; None is 3 of the front, or the best alone.
        final_epochs: length of these last trainings; 0 leaves them out.
        seeds: how often to train each of three of the front, or of the best, again, each time with another seed.
        seed: of the search; trial n trains with seed ``base.seed + n``.
    """

    name: str
    base: TrialConfig
    space: Mapping[str, BaseDistribution]
    objective: str | None = None
    prune: float = 0.25
    where: Sequence[str] = ()
    sampler: MakeSampler = SAMPLERS["tpe"]
    trials: int = 16
    final: int | None = None
    final_epochs: int = 20
    seeds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_counts()
        named(self.minimised)
        if (self.minimised == "multi_rate") != self.base.model.multi_rate:
            asked = "of multi-rate networks" if self.base.model.multi_rate else "without multi-rate networks"
            way_out = "give --multi-rate" if self.minimised == "multi_rate" else "leave --multi-rate out"
            raise ValueError(f"a study {asked} cannot minimise {self.minimised}\n{way_out}, or another --out")
        if not 0 <= self.prune < 1:
            raise ValueError(f"prune must be a quantile from 0 to below 1, got {self.prune}")
        _check_limits(self.limits, self.base.model.multi_rate)
        if not callable(self.sampler):
            raise ValueError(f"sampler must be a function of a seed, got {self.sampler!r:.80}")
        if self.objective == "rate_distortion" and "model.likelihood" in self.space:
            raise ValueError(
                "rate and distortion cannot be searched with model.likelihood: distortions under two likelihoods "
                "cannot be compared\ngive --objective bits_per_dim, which can"
            )
        for path, distribution in self.space.items():
            if path in _FIXED:
                raise ValueError(f"{path} cannot be searched: trials that differ in it cannot be compared")
            for value in extremes(distribution):
                if isinstance(value, (list, tuple)):  # neither Optuna nor a table compares them
                    raise ValueError(f"{path} cannot be searched: its values must be numbers or names, got {value}")
        check_space(self.base, self.space)

    def _check_counts(self) -> None:
        at_least(1, trials=self.trials)
        at_least(0, final_epochs=self.final_epochs, final=self.final, seeds=self.seeds, seed=self.seed)
        counts = {"trials": (self.trials, _MOST_TRIALS), "seeds": (self.seeds, _MOST_SEEDS)}
        counts["final_epochs"] = (self.final_epochs, MOST_EPOCHS)
        for name, (value, most) in counts.items():
            if value > most:
                raise ValueError(f"{name} must be at most {most:,}, got {value:,}")

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Study":
        """The same study around another base. A searched path that is set is searched no more; another data set brings
        its own image shape and study name. Raises: UserError for a data set that does not exist; ValueError for a
        path or value that the config refuses."""
        if "model.image_shape" in overrides:
            raise ValueError("--set model.image_shape must be left to the data set\nset dataset or image_size")
        overrides = {**idle(overrides), **overrides}  # what its network has no use for is neither set nor searched
        base, name = self.base.replace(overrides), self.name
        if base.dataset != self.base.dataset:  # ASCII: Ray Train takes no other names for its runs
            words = re.sub(r"[^a-z0-9]+", "_", PurePath(base.dataset).name.lower()).strip("_")
            name = f"{words or 'images'}_vae{_MULTI_RATE * self.base.model.multi_rate}"
        base = base.replace({"model.image_shape": image_shape(base.dataset, base.image_size)})
        space = {path: d for path, d in self.space.items() if path not in overrides}
        return replace(self, name=name, base=base, space=space)

    def multi_rate(self) -> "Study":
        """The same question asked of networks for every KL weight: the weights that are searched become their range,
        and the learning rate is searched instead. Raises: ValueError where the base cannot be trained so."""
        if self.base.model.multi_rate:
            return self
        space, base = dict(self.space), self.base.replace({"beta": 1.0, "kl_warmup": 0.0, "model.multi_rate": True})
        if beta := space.pop("beta", None):
            base = base.replace({"model.beta_range": tuple(extremes(beta))})
        space.setdefault("lr", FloatDistribution(base.lr / _SPREAD, base.lr * _SPREAD, log=True))
        prune = _MEDIAN if self.prune == Study.prune else self.prune
        return replace(self, name=self.name + _MULTI_RATE, base=base, space=space, objective="multi_rate", prune=prune)

    @property
    def minimised(self) -> str:
        """The objective's name."""
        return self.objective or ("multi_rate" if self.base.model.multi_rate else "rate_distortion")

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics that are minimised."""
        return OBJECTIVES[self.minimised]

    @property
    def limits(self) -> list[Constraint]:
        """What trials must keep to, always in the same order. Raises: ValueError for text that is no limit."""
        return sorted(map(Constraint.of, self.where), key=str)

    def values(self, config: TrialConfig, best: Metrics) -> list[float]:
        """What the search is told of a trial, by its best epoch."""
        return values(self.minimised, config, best)

    def sampler_at(self, number: int, *position: int) -> BaseSampler:
        """See `studies.sampling.sampler_for`."""
        make = None if self.base.definitions == 1 else self.sampler
        designed = ("beta",) if len(self.objectives) > 1 else ()
        return sampler_for(number, self.space, make, self.seed, *position, designed=designed)

    def check_sampler(self) -> None:
        """Try a sampler of the user's own on a few trials. Raises: ValueError where it cannot be used."""
        if self.sampler in SAMPLERS.values():
            return
        try:
            if not isinstance(sampler := self.sampler(0), BaseSampler):
                raise TypeError(f"it makes {sampler!r:.80}, which is no Optuna sampler")
            tried = create_study(directions=["minimize"] * len(self.objectives), sampler=sampler)
            for number in range(START + 2):
                trial = tried.ask(dict(self.space))
                tried.tell(trial, [float(number + objective) for objective, _ in enumerate(self.objectives)])
        except Exception as error:  # whatever it raises
            raise ValueError(f"sampler cannot be used for {' and '.join(self.objectives)}: {error}") from error

    @property
    def finals(self) -> int:
        """How many trials to train once more at the end."""
        return (_FINALS[self.minimised] if self.final is None else self.final) if self.final_epochs else 0

    def by_definitions(self, version: int | None, objective: str | None = None) -> "Study":
        """The same study by the definitions of a folder, or of a new one where it is None; with its ``objective`` where
        none is asked. Raises: ValueError for what those of definitions 1 do not know, and for a space that two
        objectives cannot have."""
        if version != 1 and self.base.definitions > 1:
            if (objective == "multi_rate") != self.base.model.multi_rate:
                objective = None  # of another study, as will be said
            return replace(self, objective=self.objective or objective or self.minimised)
        newer = {
            "--objective rate_distortion": self.objective == "rate_distortion",
            "--prune": self.prune != Study.prune,
            "--where": bool(self.where),
            "--sampler": self.sampler is not SAMPLERS["tpe"],
            "--final": (self.final or 0) > 1,
            "--multi-rate": self.base.model.multi_rate,
        }
        if asked := [option for option, is_asked in newer.items() if is_asked]:
            raise ValueError(
                f"{asked[0]} is not for a study by definitions 1, which minimises the bits per dimension, prunes by "
                "the median of the peers, and trains the best once more"
            )
        objective = self.objective or "bits_per_dim"
        return replace(self, base=self.base.replace({"definitions": 1}), objective=objective)

    def _architectures(self) -> list[Any]:
        if _ARCHITECTURE in self.space:
            return extremes(self.space[_ARCHITECTURE])
        return [self.base.model.architecture]

    def largest(self) -> TrialConfig:
        """The base with the most of everything that takes memory."""
        most = {path: max(extremes(self.space[path])) for path in _SIZES & self.space.keys()}
        convolutions = min(self._architectures())  # if there are any, as the first by name
        return self.base.of_trial(0, {_ARCHITECTURE: convolutions, **most})

    def smallest(self) -> TrialConfig:
        """The base with the least of it, but for the batch: small ones take longer."""
        least = {path: min(extremes(self.space[path])) for path in (_SIZES - {"batch_size"}) & self.space.keys()}
        linear = [kind for kind in self._architectures() if kind == "linear"]
        return self.base.of_trial(0, {_ARCHITECTURE: linear[0] if linear else max(self._architectures()), **least})

    def question(self) -> dict[str, Any]:
        """What makes this study this one, as JSON values: a study folder answers one question only."""
        return {
            "name": self.name,
            "objective": self.minimised,
            "prune": self.prune,
            "where": list(map(str, self.limits)),
            "sampler": _name(self.sampler),
            "seed": self.seed,
            "base": self.base.model_dump(mode="json"),
            "space": {path: distribution_to_json(d) for path, d in self.space.items()},
        }

    @classmethod
    def of_question(cls, question: Mapping[str, Any], **plan: Any) -> "Study":
        """The study that asks a recorded question; what an older record lacks takes its default. Raises: ValueError,
        KeyError, TypeError, AttributeError for what is no question."""
        space = {path: json_to_distribution(text) for path, text in question["space"].items()}
        base = TrialConfig.of_record(question["base"])
        asked = {name: question[name] for name in ("seed", "prune", "where") if name in question}
        sampler = SAMPLERS.get(question.get("sampler", ""), cls.sampler)
        asked |= {"objective": named(question.get("objective", "bits_per_dim")), "sampler": sampler}
        return cls(name=question["name"], base=base, space=space, **asked, **plan)

    def differences(self, question: Mapping[str, Any]) -> list[str]:
        """What a recorded question asks otherwise, a line each, as values and not as text. Raises: as `of_question`."""
        asked = self.of_question(question).question()
        asked["sampler"] = question.get("sampler", asked["sampler"])  # a function of the user's own has its name alone
        before, now = _flat(asked), _flat(self.question())
        lines = (
            f"{_asked_by(key)}: {_said(key, before, now)} in the folder, {_said(key, now, before)} now"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        )
        return list(dict.fromkeys(lines))  # one seed is of the search and of the trainings


def _name(sampler: MakeSampler) -> str:
    """What study.json and the command line call it; a user's own by its module and name."""
    known = (name for name, make in SAMPLERS.items() if make is sampler)
    name = getattr(sampler, "__qualname__", type(sampler).__qualname__)  # an object that is called has none
    return next(known, f"{sampler.__module__}.{name}")


def _check_limits(limits: Sequence[Constraint], is_multi_rate: bool) -> None:
    """Raises: ValueError for limits that nothing keeps to, and for one of what only multi-rate networks measure."""
    if own := [limit for limit in limits if limit.name == "val_relative_loss" and not is_multi_rate]:
        raise ValueError(f"--where must name what these networks measure, got {own[0]}\nadd --multi-rate")
    for most in [limit for limit in limits if limit.sense == "<="]:
        for least in [limit for limit in limits if limit.sense == ">=" and limit.name == most.name]:
            if least.limit > most.limit:
                raise ValueError(f"--where must leave room, got {least} and {most}\nleave out one")


def _asked_by(key: str) -> str:
    """The option that a value of a question is given by, or its path."""
    path = key.removeprefix("base.")
    if path in WITH_OPTION or key in ("objective", "prune", "where", "sampler"):
        return f"--{path.replace('_', '-')}"
    return key if path == key else f"--set {path}"


def _said(key: str, values: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
    """A value of a question, for a person who compares it with another's."""
    if key not in values or not key.startswith("space."):
        return values.get(key, "not there")
    said = describe(json_to_distribution(values[key]))
    is_known_by_it = key not in others or said != describe(json_to_distribution(others[key]))
    return said if is_known_by_it else values[key]  # they differ in kind or step alone


def _flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested values by dotted path."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return found


def at_least(low: int, **values: float | None) -> None:
    """Raises: ValueError for a value below ``low``; None means that there is none."""
    for name, value in values.items():
        if value is not None and not value >= low:
            raise ValueError(f"{name} must be at least {low}, got {value}")
