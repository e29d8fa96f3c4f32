"""How far trainings are, and how long a study still takes by what they took so far."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal, get_args

from trainables.metrics import Metrics
from trainables.slots.messages import Underway

Stage = Literal["search", "repeats", "finals"]  # of a study, in this order


@dataclass
class Progress:
    """Of a training that runs."""

    parameters: Mapping[str, Any]
    stage: Stage
    epochs: int  # planned
    began: float  # by `time.monotonic`
    row: Metrics = field(default_factory=dict)  # of its last epoch
    best: float = math.inf  # by `trainables.objective.SCORES`
    seconds: float = 0.0  # that its epochs took
    told: float = 0.0  # when a line last said where it is
    _underway: Underway | None = None

    def measured(self, row: Metrics, value: float) -> None:
        """Another epoch has ended, of such a value."""
        self.row, self.best = row, min(self.best, value)
        self.seconds += row["epoch_seconds"]

    def moved(self, underway: Underway) -> None:
        """It is within an epoch."""
        self._underway = underway

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return int(self.row.get("epoch", 0))

    @property
    def underway(self) -> Underway | None:
        """Within the epoch after the last that has ended; None before anything is known of that. Another thread may
        end the epoch meanwhile: read it once."""
        found = self._underway
        return found if found and found.epoch == self.epoch + 1 else None

    @property
    def done(self) -> float:
        """Epochs, with the part of the one that runs."""
        found = self.underway
        return found.epoch - 1 + found.share if found else self.epoch

    @property
    def images_per_second(self) -> float | None:
        """Of the epoch that runs, or of the last; None before there was one."""
        found = self.underway
        return found.images_per_second if found else self.row.get("images_per_second")

    @property
    def epoch_seconds(self) -> float | None:
        """What an epoch takes, by its own so far."""
        if self.row:
            return self.seconds / self.epoch
        found = self.underway
        return found.seconds / found.share if found else None


@dataclass
class _Planned:
    """The trainings of a stage."""

    left: int = 0  # that have not ended; those that run are among them
    epochs: int = 0  # of each
    speed: float = 1.0  # of an epoch, as a multiple of the search's
    alone: bool = False  # one after another
    seconds: float = 0.0  # that epochs took
    measured: int = 0  # so many epochs


class TimeLeft:
    """Seconds until the planned trainings of all stages have ended, and the report is drawn. A trial of the search
    takes what those before it took, pruned ones among them, and what has run for longer than it takes what the longer
    ones took; other trainings go on to their last epoch, as if patience ended none before, each of which takes what
    epochs took so far: of its own stage, or, before there was one, of the others at its ``speed``. Slots that open are
    not in it."""

    def __init__(self) -> None:
        self.at_once = 1  # trainings
        self.report = 0.0  # seconds that the report takes after them
        self._stages: dict[Stage, _Planned] = {stage: _Planned() for stage in get_args(Stage)}
        self._took: list[float] = []  # seconds of each trial of the search that has ended

    def plan(self, stage: Stage, left: int, epochs: int, speed: float = 1.0, alone: bool = False) -> None:
        """Of a stage so many trainings have not ended, each of so many epochs, which are ``speed`` times as fast as the
        search's; they run one after the other where each is ``alone``."""
        planned = self._stages[stage]
        planned.epochs, planned.speed, planned.alone = epochs, speed, alone
        self.expect(stage, left)

    def expect(self, stage: Stage, left: int) -> None:
        """So many of its trainings have not ended."""
        self._stages[stage].left = max(0, left)

    def measured(self, stage: Stage, seconds: float) -> None:
        """An epoch took so long."""
        planned = self._stages[stage]
        planned.seconds, planned.measured = planned.seconds + seconds, planned.measured + 1

    def ended(self, progress: Progress) -> None:
        """A training has ended, however."""
        planned = self._stages[progress.stage]
        planned.left = max(0, planned.left - 1)
        if progress.stage == "search":
            self._took.append(time.monotonic() - progress.began)

    def seconds(self, running: Sequence[Progress]) -> float | None:
        """None while nothing is known of how long an epoch takes, or where nothing is left."""
        parts = [self._stage_seconds(stage, running) for stage, planned in self._stages.items() if planned.left]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        trainings = max(1.0, sum(known)) if known else 0.0  # something is left
        return trainings + self.report or None

    def _stage_seconds(self, stage: Stage, running: Sequence[Progress]) -> float | None:
        planned, epoch = self._stages[stage], self._epoch_seconds(stage, running)
        whole = fmean(self._took) if stage == "search" and self._took else epoch and planned.epochs * epoch
        if whole is None or epoch is None:
            return None
        live = [self._rest(each, epoch) for each in running if each.stage == stage]
        waiting = max(0, planned.left - len(live))
        abreast = max(1, min(1 if planned.alone else self.at_once, len(live) + waiting))
        return max([(sum(live) + waiting * whole) / abreast, *live])

    def _rest(self, progress: Progress, epoch: float) -> float:
        """What a training that runs still takes."""
        to_the_end = (progress.epochs - progress.done) * (progress.epoch_seconds or epoch)
        ran = time.monotonic() - progress.began
        longer = [took - ran for took in self._took if took > ran] if progress.stage == "search" else []
        return min(to_the_end, fmean(longer)) if longer else to_the_end

    def _epoch_seconds(self, stage: Stage, running: Sequence[Progress]) -> float | None:
        """What an epoch of a stage takes."""
        planned = self._stages[stage]
        if planned.measured:
            return planned.seconds / planned.measured
        known = [(each.stage, each.epoch_seconds) for each in running]  # once: another thread may end an epoch
        paces = [(of, pace) for of, pace in known if pace is not None]
        if own := [pace for of, pace in paces if of == stage]:
            return fmean(own)
        others = [each.speed * each.seconds / each.measured for each in self._stages.values() if each.measured]
        others = others or [self._stages[of].speed * pace for of, pace in paces]
        return fmean(others) / planned.speed if others else None
