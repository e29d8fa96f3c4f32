"""Where everything of a study is: its folders and the files directly in its own, each said once. What is in a trial's
folder is `trial_folder`'s."""

import os
import re
from pathlib import Path

import typer

from trainables.console import folder_of, known_folder_of, shortened
from trainables.errors import UserError
from trainables.records.atomic_files import refuse_escapes

QUESTION = "study.json"
_LONGEST_NAME = 224  # bytes: of the 255 that a file's name may have, 31 are what `write_atomic` adds to ".NAME.request"


class StudyLayout:
    """The paths below (and three beside) a study's folder ``path``. Nothing here reads a file, or writes one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.question = path / QUESTION  # what was asked, by whom and where
        self.ledger = path / "study.db"  # the Optuna storage, where it is not elsewhere
        self.sessions = path / "sessions.jsonl"  # when drivers trained it: see `trainables.records.sessions`
        self.trials = path / "trials"  # the trials' folders: see `trainables.records.trial_folder`
        self.final = self.trials / "final"  # of the best configuration's last, longer training, once it is finished
        self.ray = path / ".ray"  # what Ray writes while the study runs; gone at its end
        self.report = path / "report.html"  # the page to read
        self.trials_csv = path / "trials.csv"  # a row a trial
        self.trials_parquet = path / "trials.parquet"  # the same with its types
        self.models = path / "models" / "VAE"  # the best models, exported

    def refuse_misplaced(self) -> None:
        """Raises: UserError for a file where there is to be a folder, and the other way round; where a study is, also
        for a link out of its folder, which no reader of it follows."""
        if self.question.is_file():
            refuse_escapes(self.path, unread=self.ray.name)
        visu = self.path / "visu"
        folders = self.trials, self.path / "repeats", self.path / "tensorboard", self.models, visu, *visu.glob("*_vae")
        files = self.question, self.ledger, self.sessions, self.report, self.trials_csv, self.trials_parquet
        for path in map(obstacle, folders):
            if path:
                raise UserError(f"{path} must be a folder, and is a file\nmove it away")
        for path in files:
            if path.is_dir():
                raise UserError(f"{path} must be a file, and is a folder\nmove it away")

    @property
    def lock(self) -> Path:
        """Held by the driver."""
        return self._of_driver("lock")

    @property
    def driver(self) -> Path:
        """Who drives the study, rewritten while it does."""
        return self._of_driver("driver")

    @property
    def request(self) -> Path:
        """What is asked of the driver."""
        return self._of_driver("request")

    def _of_driver(self, what: str) -> Path:
        """Beside the folder, as that may be moved aside under the lock. But in it where it is a mount, whose neighbours
        are not those of whoever else mounts it, or where the folder above cannot be written."""
        within = self.path / f".study.{what}"
        if os.path.ismount(self.path) or (self.path / ".study.lock").exists():  # of who sees a mount there
            return within
        lock = self.path.with_name(f".{self.path.name}.lock")
        has_place = os.access(self.path.parent, os.W_OK) or lock.exists()
        return lock.with_suffix(f".{what}") if has_place else within

    def trial(self, number: int) -> Path:
        """The folder of a trial of the search."""
        return self.trials / f"{number:04d}"

    def final_of(self, number: int) -> Path:
        """The folder of a trial's last, longer training, where a study has several of them."""
        return self.trials / f"final_{number:04d}"

    def before_it_is_done(self, final: Path) -> Path:
        """The folder of a final training until it is finished and takes the place of an earlier one."""
        return final.with_name(f"{final.name}.next")

    def finals(self) -> list[Path]:
        """The folders of last, longer trainings that are there."""
        several = sorted(path for path in self.trials.glob("final_[0-9]*") if path.name[6:].isdecimal())
        return [path for path in [self.final, *several] if path.is_dir()]

    def trial_folders(self) -> list[Path]:
        """Those of trials of the search that are there, in no order."""
        return [path for path in self.trials.glob("[0-9]*") if path.name.isdecimal()]

    def repeats(self, number: int) -> Path:
        """The folder of a trial's trainings with other seeds."""
        return self.path / "repeats" / f"{number:04d}"

    def repeat(self, number: int, repeat: int) -> Path:
        """The folder of the ``repeat``-th of them, counted from 1."""
        return self.repeats(number) / f"{repeat:02d}"

    def tensorboard(self, number: int) -> Path:
        """A trial's event files."""
        return self.path / "tensorboard" / f"{number:04d}"

    def visu(self, dataset: str) -> Path:
        """The figures, a folder each."""
        return self.path / "visu" / visu_name(dataset)


def obstacle(folder: Path) -> Path | None:
    """What is in the way of a folder that is to be made: no folder itself, or above it; None where nothing is."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return None if there.is_dir() else there


def visu_name(dataset: str) -> str:
    """A data set's folder below ``visu``: "mnist_vae"; "imagefolder_vae" wherever its images are."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", dataset.partition(":")[0]) + "_vae"


def new_study_of(text: str | Path) -> Path:
    """The path of a folder that is a study's, or may become one. Raises: typer.BadParameter."""
    path = folder_of(text)
    if (size := len(os.fsencode(path.resolve().name))) > _LONGEST_NAME:  # a link to a folder is that folder
        rule = f"must end in a name of at most {_LONGEST_NAME} bytes, as there are files beside it"
        raise typer.BadParameter(f"{rule}, got {size}: {shortened(path.name)}")
    return path


def study_of(text: str) -> Path:
    """The folder of a study that is there, of a command's argument. Raises: typer.BadParameter."""
    path = known_folder_of(text)
    if not (path / QUESTION).is_file():
        raise typer.BadParameter(f"must be a study's folder, got {shortened(text)}, which has no {QUESTION}")
    return path if path.name not in ("", "..") else path.resolve()
