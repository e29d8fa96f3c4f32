"""Where everything of a study is: each path of its folder, said once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

QUESTION = "study.json"
LEDGER = "study.db"


@dataclass(frozen=True)
class StudyLayout:
    """The paths below (and three beside) a study's folder ``path``. Nothing here reads or writes."""

    path: Path

    @property
    def question(self) -> Path:
        """What was asked, by whom and where: study.json."""
        return self.path / QUESTION

    @property
    def ledger(self) -> Path:
        """The Optuna storage, where it is not elsewhere."""
        return self.path / LEDGER

    @property
    def trials(self) -> Path:
        """The folder of the trials' folders."""
        return self.path / "trials"

    def trial(self, number: int) -> Path:
        """The folder of a trial of the search: see `trainables.records.trial_folder`."""
        return self.trials / f"{number:04d}"

    def trial_folders(self) -> list[Path]:
        """Those of trials of the search that are there, in no order."""
        return [path for path in self.trials.glob("[0-9]*") if path.name.isdecimal()]

    @property
    def final(self) -> Path:
        """The folder of the best configuration's last, longer training, once it is finished."""
        return self.trials / "final"

    @property
    def next_final(self) -> Path:
        """The same until it is finished: it then takes the earlier one's place."""
        return self.trials / "final.next"

    def repeats(self, number: int) -> Path:
        """The folder of a trial's trainings with other seeds."""
        return self.path / "repeats" / f"{number:04d}"

    def repeat(self, number: int, repeat: int) -> Path:
        """The folder of the ``repeat``-th of them, counted from 1."""
        return self.repeats(number) / f"{repeat:02d}"

    def tensorboard(self, number: int) -> Path:
        """A trial's event files."""
        return self.path / "tensorboard" / f"{number:04d}"

    @property
    def ray(self) -> Path:
        """What Ray writes while the study runs; gone at its end."""
        return self.path / ".ray"

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.path / "report.html"

    @property
    def trials_csv(self) -> Path:
        """A row a trial."""
        return self.path / "trials.csv"

    @property
    def trials_parquet(self) -> Path:
        """The same with its types."""
        return self.path / "trials.parquet"

    @property
    def models(self) -> Path:
        """The best models, exported."""
        return self.path / "models" / "VAE"

    def visu(self, dataset: str) -> Path:
        """The figures, a folder each."""
        return self.path / "visu" / visu_name(dataset)

    @property
    def lock(self) -> Path:
        """Held by the driver. Beside the folder, as the folder may be moved aside under the lock."""
        return self._beside("lock")

    @property
    def driver(self) -> Path:
        """Who drives the study, rewritten while it does."""
        return self._beside("driver")

    @property
    def request(self) -> Path:
        """What is asked of the driver."""
        return self._beside("request")

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{what}")


def visu_name(dataset: str) -> str:
    """A data set's folder below ``visu``: "mnist_vae"; "imagefolder_vae" wherever its images are."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", dataset.partition(":")[0]) + "_vae"
