"""How the front of a study of two objectives stands, as a person who watches it is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.statistics.pareto import hypervolume, knee, reference_point
from studies.record.ledger import Trials
from trainables.config import used

_RECENT = 10  # trials by whose share of the area a person sees whether the front still grows


@dataclass(frozen=True)
class Front:
    """The complete trials that no other beats in rate and distortion both; nats per image, the distortion with the
    likelihood's constant, as `val_distortion` has it.

    The area is what the front dominates, from the `reference_point` of the trials so far. As that moves with the
    front's ends, areas of two moments cannot be compared. So whether the front grows is said from one reference,
    today's: which share of today's area the ``recent`` last of the complete trials, by number, have added; 0 where they
    added nothing."""

    numbers: list[int]  # the lowest rate first
    rates: tuple[float, float]  # the lowest and the highest
    trial: int  # where more rate begins to buy less; one in the middle of a front that does not bend
    is_knee: bool
    rate: float  # of that trial, and so the next two
    distortion: float
    parameters: Mapping[str, Any]
    hypervolume: float | None  # nats squared; None of a single point
    recent: int
    added: float | None  # from 0 to 1
    is_beyond_limits: bool  # no complete trial keeps to them

    @classmethod
    def of(cls, trials: Trials) -> "Front | None":
        """None where no trial is complete, or one number is minimised."""
        trials = Trials(trials.plan, trials.all())  # one reading of a storage
        front = trials.front()
        if not front:
            return None
        done, values = trials.eligible()
        rate, distortion = values[:, 0], values[:, 1] + trials.plan.base.model.distortion_constant
        reference, chosen = reference_point((rate, distortion)), trials.chosen(1)[0]
        at = next(n for n, trial in enumerate(done) if trial.number == chosen.number)
        rates, recent = [trial.values[0] for trial in front], min(_RECENT, len(done) // 2)
        area = hypervolume(rate, distortion, reference) if rates[0] < rates[-1] else None
        before = hypervolume(rate[: len(done) - recent], distortion[: len(done) - recent], reference)
        return cls(
            numbers=[trial.number for trial in front],
            rates=(rates[0], rates[-1]),
            trial=chosen.number,
            is_knee=knee(rate, distortion) is not None,
            rate=float(rate[at]),
            distortion=float(distortion[at]),
            parameters=used(chosen.params),
            hypervolume=area,
            recent=recent,
            added=max(0.0, 1 - before / area) if area else None,
            is_beyond_limits=any(value > 0 for value in chosen.constraints.values()),
        )

    @property
    def extent(self) -> str:
        """For people: "5 trials, rate 1.2 to 31 nats; area 920 nats², 4 % of it by the last 10 trials"."""
        low, high = (f"{rate:.3g}" for rate in self.rates)
        text = (
            f"{len(self.numbers)} trial{'s' * (len(self.numbers) > 1)}{', beyond the limits' * self.is_beyond_limits}"
        )
        text += f", rate {low}{f' to {high}' * (low != high)} nats"
        if self.hypervolume is not None:
            text += f"; area {_short(self.hypervolume)} nats²"
        if self.added is not None:
            last = f"last {self.recent} trials" if self.recent > 1 else "last trial"
            text += f", {self.added:.1%} of it by the {last}"
        return text

    @property
    def place(self) -> str:
        """What the chosen trial is of the front."""
        return "knee" if self.is_knee else "middle" if len(self.numbers) > 1 else "only"

    @property
    def knee(self) -> str:
        """For people: "trial 7: rate 8.1 nats, distortion 95 nats; beta 0.8  latent_dim 12"."""
        found = f"trial {self.trial}: rate {self.rate:.2f} nats, distortion {self.distortion:.2f} nats"
        return f"{found}; {short(self.parameters)}" if self.parameters else found


def short(parameters: Mapping[str, Any]) -> str:
    """{"beta": 0.1234, "model.depth": 1} -> "beta 0.123  depth 1"."""
    shown = {path: f"{value:.3g}" if isinstance(value, float) else value for path, value in parameters.items()}
    return "  ".join(f"{path.rpartition('.')[2]} {value}" for path, value in shown.items())


def _short(area: float) -> str:
    return f"{area:,.0f}" if area >= 1000 else f"{area:.3g}"
