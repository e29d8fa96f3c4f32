"""About how long a study takes here, before it begins: by what the smallest and the largest trial of its space take."""

import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from analysis.reading.validation import flat
from studies.run.options import Options
from studies.run.retraining import REPEATED
from studies.study import Study
from trainables.slots.resources import SlotResources
from trainables.text import spoken
from trainables.training.probe import Pace, paces

# share of the trials that a look at them leaves, as a power of the quantile: at 0.25 three quarters go on. Studies of 8
# epochs a trial trained 40 to 73 % of them; the second power is of the fewest
_KEPT, _KEPT_AT_LEAST = 0.2, 0.35
_FIRST = 6  # trials that nothing prunes, for want of peers
_SMALL = {"model.width": 16, "batch_size": 32, "image_size": 32}  # of the study to try on a laptop
_SMALL_OPTIONS = {"limit_train": 4000, "limit_val": 1000, "trials": 6, "epochs": 2, "final_epochs": 4}
_SLOWEST, _PIXELS = 100, 32 * 32  # images a second, of a large model on a few cores; of so many pixels


@dataclass(frozen=True)
class Estimate:
    """Seconds of a whole study, and what they follow from."""

    smallest: Pace
    largest: Pace
    low: float  # all trials are as the smallest, and pruning takes most of them
    seconds: float  # trials are halfway between the two, and pruning does as it did elsewhere
    high: float  # all are as the largest, and none is pruned
    terms: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """For a person."""
        return [f"about {spoken(self.seconds)}, from {spoken(self.low)} to {spoken(self.high)}", *self.terms]


def images_to_train(study: Study, available: int) -> int:
    """How many images all trainings of a study take, if nothing is pruned."""
    base, again = study.base, study.seeds * min(REPEATED, study.trials)
    epochs = (study.trials + again) * base.epochs + min(study.finals, study.trials) * study.final_epochs
    return epochs * min(base.limit_train or available, available)


def may_take_long(study: Study, available: int) -> bool:
    """Whether it might take more than an hour on a CPU, of a model as slow as they are: whether measuring is of use."""
    size = max(1.0, math.prod(study.base.model.image_shape[1:]) / _PIXELS)
    return images_to_train(study, available) * size > 3600 * _SLOWEST


def estimated(study: Study, options: Options, slots: int, slot: SlotResources, report: float = 0.0) -> Estimate:
    """Measure, and add up: trials share the ``slots``, and so do what is trained again and longer; its ``report`` takes
    so many seconds. What a study does besides (slots that open, checkpoints) is not in it, nor what slots on one
    machine cost each other. Raises: UserError as `paces`."""
    smallest, largest = paces(
        [study.smallest(), study.largest()], options.data_dir, slot.workers * slot.cpus_per_worker
    )
    fast, slow = sorted((smallest, largest), key=lambda pace: pace.seconds)  # a few steps may have it the other way
    each = [fast.seconds * (1 - fast.error), (fast.seconds + slow.seconds) / 2, slow.seconds * (1 + slow.error)]
    low, seconds, high = (
        epoch * _epochs(study, kept, slots) + report for epoch, kept in zip(each, _kept(study.prune), strict=True)
    )
    error = max(smallest.error, largest.error)
    place = "GPU" if largest.device == "cuda" else f"{slot.workers * slot.cpus_per_worker} core(s)"
    terms = [
        f"an epoch took {spoken(smallest.seconds)} (smallest trial) to {spoken(largest.seconds)} (largest) on {place}, "
        f"by a few steps, +- {error:.0%}",
        f"{slots} trial(s) at once, {'pruning leaves half of the epochs or so' if study.prune else 'none pruned'}; "
        "slots slow each other, which is not in it",
        *["if patience ends none before its last epoch"] * bool(study.base.patience),
        *[f"the report takes about {spoken(report)} of it"] * bool(report),
    ]
    return Estimate(smallest, largest, low, seconds, high, tuple(terms))


def _kept(prune: float) -> list[float]:
    """Shares of the trials that a look at them leaves: at least, probably, at most."""
    return [prune**_KEPT_AT_LEAST, prune**_KEPT, 1.0] if prune else [1.0, 1.0, 1.0]


def _epochs(study: Study, kept: float, slots: int) -> float:
    """Epochs one after another, of as many slots as there are trainings for."""
    whole = study.base.epochs
    ends = [*(2**look for look in range(whole.bit_length()) if 2**look < whole), whole]
    pruned = sum((end - start) * kept**look for look, (start, end) in enumerate(pairwise([0, *ends])))
    first = min(_FIRST, study.trials)
    search = first * whole + (study.trials - first) * pruned
    again = study.seeds * min(REPEATED, study.trials) * whole
    finals = min(study.finals, study.trials)
    longer = finals * study.final_epochs / min(slots, finals) if finals else 0.0
    return float(search / min(slots, study.trials) + again / slots + longer)


def smaller(study: Study, folder: Path) -> dict[str, str]:
    """Options, by name (``--set FIELD`` for a field), that make a study one of minutes on a laptop, in a folder of its
    own."""
    found, base = dict[str, str](), flat(study.base)
    for path, most in _SMALL.items():
        is_used = path != "model.width" or base["model.architecture"] == "convolutional"
        if is_used and (base[path] or 0) > most and path not in study.space:
            found[f"--set {path}"] = str(most)
    for name, most in _SMALL_OPTIONS.items():
        value = getattr(study, name, base.get(name))
        if (math.inf if value is None else value) > most:
            found[f"--{name.replace('_', '-')}"] = str(most)
    if study.finals > (most := _SMALL_OPTIONS["trials"]):
        found["--final"] = str(most)
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    # beside a mount, what a container writes is lost, or not allowed
    has_place = not os.path.ismount(folder) and (os.access(folder.parent, os.W_OK) or not folder.parent.exists())
    return found | {"--out": os.fspath((folder.parent if has_place else Path("runs")) / f"{folder.name}_small")}
