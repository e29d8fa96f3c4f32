"""A study in a notebook: it shows itself as a table."""

from collections import Counter
from html import escape
from pathlib import Path

import pandas as pd

from analysis.figures.registry import StudyContext
from analysis.reading.best_runs import Run
from analysis.reading.choice import run_at_rank
from analysis.reading.states import by_state
from analysis.reading.study_record import read_study
from trainables.text import printable
from vae_models import VAE

_SHOWN_ROWS = 20
_COLUMNS = ["number", "state", "beta", "latent_dim", "depth", "val_bits_per_dim", "val_rate", "val_active_units"]


class StudyView(StudyContext):
    """What a folder held when it was opened: its ``trials``, ``epochs`` and ``repeats`` as tables, and its best models.
    Raises: UserError as `analysis.load_trials`."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(read_study(folder))

    def run(self, rank: int = 0) -> Run:
        """The best finished run, or the ``rank``-th after it: its config, best epoch and weights. Raises: UserError
        where there is no such run."""
        return run_at_rank(self.record, rank)

    def model(self, rank: int = 0) -> VAE:
        """As `analysis.load_best`, with what it raises."""
        return self.run(rank).load()

    @property
    def title(self) -> str:
        """The study's name, and how many of its trials ended how."""
        states = by_state(Counter(self.record.states))
        return f"{printable(self.record.info['name'])}: {len(self.trials)} trials ({states or 'none yet'})"

    @property
    def table(self) -> pd.DataFrame:
        """The best complete trials, then the others: by what one objective minimises, or of two the front by its
        rate and the others by their ``excess``."""
        trials, has_front = self.trials, self.record.has_front
        on_front = trials["front"] & has_front
        place = trials["val_rate"].where(on_front, trials[self.record.judged_by])
        order = trials.assign(rest=trials["state"] != "COMPLETE", beyond=~on_front, place=place)
        ranked = order.sort_values(["rest", "beyond", "place"], na_position="last", kind="stable")
        columns = _COLUMNS + ["excess", "front"] * has_front
        if self.record.is_multi_rate:
            columns = ["number", "state", "latent_dim", "depth", self.record.judged_by]  # the others are of one weight
        return ranked[columns].head(_SHOWN_ROWS)

    def __repr__(self) -> str:
        return f"{self.title}\n{self.table.to_string(index=False)}"

    def _repr_html_(self) -> str:
        left = len(self.trials) - len(self.table)
        more = f"<p>and {left} more, in <code>.trials</code></p>" if left else ""
        table = self.table.to_html(index=False, escape=True, na_rep="", border=0, float_format="{:.4g}".format)
        return f"<h4>{escape(self.title)}</h4>{table}{more}"
