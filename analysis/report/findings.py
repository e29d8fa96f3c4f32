"""What a study says, in sentences computed from its numbers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from analysis.figures.plane import RateDistortion, pca_sentence
from analysis.figures.registry import StudyContext
from analysis.figures.study import rate_curve
from analysis.figures.style import TITLES, of_pixels
from analysis.reading.best_runs import Run, longest
from analysis.reading.frames import complete_values, repeats_of
from analysis.reading.states import by_state
from analysis.reading.validation import column as of_epochs
from analysis.reading.validation import read_epochs
from analysis.report.front import front_trials
from analysis.report.mattered import edge_sentences, importance_sentence, listed, search_sentences
from analysis.report.multi_rate import curve_sentence
from analysis.report.tables import cause_of
from analysis.statistics.importance import Importance
from analysis.statistics.pareto import FLAT, below_chord, knee
from analysis.statistics.separability import separable

SAME_BITS = 5e-5  # bits per dimension that four digits do not show
_BINARISED = {"dynamic": "drawn anew at each step of training", "fixed": "drawn once", "threshold": "white above half"}
COLLAPSED_NATS = 1.0  # of rate, below which a code carries next to nothing
# Of what a training gained after its first epoch: from what share in its last one it may not have been over. A schedule
# that ends at 0 makes the last epoch the best as a rule, but by less.
_LAST_GAIN = 0.01


@dataclass(frozen=True)
class Findings:
    """What the study says, the answer first. There is an answer without a trial, too."""

    answer: list[str]
    """Which model to take, what mattered, and whether more of the study would change it, or where the front bends;
    or why that cannot be told. Without a complete trial that, and the cause of failures."""
    asked: str  # of which data, with which ranges
    notes: list[str]  # what one should know before one uses it


def findings(study: StudyContext, importance: Importance, plane: RateDistortion) -> Findings:
    """Of a study, what mattered in it, and its rate-distortion plane."""
    trials, searched = study.trials, study.searched_runs
    asked, unfinished = question(study), [*_unfinished(trials), *_older(study.record.base.definitions)]
    if not searched:
        none = f"No trial is complete{' yet' if any(_unfinished(trials)) else ''}, so there is no best model."
        return Findings([none, *_failures(trials)], asked, unfinished)
    mattered, bend, best = importance_sentence(importance), _bend(plane), searched[0]
    linear = [pca_sentence(plane)] if study.data and study.is_gaussian else []
    edges = edge_sentences(best, study.record)
    if not study.record.has_front:
        answer, last = [_best_trial(searched, study.repeats), mattered, bend], notes(best, study.final)
        if study.record.is_multi_rate:
            answer[0], answer[2] = _best_network(searched, study), curve_sentence(study.of(rate_curve.FIGURE))
            linear = []
        return Findings([it for it in answer if it], asked, [*unfinished, *last, *linear, *edges])
    grew, *pruned = search_sentences(study) or [""]
    front = front_trials(study)
    more = " ".join(filter(None, [grew, more_epochs(front, study), *edges]))
    answer = [to_take(study), mattered, more, *linear]
    return Findings([text for text in answer if text], asked, [*unfinished, bend, *pruned, *collapse(front)])


def _network(run: Run) -> str:
    """What of it is searched as a rule."""
    model = run.config.model
    kind = f"depth {model.depth}" if model.architecture == "convolutional" else model.architecture
    return f"latent size {model.latent_dim}, {kind}"


def to_take(study: StudyContext) -> str:
    """The models at the ends of the front and at its knee."""
    trials = front_trials(study)
    told = [run for run in trials if run.best["val_rate"] >= COLLAPSED_NATS] or trials
    bend = knee(*(np.array([run.best[name] for run in trials]) for name in ("val_rate", "val_distortion")))
    places = {"for a small code": told[0], "at the knee": None if bend is None else trials[bend]}
    places["for faithful pictures"] = min(trials, key=lambda run: run.best["val_distortion"])
    taken: dict[str, list[str]] = {}  # by run: where the front is short, one of them is the answer to two wishes
    for place, run in places.items():
        if run is not None:
            taken.setdefault(_told(longest(run, study.runs)), []).append(place)
    if len(trials) == 1:
        return f"The front of rate against distortion is one trial: {next(iter(taken))}."
    (first, wishes), *others = taken.items()
    parts = [f"{listed(wishes)} take {first}", *(f"{listed(wishes)} {run}" for run, wishes in others)]
    return f"{parts[0][0].upper()}{'; '.join(parts)[1:]}."


def _told(run: Run) -> str:
    return f"{run.label} ({run.best['val_rate']:.1f} nats of rate; {_network(run)})"


def question(study: StudyContext) -> str:
    """Data, images, epochs, ranges and seed, in a line."""
    record, data = study.record, study.data
    base, rows = record.base, None if data is None else len(data.training_rows())
    images = f", {rows:,} training images" if rows else ""
    if base.model.is_binary:
        images += f", binary ({_BINARISED[base.model.binarise]})"
    if "model.likelihood" not in record.space:
        images += f"; {base.model.likelihood_words} likelihood"
    ranges = [f"{TITLES.get(name, name)} {_range(found)}" for name, found in record.searched.items()]
    states, most = by_state(Counter(record.states)), "at most " if base.patience else ""
    return (
        f"{base.dataset}{images}; {most}{_counted(base.epochs, 'epoch')}; {', '.join(ranges)}; "
        f"{_counted(len(study.trials), 'trial')}{f' ({states})' if states else ''}, seed {record.info.get('seed', 0)}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _range(found: BaseDistribution) -> str:
    """What is searched, such as "0.1 to 20 (log)"."""
    if isinstance(found, CategoricalDistribution):
        return listed([*map(str, found.choices)], "or")
    assert isinstance(found, FloatDistribution | IntDistribution)
    return f"{found.low:g} to {found.high:g}{' (log)' * found.log}"


def _best_trial(searched: list[Run], repeats: pd.DataFrame) -> str:
    """And whether it is separable from the runner-up."""
    best = searched[0]
    bits = [run.best["val_bits_per_dim"] for run in searched[:2]]
    differ = len({run.config.model.density_words for run in searched}) > 1
    what = _network(best) + f", {best.config.model.density_words}" * differ
    said = f"The best trial is {best.label}, with KL weight {best.config.main_beta:.3g}, {what}: "
    said += f"{bits[0]:.4f} bits per dimension{of_pixels(best.config.model)} on the validation images"
    if len(searched) < 2:
        return f"{said}; no other is complete to compare it with."
    ahead, names = bits[1] - bits[0], [run.label for run in searched[:2]]
    fewer = f"{ahead:.4f} fewer than" if ahead >= SAME_BITS else "no fewer than"
    seeds = separability_clause(names, [repeats_of(repeats, run.number) for run in searched[:2]])
    return f"{said}, {fewer} the runner-up, {names[1]}; {seeds}."


def _best_network(searched: list[Run], study: StudyContext) -> str:
    """Of a multi-rate study, be it a final training: what the page's curve, table and slider show. And whether the best
    trial of the search is separable from the runner-up."""
    best, column = study.runs[0], study.record.judged_by
    values, names = [run.best[column] for run in searched[:2]], [run.label for run in searched[:2]]
    low, high = best.config.model.beta_range
    said = (
        f"The best network is {best.label} ({_network(best)}): its distortion + β rate is {best.best[column]:.3f} of a "
        f"linear model's, in the mean over KL weights from {low:g} to {high:g}"
    )
    if best.is_final:
        said += f"; that of the best trial of the search, {names[0]}, is {values[0]:.3f}"
    if len(values) < 2:
        return f"{said}; no other {'trial ' * best.is_final}is complete to compare it with."
    repeats = [repeats_of(study.repeats, run.number) for run in searched[:2]]
    seeds = separability_clause(names, repeats, column, "")
    return f"{said}, and that of the runner-up, {names[1]}, {values[1]:.3f}; {seeds}."


def separability_clause(
    names: list[str], repeats: list[pd.DataFrame], column: str = "val_bits_per_dim", unit: str = " bits"
) -> str:
    """Whether other seeds separate two trials, by a ``column`` of the repeats of each, and which is then better: not
    always the search's choice, as that was chosen for its value, which is low by chance too. A clause."""
    values, failed = (
        [complete_values(each, column) for each in repeats],
        sum(int((of["state"] == "FAIL").sum()) for of in repeats),
    )
    found, (one, other) = separable(*values), map(len, values)
    if found is None:
        if min(one, other) > 1:
            return "the repeats of each agree to the last digit, which cannot tell merit from luck"
        lost = f" ({failed} repeat{'s' * (failed > 1)} failed)" if failed else ""
        if one == other == 0:
            return f"one training of each{lost} cannot tell merit from luck{'' if failed else ' (--seeds 3 would)'}"
        return f"{one} and {other} repeats of them{lost} cannot tell merit from luck: each needs 2"
    gap = found.interval
    seeds = f"{one} other seeds each" if one == other else f"{one} and {other} other seeds"
    better = names[0] if gap.estimate > 0 else names[1]
    verdict = f"separable, and {better} is better" if found.separable else "not separable"
    return (
        f"with {seeds} the two are {verdict}: {names[1]} lies {gap.estimate:+.4f}{unit} from {names[0]}, "
        f"95% interval {gap.low:+.4f} to {gap.high:+.4f}"
    )


def notes(best: Run, final: Run | None) -> Iterator[str]:
    """Of the best trial: whether it uses its latents, whether more epochs would make it better, and what the final
    training did."""
    column, unit = ("val_relative_loss", "") if best.config.model.multi_rate else ("val_bits_per_dim", " bits")
    nats = best.best["val_rate"]
    if nats < COLLAPSED_NATS:
        # on images with a plain background, a model that draws it alone is ahead of those that have only begun to learn
        yield (
            f"The best trial's code carries {nats:.2f} nats an image, next to nothing, so this ranks models that "
            "ignore their latents: more epochs, more images or another learning rate may change the answer."
        )
    gained, share = last_gain(of_epochs(read_epochs(best.folder), column))
    if share >= _LAST_GAIN:
        yield (
            f"The best trial gained {gained:.4f}{unit} in its last epoch, {share:.1%} of what it gained since "
            "its first: more epochs may help."
        )
    if final:
        reached = final.best[column]
        change = reached - best.best[column]
        than = f"{abs(change):.4f} {'lower' if change < 0 else 'higher'} than" if abs(change) >= SAME_BITS else "as"
        length = len(read_epochs(final.folder))
        yield f"A final training of {length} epochs reached {reached:.4f}, {than} the best trial."


def more_epochs(front: list[Run], study: StudyContext) -> str:
    """Whether trials were still learning when they ended; empty where none was."""
    losses = [(run.config.main_beta, study.record.epochs[run.number]) for run in front]
    curves = [of_epochs(it, "val_distortion") + beta * of_epochs(it, "val_rate") for beta, it in losses]
    learning = sum(last_gain(curve)[1] >= _LAST_GAIN for curve in curves)
    if not learning:
        return ""
    return (
        f"{learning} of its {_counted(len(front), 'trial')} gained at least {_LAST_GAIN:.0%} of all their gain in the "
        "last epoch: more epochs may move it."
    )


def collapse(front: list[Run]) -> Iterator[str]:
    """A warning where no code of the front carries anything."""
    most = max(run.best["val_rate"] for run in front)
    if most < COLLAPSED_NATS:
        yield (
            f"No code of the front carries more than {most:.2f} nats an image, next to nothing, so these models ignore "
            "their latents: more epochs, more images or another learning rate may change the answer."
        )


def last_gain(values: np.ndarray) -> tuple[float, float]:
    """What the last epoch brought to the best so far, and its share of what all brought after the first; 0 where it
    brought nothing, and of fewer than 3 epochs, of which the last is most of the training. Takes (epochs,) of what is
    minimised."""
    if len(values) < 3 or not values[-1] < values[:-1].min():
        return 0.0, 0.0
    gained = float(values[:-1].min() - values[-1])
    return gained, gained / float(values[0] - values[-1])


def _unfinished(trials: pd.DataFrame) -> Iterator[str]:
    """A warning while there is more to come."""
    stopped = int((trials["state"] == "INTERRUPTED").sum())
    if not len(trials):
        yield "The study has no trials yet."
    elif stopped:
        left = "1 trial is interrupted" if stopped == 1 else f"{stopped} trials are interrupted"
        yield f"The search was stopped before its end, and these numbers may still change: {left}, and nobody runs it."
    elif trials["state"].isin(["RUNNING", "WAITING"]).any():
        yield "The search is not over, and these numbers may still change."


def _older(definitions: int) -> Iterator[str]:
    """What sets a study of an older version apart."""
    if definitions == 1:
        yield (
            "This study is by definitions 1: the calibrated likelihood's sigma is the residuals' root mean square, and "
            "an epoch is the best by its bits per dimension. It is not compared with newer ones."
        )


def _failures(trials: pd.DataFrame) -> Iterator[str]:
    """Why trials failed: the commonest cause."""
    cause, of, count = cause_of(trials)
    if count == 1:
        yield f"The cause of the failure: {cause}."
    elif count:
        share = f"cause of all {count}" if of == count else f"commonest cause, of {of} of {count}"
        yield f"The {share} failures: {cause}."


def _bend(plane: RateDistortion) -> str:
    """Where the front bends, how surely, and the price of a nat on either side; or why it has no bend."""
    k, front = plane.knee, plane.front
    if k is None:
        return no_knee_sentence(plane.rate[front], plane.distortion[front])
    surely = ""
    if plane.knee_share is not None:
        surely = f"; of the resamples of the trials that hold it, {plane.knee_share:.0%} bend there too"
    return (
        f"The front of rate against distortion bends at {plane.label[k]} (β {plane.beta[k]:.3g}, latent size "
        f"{plane.latent_dim[k]}), {plane.rate[k]:.1f} nats of rate an image: up to there each nat saves "
        f"{plane.price(front[0], k):.1f} nats of distortion, beyond it {plane.price(k, front[-1]):.1f}{surely}."
    )


def no_knee_sentence(rate: np.ndarray, distortion: np.ndarray) -> str:
    """Of a front's (F,), (F,)."""
    found = below_chord(rate, distortion)
    if found is None:
        points = len(np.unique(rate))
        words = f"it has {points} point{'s' * (points != 1)}, and a bend takes 3"
        return f"Whether the front of rate against distortion bends cannot be told: {words}."
    if found[1].min() >= -FLAT:
        return "The front of rate against distortion has no bend: its points lie on a line."
    words = "it bends outwards, so no trial is below the line between its ends"
    return f"The front of rate against distortion has no knee: {words}."
