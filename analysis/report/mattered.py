"""What mattered in a study, and what to search next, in sentences and a table."""

from collections.abc import Sequence

import pandas as pd

from analysis.figures.registry import StudyContext
from analysis.figures.study import search_quality
from analysis.figures.study.importance import REMAINDER
from analysis.figures.study.search_quality import growth_sentence, pruning_sentence
from analysis.figures.style import TITLES
from analysis.reading.best_runs import Run
from analysis.reading.frames import eligible
from analysis.reading.study_record import StudyRecord
from analysis.statistics.bands import bands
from analysis.statistics.edges import Edge, edges
from analysis.statistics.importance import Importance
from analysis.statistics.resampling import Interval
from trainables.config import used

_NOTHING = 0.005  # a share that is shown as 0 %
# nats of excess, which two digits do not show; that of each trial which is the best at its own KL weight is 0
_TIE = 0.005
_INDICATIVE = 20  # complete trials below which an importance is called a hint


def importance_sentence(importance: Importance) -> str:
    """The parameters by their share of the variance, whether the largest two are separable, and of which nothing is
    known."""
    constant = listed([TITLES.get(name, name) for name in importance.constant])
    unknown = f"; nothing can be said of {constant}, which did not vary" * bool(constant)
    if importance.note:
        return f"{importance.note}{unknown}."
    names = [TITLES.get(name, name) for name in importance.names]
    intervals: Sequence[Interval | None] = importance.intervals or [None] * len(names)
    parts = [
        f"{name} ({share:.0%}" + (f", {ends.low:.0%} to {ends.high:.0%})" if ends else ")")
        for name, share, ends in zip(names, importance.shares, intervals, strict=True)
    ]
    close = importance.separable is False
    nothing = importance.intervals is not None and max(ends.low for ends in importance.intervals) < _NOTHING
    few = importance.trials < _INDICATIVE
    return (
        f"What mattered for {importance.of}, by the share of its variance that each explains alone: "
        f"{listed(parts)}; {REMAINDER}: {importance.remainder:.0%}"
        + "; none of these shares is separable from 0" * nothing
        + f"; {listed(names[:2])} are not separable, as their intervals overlap" * close
        + unknown
        + f"; with {importance.trials} complete trials this is a hint, not a measurement" * few
        + "."
    )


def listed(parts: list[str], last: str = "and") -> str:
    """Such as "a, b and c"."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def edge_sentences(run: Run, study: StudyRecord) -> list[str]:
    """A sentence for each parameter of a run that lies at an end of what was searched; of two objectives not for the
    KL weight, whose ends are those of the front."""
    drawn = used(study.trials[run.number].params) if 0 <= run.number < len(study.trials) else {}
    found = edges(drawn, study.space, ("beta",) if study.has_front else ())
    return [_edge_sentence(edge, study.columns[edge.path], run.label) for edge in found]


def _edge_sentence(edge: Edge, column: str, label: str) -> str:
    at = "at" if edge.value == (edge.high if edge.is_upper else edge.low) else "near"
    end, way = ("upper", "up to") if edge.is_upper else ("lower", "from")
    return (
        f"The {TITLES.get(column, column)} of {label}, {edge.value:.4g}, is {at} the {end} end of the range "
        f"{edge.low:.4g} to {edge.high:.4g}: try {way} {edge.further:.4g}."
    )


def search_sentences(study: StudyContext) -> list[str]:
    """Of a study of two objectives, whether its front grows still, and what pruning saved."""
    found = study.of(search_quality.FIGURE)
    said = (growth_sentence(found), pruning_sentence(found)) if found.has_front else ()
    return [sentence for sentence in said if sentence]


def best_by_band(trials: pd.DataFrame, study: StudyRecord) -> pd.DataFrame:
    """A row a band of neighbouring KL weights, low ones first: how many ``trials`` are in it (complete, and within the
    study's limits where one is), the ``best`` of them by excess, or all that tie, with their latent sizes, depths and
    what else of the model was searched, their rates and distortions, and how many ``nats behind`` in excess the best of
    another architecture than theirs, the ``next``, is."""
    known = trials[eligible(trials, study.where)].sort_values("excess", kind="stable")
    of_model = [column for path, column in study.columns.items() if path.startswith("model.")]
    rows = []
    for _, inside in known.groupby(bands(known["beta"].to_numpy(float))):
        tied = inside[inside["excess"] < inside["excess"].min() + _TIE].sort_values("val_rate", kind="stable")
        kinds = inside[of_model].astype(str).agg(" ".join, axis=1)  # a choice may be of any kind
        others = inside[~kinds.isin(kinds[tied.index])]
        row = {
            TITLES["beta"]: _from_to(inside["beta"], ".3g"),
            "trials": len(inside),
            "best": f"trial{'s' * (len(tied) > 1)} {listed(tied['number'].astype(str).tolist())}",
            **{TITLES.get(column, column): _either(tied[column]) for column in of_model},
            "rate, nats": _one_or_from_to(tied["val_rate"]),
            "distortion, nats": _one_or_from_to(tied["val_distortion"]),
        }
        if len(others):
            after = others.iloc[0]
            apart = [it for it in of_model if after[it] not in tied[it].tolist()] or of_model
            words = ", ".join(f"{TITLES.get(it, it)} {after[it]}" for it in apart)
            row |= {"next architecture": f"trial {after['number']} ({words})"}
            row |= {"nats behind": float(after["excess"] - inside["excess"].min())}
        rows.append(row)
    return pd.DataFrame(rows)


def _either(values: pd.Series) -> object:
    """What all have, or such as "8 or 16"."""
    different = dict.fromkeys(values)
    return next(iter(different)) if len(different) == 1 else listed([*map(str, different)], "or")


def _one_or_from_to(nats: pd.Series) -> object:
    return float(nats.iloc[0]) if len(nats) == 1 else _from_to(nats, ".2f")


def _from_to(values: pd.Series, style: str) -> str:
    """Such as "0.1 to 2.5", or "1"."""
    return " to ".join(dict.fromkeys((format(values.min(), style), format(values.max(), style))))
