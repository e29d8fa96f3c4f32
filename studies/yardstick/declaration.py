"""What a yardstick is: published figures, the protocol by which they came about, and how ours is measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from optuna.distributions import BaseDistribution

from studies.study import Study
from trainables.config import TrialConfig

SEEDS = 3
_QUICK_EPOCHS, _QUICK_SAMPLES, _QUICK_IMAGES = 4, 20, 200
_QUICK: dict[str, Any] = {"limit_train": 2000, "limit_val": 500}
Measure = Literal["nats", "bits", "water_filling"]  # of `studies.yardstick.measuring.MEASURES`


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number that is measured of each complete training, and what was published of it; the lower, the better."""

    quantity: str  # the name under which `Yardstick.measure` has it
    title: str
    unit: str
    published: float
    error: float = 0.0  # the published standard deviation, where there is one
    published_to: float | None = None  # the other end, of a range
    tolerance: float = 0.0  # by which ours may differ from it, where trainings are no seeds
    source: str
    is_target: bool = True  # False: of another kind of model, beside which ours stands


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One study of a yardstick: the same configuration with several seeds, or at several KL weights."""

    study: Study
    figures: tuple[Figure, ...]


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """A published protocol. ``departures`` says in which points ours is another."""

    name: str
    protocol: str
    departures: str = ""
    variants: tuple[Variant, ...]
    measure: Measure
    samples: int = 1  # of each test image's posterior
    images: int | None = None  # to measure on at most; None: all
    has_seeds: bool = True  # or a training for each KL weight
    quick_fields: Mapping[str, Any] = field(default_factory=dict)  # of the quick version's configuration
    is_quick: bool = False

    def with_seeds(self, seeds: int) -> "Yardstick":
        """The same with so many trainings of each variant. Raises: ValueError where the trainings are no seeds."""
        if not self.has_seeds:
            trials = self.variants[0].study.trials
            way_out = f"{self.name} has {trials} trainings, each at a KL weight of its own"
            raise ValueError(f"--seeds must be left out for {self.name}, got {seeds}\n{way_out}")
        return self._replaced(lambda study: replace(study, trials=seeds))

    def quick(self) -> "Yardstick":
        """A version of minutes, whose numbers are no figures: few images, few epochs, one seed."""

        def shorter(study: Study) -> Study:
            fields = {"epochs": _QUICK_EPOCHS, "patience": None, **_QUICK, **self.quick_fields}
            base = study.base.replace(fields)
            return replace(study, name=f"{study.name}_quick", base=base, trials=1 if self.has_seeds else 2)

        samples, images = min(self.samples, _QUICK_SAMPLES), min(self.images or _QUICK_IMAGES, _QUICK_IMAGES)
        found = replace(self, name=f"{self.name}_quick", samples=samples, images=images, is_quick=True)
        return found._replaced(shorter)

    def _replaced(self, change: Callable[[Study], Study]) -> "Yardstick":
        return replace(self, variants=tuple(replace(each, study=change(each.study)) for each in self.variants))


def variant(
    name: str, base: TrialConfig, *figures: Figure, space: Mapping[str, BaseDistribution] | None = None, trials: int = 0
) -> Variant:
    """Of a configuration, with `SEEDS` seeds; or so many ``trials`` over a space. Nothing is pruned."""
    study = Study(name=name, base=base, space=space or {}, trials=trials or SEEDS, prune=0.0, final_epochs=0)
    return Variant(study=study, figures=figures)
