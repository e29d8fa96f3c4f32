"""What a study found beside its answer, as the small tables of the page."""

from itertools import permutations

import numpy as np
import pandas as pd

from analysis.figures.registry import StudyContext
from analysis.figures.style import JUDGED_SHORT, STATES, TITLES
from analysis.reading.certainty import Certainty, certainty
from analysis.reading.frames import complete_trials, complete_values, repeats_of
from analysis.reading.study_record import StudyRecord
from analysis.report.mattered import best_by_band
from analysis.statistics.resampling import t_interval
from analysis.statistics.separability import Rank, ranks, separable
from trainables.text import printable, without_passwords

_LONGEST_CAUSE = 160  # characters
_NATS = ("rate", "distortion")


def study_tables(study: StudyContext) -> dict[str, pd.DataFrame]:
    """By title, those that have rows."""
    tables = {"How the trials ended": _states_table(study.trials, _value_of(study.record))}
    if study.record.has_front:
        tables["With other seeds: means ± 95%"] = _front_repeats_table(study)
        tables["The best trial of each band of KL weights"] = best_by_band(study.trials, study.record)
    else:
        tables["With other seeds"] = _repeats_table(study.repeats, _value_of(study.record))
    return {title: table for title, table in tables.items() if len(table)}


def _value_of(study: StudyRecord) -> str:
    """The column of what one objective minimises; of two of the yardstick that all trials share."""
    return "val_bits_per_dim" if study.has_front else study.judged_by


def _states_table(trials: pd.DataFrame, value: str) -> pd.DataFrame:
    """A row a state that there is: its ``trials``, the best and the median of what a column ``value`` says of them, and
    the ``commonest cause`` of failures."""
    rows = []
    for state, style in STATES.items():
        chosen = trials[trials["state"] == state]
        values, (cause, of, count) = chosen[value], cause_of(chosen)
        few = f" ({of} of {count})" if of < count else ""
        if len(chosen):
            rows.append((style.word, len(chosen), values.min(), values.median(), cause + few))
    return pd.DataFrame(
        rows, columns=["state", "trials", f"best {_name(value)}", f"median {_name(value)}", "commonest cause"]
    )


def _name(value: str) -> str:
    return f"loss, {JUDGED_SHORT[value]}" if value == "val_relative_loss" else JUDGED_SHORT[value]


def cause_of(trials: pd.DataFrame) -> tuple[str, int, int]:
    """The commonest cause of failures in a line, how many had it, and how many had any."""
    causes = trials.loc[trials["state"] == "FAIL", "cause"].dropna().map(_first_line)
    counts = causes.value_counts()
    return (str(counts.index[0]), int(counts.iloc[0]), len(causes)) if len(counts) else ("", 0, 0)


def _first_line(cause: str) -> str:
    """For a sentence: short, without its full stop, and without what a terminal would obey."""
    line = printable(without_passwords(cause.strip() or "unknown")).splitlines()[0]
    return line.rstrip(". ") if len(line) <= _LONGEST_CAUSE else line[:_LONGEST_CAUSE].rstrip() + " …"


def _repeats_table(repeats: pd.DataFrame, value: str) -> pd.DataFrame:
    """A row a trial that was repeated, the lowest mean first: what its ``seeds`` gave, how many ``failed``, its
    ``rank`` among those with 2 seeds or more, in which share of draws of the means it is ``first``, and from which
    of them it is ``not separable``."""
    bits = {int(number): complete_values(repeats_of(repeats, number), value) for number in repeats["number"].unique()}
    known = {number: values for number, values in bits.items() if len(values) > 1}
    standing = dict(zip(known, ranks(list(known.values())), strict=True)) if known else {}
    verdicts = {(one, other): separable(known[one], known[other]) for one, other in permutations(known, 2)}
    alike = [pair for pair, verdict in verdicts.items() if verdict is None or not verdict.separable]
    failed = repeats.loc[repeats["state"] == "FAIL", "number"].value_counts()
    rows = [
        {
            "trial": number,
            f"{_name(value)}, mean": values.mean() if len(values) else None,
            f"{_name(value)}, standard deviation": values.std(ddof=1) if number in known else None,
            "seeds": len(values),
            "failed": failed.get(number, 0),
            **(_place(standing[number]) if number in known else {"rank": "", "first, of draws": ""}),
            "not separable from": ", ".join(f"trial {other}" for one, other in alike if one == number),
        }
        for number, values in bits.items()
    ]
    table = pd.DataFrame(rows)
    return table.sort_values(f"{_name(value)}, mean", kind="stable") if len(table) else table


def _front_repeats_table(study: StudyContext) -> pd.DataFrame:
    """A row a trial that was repeated, by its rate: the means of rate, distortion and D + beta R at its own KL weight
    over what its other seeds gave, and half of Student's t intervals, beside what the search had, which chose it
    for that; and which trial comes next at that weight."""
    trials, rows = complete_trials(study.trials).sort_values("val_rate"), []
    for trial in trials[trials["number"].isin(study.repeats["number"])].to_dict("records"):
        number, beta = int(trial["number"]), float(trial["beta"])
        of = repeats_of(study.repeats, number)
        rate, distortion = (of.loc[of["state"] == "COMPLETE", f"val_{it}"].to_numpy(float) for it in _NATS)
        rows.append(
            {
                "trial": number,
                TITLES["beta"]: beta,
                "rate (nats)": _mean(rate),
                "distortion (nats)": _mean(distortion),
                "D + βR (nats)": _mean(distortion + beta * rate),
                "in the search (nats)": float(trial["val_distortion"] + beta * trial["val_rate"]),
                "seeds": len(rate),
                "failed": int((of["state"] == "FAIL").sum()),
                "at its own KL weight": _next_words(certainty(study.trials, study.repeats, number)),
            }
        )
    return pd.DataFrame(rows)


def _mean(values: np.ndarray) -> str:
    """With its interval, where there is one."""
    interval = t_interval(values)
    if interval is None:
        return f"{values[0]:.2f}" if len(values) else ""
    return f"{interval.estimate:.2f} ± {interval.high - interval.estimate:.2f}"


def _next_words(found: Certainty) -> str:
    """How a trial stands to the next that was repeated too."""
    if found.difference is None:
        return ""
    gap = found.difference.interval
    verdict = f"{abs(gap.estimate):.2f} nats {'ahead of' if gap.estimate > 0 else 'behind'} trial {found.rival}"
    verdict = verdict if found.difference.separable else f"not separable from trial {found.rival}"
    return f"{verdict} ({gap.low:+.2f} to {gap.high:+.2f})"


def _place(rank: Rank) -> dict[str, str]:
    """Where a trial stands, and how surely."""
    low, high = round(rank.interval.low), round(rank.interval.high)
    first = "" if rank.first is None else f"{rank.first:.0%}"
    return {"rank": f"{low}" if low == high else f"{low} to {high}", "first, of draws": first}
