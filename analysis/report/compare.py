"""Studies beside each other: which of several answers better."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.figures.plane import RateDistortion, compute_rate_distortion, likelihoods, points
from analysis.figures.plotly_style import add_line
from analysis.figures.registry import StudyContext
from analysis.figures.study.rate_distortion import add_runs, frame_chart
from analysis.figures.style import OKABE_ITO, SYMBOLS
from analysis.progress import ShowStep, Steps
from analysis.reading.best_runs import Run
from analysis.reading.frames import complete_trials, repeats_of
from analysis.reading.study_record import read_study
from analysis.report.compare_rates import AgainstPlain, add_network, against_chart, against_plain
from analysis.report.findings import SAME_BITS, separability_clause
from analysis.report.listing import COUNTS, counts_of, typed
from analysis.report.page import render_template, rendered_charts, shown
from analysis.statistics.excess import front_excess
from analysis.statistics.pareto import reference_point
from analysis.statistics.resampling import Interval
from trainables.errors import OptionError, UserError
from trainables.records.atomic_files import write_atomic
from trainables.text import legible

_PIXELS = {"none": "grey", "fixed": "binary, each drawn once", "threshold": "binary, white above half"}
_FRONTS = ["hypervolume", "hypervolume_low", "front_excess", "front_excess_low", "front_excess_high"]
_BEST = ["val_bits_per_dim", "val_rate", "val_distortion", "val_nelbo", "val_relative_loss", "final_bits_per_dim"]
_KINDS = dict.fromkeys(["beta", *_FRONTS, *_BEST, "hours"], "float64")
_COLUMNS = ["study", "dataset", "likelihood", "binarise", "trials", *COUNTS.values(), "epochs", "front", *_FRONTS]
_COLUMNS += ["best_trial", "beta", "latent_dim", "depth", *_BEST, "hours", "folder"]


@dataclass(frozen=True)
class Compared:
    """One study of a comparison."""

    name: str
    study: StudyContext
    plane: RateDistortion  # without final trainings; with the reference that all studies of the comparison share
    excess: Interval | None
    """The mean over its front's trials of D + beta R minus the lowest that the other studies' trials have at the same
    beta, nats per image: below 0 the front is better. See `analysis.statistics.excess.front_excess`."""

    @property
    def best(self) -> Run | None:
        """The best trial of the search; of two objectives the knee of its front, or its middle."""
        return next(iter(self.study.searched_runs), None)

    @property
    def row(self) -> dict[str, object]:
        """Of `Comparison.table`, which chooses among these."""
        study, record = self.study, self.study.record
        row: dict[str, object] = {"study": self.name, "folder": str(record.folder), "dataset": record.base.dataset}
        row |= counts_of(study.trials)
        row |= {"epochs": record.base.epochs, "hours": study.trials["seconds"].sum() / 3600}
        if not record.is_multi_rate:  # each of its trials is a curve, and not a point of a front
            row["front"] = int(self.plane.is_front.sum())
        if best := self.best:
            row |= {
                "best_trial": best.number,
                "beta": best.config.main_beta,
                **best.config.model.model_dump(),
                **best.best,
            }
        if study.final:
            row["final_bits_per_dim"] = study.final.best["val_bits_per_dim"]
        if (area := self.plane.hypervolume) and not record.is_multi_rate:
            row |= {"hypervolume": area.estimate, "hypervolume_low": area.low}
        if it := self.excess:
            row |= {"front_excess": it.estimate, "front_excess_low": it.low, "front_excess_high": it.high}
        return row


@dataclass(frozen=True)
class Comparison:
    """Several studies, and what they say together."""

    studies: list[Compared]  # as they were given
    comparable: bool  # whether all were validated on the same pixels: bits per dimension of others say nothing together

    @property
    def pixels(self) -> dict[str, str]:
        """What each study's validation images are made of, by its name."""
        return {each.name: _PIXELS[each.study.record.base.model.held_out_pixels] for each in self.studies}

    @property
    def several_definitions(self) -> bool:
        """Whether the studies calibrate their likelihood, and choose their epochs, by different definitions."""
        return len({study.study.record.base.definitions for study in self.studies}) > 1

    @property
    def likelihoods(self) -> list[str]:
        """Those under which the studies measure their distortions, by name."""
        return _likelihoods([study.study for study in self.studies])

    @property
    def by_fronts(self) -> bool:
        """Whether all have two objectives: their fronts are the answer, and no single trial."""
        return all(study.study.record.has_front for study in self.studies)

    @cached_property
    def networks(self) -> list[AgainstPlain]:
        """Of each study of multi-rate networks, against each of plain trials."""
        if not self.comparable:
            return []
        pairs = [(each.name, each.study) for each in self.studies]
        many, plain = ([it for it in pairs if it[1].record.is_multi_rate is wanted] for wanted in (True, False))
        found = [against_plain(one, other) for one in many for other in plain]
        return [it for it in found if it is not None]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a study: ``study folder dataset likelihood binarise`` (str), ``trials complete pruned failed running
        interrupted epochs front best_trial latent_dim depth`` (Int64), ``hypervolume hypervolume_low front_excess
        front_excess_low front_excess_high beta val_bits_per_dim val_rate val_distortion val_nelbo val_relative_loss
        final_bits_per_dim hours`` (float64, NaN where unknown). ``front`` counts its trials; ``likelihood``,
        ``binarise`` and ``beta`` to ``val_relative_loss`` are of ``best_trial``, of two objectives the knee of the
        front, of a multi-rate network at the middle of its KL weights. Nats per image, nats squared. See `Compared`."""
        frame = typed([study.row for study in self.studies], _COLUMNS, _KINDS)
        if self.comparable:
            return frame
        return frame.assign(hypervolume=np.nan, hypervolume_low=np.nan)  # each has a reference of its own

    @cached_property
    def findings(self) -> list[str]:
        """Sentences, the answer first."""
        if len(set(self.pixels.values())) > 1:
            which = ", ".join(f"those of {name} are {pixels}" for name, pixels in self.pixels.items())
            return [
                f"These studies were not validated on the same pixels: {which}. Their bits per dimension, rates and "
                "distortions cannot be compared, and each stands here for itself."
            ]
        if not self.comparable:
            return [
                "These studies were not validated on the same images"
                f"{' by the same definitions' * self.several_definitions}: their bits per dimension, rates and "
                "distortions cannot be compared, and each stands here for itself."
            ]
        found = [(study, study.best) for study in self.studies if study.best]
        if len(found) < 2:
            return ["Fewer than two of these studies have a complete trial: there is nothing to compare yet."]
        ranked = [study for study, _ in found]
        if any(study.study.record.is_multi_rate for study in ranked):
            sentences = [*(it.sentence for it in self.networks), *_best_networks(found)]
            if len(self.likelihoods) > 1:
                sentences.append(f"{self._differing}: a network is compared with trials of its own likelihood alone.")
        else:
            sentences = [*self._front_findings(ranked)] if self.by_fronts else [*_best_trials(found), *_areas(ranked)]
        if len({(len(study.study.trials), study.study.record.base.epochs) for study in self.studies}) > 1:
            sentences.append("Their budgets of trials and epochs differ, which favours the larger.")
        return sentences

    @property
    def _differing(self) -> str:
        return f"Their likelihoods differ ({', '.join(self.likelihoods)}), and so does what their distortions mean"

    def _front_findings(self, studies: list[Compared]) -> Iterator[str]:
        """Of studies of two objectives, those with a complete trial."""
        if len(self.likelihoods) > 1:
            yield (
                f"{self._differing}: their fronts are not ranked, and are drawn by what all of them share, the nats of "
                "pixels as they are: an exact likelihood's own, and of a density those under a calibrated Gaussian, "
                "which it has not minimised."
            )
            yield _fewest_bits(studies)
            return
        yield from _excesses(studies)
        yield from _areas(studies)


def _best_networks(found: list[tuple[Compared, Run]]) -> Iterator[str]:
    """Of studies of multi-rate networks, which has the best one; where their KL weights differ, that this cannot be
    told."""
    many = [(run.best["val_relative_loss"], study, run) for study, run in found if study.study.record.is_multi_rate]
    many.sort(key=lambda it: it[0])
    if len({run.config.model.beta_range for _, _, run in many}) > 1:
        yield "Their networks are for different ranges of KL weights, over which their losses cannot be compared."
    elif len(many) > 1:
        parts = [f"{run.label} of {study.name} {loss:.3f}" for loss, study, run in many]
        yield (
            f"Of a linear model's loss, in the mean over the KL weights, the best networks reach: {', '.join(parts)}; "
            "one training of each cannot tell merit from luck."
        )


def _fewest_bits(studies: list[Compared]) -> str:
    """Of studies with a complete trial each."""
    bits = [(complete_trials(it.study.trials).set_index("number")["val_bits_per_dim"], it.name) for it in studies]
    found = sorted((values.min(), f"trial {values.idxmin()} of {name}") for values, name in bits)
    parts = [f"{name} {fewest:.4f}" for fewest, name in found]
    return f"The fewest bits per dimension: {', '.join(parts)}; one training of each cannot tell merit from luck."


def _best_trials(found: list[tuple[Compared, Run]]) -> Iterator[str]:
    """Which study has the best trial, and whether it is separable from the next study's."""
    found = sorted(found, key=lambda pair: pair[1].best["val_bits_per_dim"])
    (first, best), (second, _) = found[:2]
    bits, other_bits = (run.best["val_bits_per_dim"] for _, run in found[:2])
    behind = f"lies {other_bits - bits:.4f} behind" if other_bits - bits >= SAME_BITS else "is as good"
    names = [f"{run.label} of {study.name}" for study, run in found[:2]]
    seeds = separability_clause(names, [repeats_of(study.study.repeats, run.number) for study, run in found[:2]])
    yield (
        f"The best trial is {best.label} of {first.name}, {bits:.4f} bits per dimension; the best of {second.name} "
        f"{behind}."
    )
    yield f"{seeds[0].upper()}{seeds[1:]}."


def _excesses(studies: list[Compared]) -> Iterator[str]:
    """Whose front is better at its own KL weights, and whether that hangs on a few trials."""
    known = [(study.excess, study.name) for study in studies if study.excess]
    known.sort(key=lambda pair: pair[0].estimate)
    if len(known) < 2:
        yield "Whose front is better cannot be told yet: that takes 2 complete trials of each study."
        return
    (best, name), (next_best, other) = known[:2]
    verdict = f"The front of {name} is better than that of {other}"
    if best.high >= next_best.low:
        verdict = f"The fronts of {name} and {other} are not separable"
    elif len(known) > 2:
        verdict = f"The best front is that of {name}, before that of {other}"
    rivals = "the other studies have" if len(known) > 2 else "the other study has"
    yield (
        f"{verdict}: at its own KL weights that of {name} is {_side(best)} all that {rivals}, that of {other} "
        f"{_side(next_best)}."
    )
    yield (
        "These are means over a front's trials of distortion + β rate minus the lowest of the others' trials at the "
        f"same β, with 95% intervals from {best.low:+.2f} to {best.high:+.2f} and from {next_best.low:+.2f} to "
        f"{next_best.high:+.2f}."
    )


def _side(excess: Interval) -> str:
    """Such as "3.10 nats an image below"."""
    return f"{abs(excess.estimate):.2f} nats an image {'below' if excess.estimate < 0 else 'above'}"


def compare_studies(folders: Sequence[Path | str], progress: ShowStep = lambda *_: None) -> Comparison:
    """Read several studies. Those of the same validation images are measured by one reference. Raises: UserError for
    fewer than two folders, the same folder twice, or as `analysis.load_trials`."""
    paths = [Path(folder).resolve() for folder in folders]
    if len(paths) < 2:
        raise OptionError(f"a comparison needs at least 2 studies, got {len(paths)}\ngive another")
    for path in paths:
        if paths.count(path) > 1:
            raise OptionError(f"a study cannot be compared with itself, got {path} twice\nleave out one")
    steps, studies = Steps(progress, len(paths) + 1), []
    for path in paths:
        steps(f"reading {path.name}")
        studies.append(StudyContext(read_study(path)))
    steps("comparing")
    bases = [study.record.base for study in studies]
    images = {(it.dataset, it.image_size, it.limit_val, it.model.held_out_pixels, it.definitions) for it in bases}
    comparable = len(images) == 1
    return Comparison(_compared([*map(legible, labels(paths))], studies, comparable), comparable)


def _likelihoods(studies: list[StudyContext]) -> list[str]:
    return sorted(set().union(*map(likelihoods, studies)))


def _compared(names: list[str], studies: list[StudyContext], comparable: bool) -> list[Compared]:
    """In the plane of what all minimised; of several likelihoods, in the calibrated one; each in its own where they
    cannot be compared."""
    several = len(_likelihoods(studies)) > 1
    planes = [several if comparable else len(likelihoods(study)) > 1 for study in studies]
    measured = [points(study, calibrated) for study, calibrated in zip(studies, planes, strict=True)]
    by_fronts = comparable and not several and not any(study.record.is_multi_rate for study in studies)
    is_known = comparable and any(len(beta) for _, beta in measured)
    reference = reference_point(*(of for of, _ in measured)) if is_known else None
    found = []
    for k, (name, study, (own, beta)) in enumerate(zip(names, studies, measured, strict=True)):
        plane = compute_rate_distortion(study, planes[k], reference, finals=False)
        rate, distortion = np.concatenate([np.stack(of) for of, _ in measured[:k] + measured[k + 1 :]], 1)
        excess = front_excess(own, beta, (rate, distortion)) if by_fronts else None
        found.append(Compared(name, study, plane, excess))
    return found


def labels(paths: list[Path]) -> list[str]:
    """The names of different folders, with as many parents as tell them apart."""
    every = (["/".join(path.parts[-parts:]) for path in paths] for parts in count(1))
    return next(names for names in every if len(set(names)) == len(names))


def _areas(studies: list[Compared]) -> Iterator[str]:
    """Whose front dominates most of the plane, and whether that hangs on a few trials."""
    areas = [(study.plane.hypervolume, study.name) for study in studies if study.plane.hypervolume]
    areas.sort(key=lambda area: area[0].estimate, reverse=True)
    if len(areas) < 2 or not areas[0][0].estimate > 0:
        return
    (most, name), (next_most, other) = areas[:2]
    the = "The" if len(areas) == len(studies) else "Of the studies with 2 complete trials or more, the"
    if most.estimate == next_most.estimate:
        yield f"{the} fronts of {name} and {other} dominate equally much of the rate-distortion plane."
        return
    verdict = "separable, as resamples of its trials dominate more too"
    if most.low <= next_most.estimate:
        verdict = "not separable, as some resamples of its trials dominate less"
    yield (
        f"{the} front of {name} dominates the largest part of the rate-distortion plane, that of {other} "
        f"{next_most.estimate / most.estimate:.1%} as much; the two are {verdict}."
    )


def fronts_chart(planes: Sequence[tuple[str, RateDistortion]], networks: Sequence[AgainstPlain] = ()) -> go.Figure:
    """The complete trials and the front of each of several studies, by name, and the curves of multi-rate networks."""
    figure = go.Figure()
    colors = list(OKABE_ITO.values())[:-1]
    for k, (name, plane) in enumerate(planes):
        color, label = colors[k % len(colors)], escape(name)
        line = {"color": color, "width": 2}
        add_line(figure, plane.rate[plane.front], plane.distortion[plane.front], legendgroup=label, line=line)
        marker = {"color": color, "symbol": SYMBOLS[k % len(SYMBOLS)], "size": 10}
        every = np.ones(len(plane.label), dtype=bool)
        add_runs(figure, plane, every, f"{label}, ", name=label, legendgroup=label, marker=marker)
    for network in {it.network: it for it in networks}.values():
        add_network(figure, network)
    frame_chart(figure, [plane for _, plane in planes])
    return figure


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """One HTML file that opens without a network. Raises: UserError where it cannot be written."""
    plain = [study for study in comparison.studies if not study.study.record.is_multi_rate]
    planes = [(study.name, study.plane) for study in plain if study.plane.label]
    # in the calibrated plane of several likelihoods a network has no place: its curve is of the one it was trained by
    curves = comparison.networks if len(comparison.likelihoods) == 1 else []
    charts = {"fronts": fronts_chart(planes, curves)} if planes else {}
    headings = dict.fromkeys(charts, "Rate against distortion")
    if not comparison.comparable:  # each stands for itself
        charts = {f"fronts_{k}": fronts_chart([each]) for k, each in enumerate(planes)}
        headings = {f"fronts_{k}": f"Rate against distortion: {name}" for k, (name, _) in enumerate(planes)}
    against = {f"against_{k}": found for k, found in enumerate(comparison.networks)}
    drawn = rendered_charts({name: against_chart(found) for name, found in against.items()})
    text = render_template(
        "compare.html.j2",
        findings=comparison.findings,
        likelihoods=comparison.likelihoods,
        charts=rendered_charts(charts),
        headings=headings,
        comparable=comparison.comparable,
        against=[(name, found, shown(found.table), drawn[name]) for name, found in against.items()],
        studies=shown(comparison.table),
        settings=["setting", *(study.name for study in comparison.studies)],
        questions=_differences(comparison),
    )
    try:
        write_atomic(out, text)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def _differences(comparison: Comparison) -> list[list[str]]:
    """[dotted path, its value in each study] of every setting and searched range that is not the same."""
    asked = []
    for study in comparison.studies:
        record = study.study.record
        base = record.base.model_dump(mode="json")
        values = {f"model.{name}": value for name, value in base.pop("model").items()} | base
        space = {path: json.loads(text) for path, text in record.info["space"].items()}
        asked.append(values | {path: f"searched: {json.dumps(drawn['attributes'])}" for path, drawn in space.items()})
    paths = dict.fromkeys(path for values in asked for path in values)
    rows = [[path, *(str(values.get(path, "")) for values in asked)] for path in paths]
    return [row for row in rows if len(set(row[1:])) > 1]
